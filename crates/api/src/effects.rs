//! `POST /effects`: lanes under teacher forcing.

use serde::{Deserialize, Serialize};

use crate::{Lane, NextToken, Prompt, TokenInfo};

/// Body of `POST /effects`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EffectsRequest {
    /// Slug of the dictionary.
    pub dictionary: String,
    /// The prompt, answers included.
    pub prompt: Prompt,
    /// The lanes to compare.
    pub lanes: Vec<Lane>,
    /// How many of the last tokens count as generated, for positions that ask.
    #[serde(default)]
    pub generated: usize,
}

/// Answer of `POST /effects`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EffectsResponse {
    /// The prompt's tokens.
    pub tokens: Vec<TokenInfo>,
    /// One entry per lane asked for.
    pub lanes: Vec<LaneEffects>,
}

/// What a lane's edits do at every position; the references are unedited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LaneEffects {
    /// KL(P_chat ‖ P_lane) in nats.
    pub kl_from_chat: Vec<f32>,
    /// KL(P_base ‖ P_lane) in nats.
    pub kl_from_base: Vec<f32>,
    /// Most probable next tokens of the lane.
    pub top: Vec<Vec<NextToken>>,
}
