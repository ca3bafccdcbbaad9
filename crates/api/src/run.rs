//! `POST /runs`, `GET /runs/{id}`, `POST /runs/{id}/verify`: experiments kept with their outputs.

use serde::{Deserialize, Serialize};

use crate::{DoneReason, Lane, Prompt, Sampling, TokenInfo};

/// Everything that determines a run's outputs. A run's id is a hash of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunInputs {
    /// Version of the program.
    pub version: String,
    /// Fingerprint of the base model's files.
    pub base: String,
    /// Fingerprint of the chat model's files.
    pub chat: String,
    /// Hash of the dictionary's files and of its latents' largest activations, which are the unit of `add`.
    pub dictionary: String,
    /// Hash of the chat template.
    pub template: String,
    /// The hook point: output of this 0-based block.
    pub layer: usize,
    /// Number format of the models.
    pub dtype: String,
    /// The prompt's token ids.
    pub ids: Vec<u32>,
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// How tokens are chosen, the seed included.
    pub sampling: Sampling,
}

/// A saved run: immutable, and readable without models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Hash of the inputs.
    pub id: String,
    /// When it was saved, in seconds since 1970.
    pub saved: u64,
    /// Name of the study.
    pub study: String,
    /// Names of the base and the chat model.
    pub models: (String, String),
    /// Slug of the dictionary.
    pub dictionary: String,
    /// The prompt as it was sent.
    pub prompt: Prompt,
    /// The prompt's tokens.
    pub tokens: Vec<TokenInfo>,
    /// What determines the outputs.
    pub inputs: RunInputs,
    /// What each lane generated.
    pub outputs: Vec<RunOutput>,
}

/// What one lane generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunOutput {
    /// Why it ended.
    pub reason: DoneReason,
    /// Its tokens, the stop token included.
    pub tokens: Vec<RunToken>,
}

/// One generated token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunToken {
    /// Token id.
    pub id: u32,
    /// Text that this token completes.
    pub text: String,
    /// Natural logarithm of the token's probability before temperature.
    pub logprob: f32,
}

/// Answer of `POST /runs/{id}/verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verification {
    /// Whether every lane gave the stored tokens again.
    pub identical: bool,
    /// Inputs that are not what they were, for instance `the dictionary`; empty when this server has all of them.
    pub changed: Vec<String>,
    /// Where lanes part from what is stored, for each that does.
    pub differences: Vec<RunDifference>,
}

/// The first token at which a lane parts from the stored one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunDifference {
    /// Number of the lane.
    pub lane: usize,
    /// Number of the generated token, from 0.
    pub index: usize,
    /// The stored token; `null` where the stored lane had ended.
    pub stored: Option<RunToken>,
    /// The token found now; `null` where the lane has ended.
    pub found: Option<RunToken>,
}
