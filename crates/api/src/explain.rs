//! `POST /explain`: the latents that explain the two models' difference at one token.

use serde::{Deserialize, Serialize};

use crate::Prompt;

/// Most latents of one answer, and the default.
pub const MAX_EXPLAINED: usize = 32;

/// Body of `POST /explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Slug of the dictionary.
    pub dictionary: String,
    /// The prompt, answers included.
    pub prompt: Prompt,
    /// Position of the token, from 0 at BOS.
    pub token: usize,
    /// Most latents to name, 1 to 32.
    #[serde(default = "all_explained")]
    pub limit: usize,
}

fn all_explained() -> usize {
    MAX_EXPLAINED
}

/// Answer of `POST /explain`. Divergences are KL(P_chat ‖ P) of the next-token distributions at the token, in nats, where P is the chat
/// model's upper half on base's residual, edited at this token alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainResponse {
    /// Position of the token.
    pub token: usize,
    /// Number of latents active there.
    pub active: usize,
    /// Divergence with base's residual everywhere.
    pub kl_before: f32,
    /// Divergence with every active latent moved at this token.
    pub kl_all: f32,
    /// The active latents with the largest contribution, largest first, then by id.
    pub latents: Vec<ExplainedLatent>,
}

/// One latent that differs between the models at the token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainedLatent {
    /// Latent id.
    pub id: u32,
    /// v at the token.
    pub value: f32,
    /// f·‖d_chat − d_base‖: how far moving the latent shifts the residual.
    pub contribution: f32,
    /// Divergence with this latent alone moved.
    pub kl_after: f32,
}
