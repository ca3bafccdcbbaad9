//! A page of the latent table.

use serde::{Deserialize, Serialize};

use crate::LatentRow;

/// Largest `limit` of a page.
pub const MAX_PAGE: usize = 1000;

/// Rows that the explorer's table asks for before it knows how many it has room for. A page's head names this request.
pub const FIRST_ROWS: u64 = 40;

/// Columns that the explorer's plane asks for when an address says nothing else, in its order. A page's head names this request.
pub const FIRST_COLUMNS: [&str; 4] = ["nu_epsilon", "nu_r", "class", "delta_norm"];

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
