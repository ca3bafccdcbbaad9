//! How two latents fire on the same tokens.

use serde::{Deserialize, Serialize};

/// Joint histograms of two latents' relative activations over all tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JointActivity {
    /// Shares of the maximum that divide the five buckets, 1e-6, 0.1, 0.4 and 0.7; one on an edge belongs below it.
    pub edges: Vec<f64>,
    /// Shares of the larger of the two maxima.
    pub by_pair: JointCounts,
    /// Shares of each latent's own maximum.
    pub by_own: JointCounts,
}

/// One joint histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JointCounts {
    /// Tokens, five rows of five: `counts[i][j]` has this latent in bucket i and the other one in bucket j, from not active to strongest.
    pub counts: Vec<Vec<u64>>,
    /// Tokens on which one of the two is above 0.4 and the other at most 0.1, as a share of those on which any is above 0.4; 0 where
    /// none ever is.
    pub divergence: f64,
}
