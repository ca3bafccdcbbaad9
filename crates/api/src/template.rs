//! Where a latent fires in chats, in `GET /dictionaries/{dict}/latents/{id}`: on control tokens, and on the words of user and assistant.

use serde::{Deserialize, Serialize};

/// A latent on a group of the tokens of chats. Only v > 0.001 counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateActivity {
    /// `ctrl` (control tokens), `ctrl_1` to `ctrl_10` (those of one number, counted around along the chat), `non_ctrl` (neither control
    /// tokens nor BOS), `assistant` (its words and the end of its turn), `user` or `bos`.
    pub group: String,
    /// Tokens of the group.
    pub tokens: u64,
    /// Those on which the latent fires.
    pub active_tokens: u64,
    /// active_tokens / tokens; `null` for a group without tokens.
    pub frequency: Option<f64>,
    /// Share of the group in what it is compared with: control or other tokens of both, a numbered control token of all control tokens,
    /// assistant or user of both, BOS of every token; `null` where the latent never fires there.
    pub share: Option<f64>,
    /// Mean v over the active tokens; `null` if never active.
    pub mean_activation: Option<f64>,
    /// Largest v; 0 if never active.
    pub max_activation: f64,
    /// The active tokens by the share of v in the latent's largest: up to 0.1, 0.4, 0.7, and above.
    pub buckets: Vec<TemplateBucket>,
}

/// The tokens of a group on which a latent fires about as strongly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateBucket {
    /// How many.
    pub active_tokens: u64,
    /// Mean v over them; `null` if there are none.
    pub mean_activation: Option<f64>,
    /// Largest v among them; 0 if there are none.
    pub max_activation: f64,
}
