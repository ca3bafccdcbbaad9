//! The body of every error answer (RFC 9457, `application/problem+json`).

use serde::{Deserialize, Serialize};

/// What went wrong, for a machine (`type`) and for a person (`title`, `detail`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A stable name such as `/problems/unknown-latent`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here and what to do about it.
    pub detail: String,
}
