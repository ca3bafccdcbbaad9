//! A page of the latent table.

use serde::{Deserialize, Serialize};

use crate::LatentRow;

/// Largest `limit` of a page.
pub const MAX_PAGE: usize = 1000;

/// Rows that match a filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatentsPage {
    /// How many latents match the filter in all.
    pub total: u64,
    /// Cursor of the next page; `null` at the end.
    pub next: Option<String>,
    /// This page.
    pub rows: Vec<LatentRow>,
}
