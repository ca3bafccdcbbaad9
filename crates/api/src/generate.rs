//! `POST /generate`: lanes generating side by side, as one stream of server-sent events.

use serde::{Deserialize, Serialize};

use crate::{Lane, ModelName, Problem, Prompt, TokenInfo};

/// Body of `POST /generate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// Slug of the dictionary that the interventions speak of.
    pub dictionary: String,
    /// The prompt, the same for every lane.
    pub prompt: Prompt,
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// How tokens are chosen in lanes that do not say so themselves.
    #[serde(default)]
    pub sampling: Sampling,
}

/// How tokens are chosen. Every lane has its own generator, seeded alike, so equal lanes give equal tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Upper bound on generated tokens, the stop token included.
    pub max_new_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// Nucleus: the smallest set of tokens whose probability reaches this.
    pub top_p: f64,
    /// Only so many of the most probable tokens; 0 keeps all.
    #[serde(skip_serializing_if = "is_zero")]
    pub top_k: usize,
    /// Seed of every lane's generator.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_new_tokens: 128,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            seed: 0,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// First event of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetaEvent {
    /// The prompt's tokens.
    pub tokens: Vec<TokenInfo>,
    /// The lanes in order.
    pub lanes: Vec<MetaLane>,
}

/// A lane as the stream's first event names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetaLane {
    /// Number of the lane, from 0.
    pub lane: usize,
    /// Its model.
    pub model: ModelName,
}

/// A generation's place in line, sent when it changes; nothing is sent to one that starts at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuedEvent {
    /// 1 for the next to start.
    pub position: usize,
}

/// One generated token, the stop token included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenEvent {
    /// Number of the lane.
    pub lane: usize,
    /// Number of the generated token, from 0.
    pub index: usize,
    /// Token id.
    pub id: u32,
    /// Text that this token completes; empty while a character is incomplete.
    pub text: String,
    /// Natural logarithm of the token's probability before temperature.
    pub logprob: f32,
}

/// Why a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DoneReason {
    /// A stop token.
    Stop,
    /// `max_new_tokens`, or the model's context is full.
    Length,
    /// The client left, or the server is ending.
    Cancelled,
}

/// Where a lane's time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timings {
    /// Waiting in the queue.
    pub queue_ms: f64,
    /// Reading the prompt.
    pub prefill_ms: f64,
    /// Generating.
    pub decode_ms: f64,
}

/// Last event of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DoneEvent {
    /// Number of the lane.
    pub lane: usize,
    /// Why it ended.
    pub reason: DoneReason,
    /// Generated tokens.
    pub tokens: usize,
    /// Where the time went.
    pub timings: Timings,
}

/// One event of the stream; the variant's name is the SSE event name, its content the data line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerateEvent {
    /// First.
    Meta(MetaEvent),
    /// While others are served first.
    Queued(QueuedEvent),
    /// Per token.
    Token(TokenEvent),
    /// Per lane.
    Done(DoneEvent),
    /// Instead of the rest.
    Error(Problem),
}

impl GenerateEvent {
    /// The SSE event name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Meta(_) => "meta",
            Self::Queued(_) => "queued",
            Self::Token(_) => "token",
            Self::Done(_) => "done",
            Self::Error(_) => "error",
        }
    }
}
