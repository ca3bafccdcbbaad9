//! `POST /activations`: one prompt through both models and one dictionary.

use serde::{Deserialize, Serialize};

use crate::{LatentSet, Prompt, TokenInfo};

/// Which latents' full values are wanted.
pub type LatentChoice = LatentSet;

/// Body of `POST /activations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ActivationsRequest {
    /// Slug of the dictionary.
    pub dictionary: String,
    /// The prompt.
    pub prompt: Prompt,
    /// Latents whose values at every token are wanted; `"all"` while tokens × latents ≤ 4,194,304.
    #[serde(default = "none")]
    #[cfg_attr(feature = "openapi", schema(value_type = LatentSet))]
    pub latents: LatentChoice,
    /// How many of the strongest latents to name at each token, at most 64.
    #[serde(default = "eight")]
    pub top_k: usize,
    /// Whether the base model's predictions are wanted. Without them `kl_chat_base` and `next.base` are null, and only the lower half
    /// of the base model runs.
    #[serde(default = "yes")]
    pub kl: bool,
}

fn yes() -> bool {
    true
}

fn none() -> LatentChoice {
    LatentSet::Ids(Vec::new())
}

fn eight() -> usize {
    8
}

/// Answer of `POST /activations`. Every array has one entry per token, BOS and last included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivationsResponse {
    /// The prompt's tokens.
    pub tokens: Vec<TokenInfo>,
    /// The chosen latents, in the order asked for.
    pub latents: Vec<LatentValues>,
    /// The strongest active latents at each token, by v, then id.
    pub top: Vec<Vec<TopLatent>>,
    /// KL(P_chat ‖ P_base) of the next-token distributions, in nats; null without `kl`.
    pub kl_chat_base: Option<Vec<f32>>,
    /// Most probable next tokens of both models.
    pub next: Vec<NextTokens>,
}

/// One latent at every token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatentValues {
    /// Latent id.
    pub id: u32,
    /// v: scaled activation after ReLU and threshold; 0 where inactive.
    pub values: Vec<f32>,
    /// w_j·⟨x'_base, W_enc[base,:,j]⟩, what the base residual puts in.
    pub base: Vec<f32>,
    /// w_j·⟨x'_chat, W_enc[chat,:,j]⟩, what the chat residual puts in.
    pub chat: Vec<f32>,
}

/// An active latent at a token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopLatent {
    /// Latent id.
    pub id: u32,
    /// v > 0.
    pub value: f32,
}

/// A possible next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NextToken {
    /// Token id.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// Probability.
    pub p: f32,
}

/// Most probable next tokens of both models at one position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NextTokens {
    /// Of the base model; null without `kl`.
    pub base: Option<Vec<NextToken>>,
    /// Of the chat model.
    pub chat: Vec<NextToken>,
}
