//! `GET /dictionaries/{dict}/scaling`: Latent Scaling over groups of latents, beside its random baselines.

use serde::{Deserialize, Serialize};

use crate::Histogram;

/// ν over groups of latents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScalingSummary {
    /// Tokens behind the sums; `null` before analysis.
    pub tokens: Option<u64>,
    /// The groups: `chat_only`, `shared`, `random_direction`, `random_latent`; those that were computed.
    pub groups: Vec<ScalingGroup>,
}

/// ν of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScalingGroup {
    /// Name of the group.
    pub name: String,
    /// Latents in it.
    pub latents: u64,
    /// Latents whose two ratios are known and lie within −0.1…2.
    pub reliable: u64,
    /// ν^ε of the reliable ones.
    pub nu_epsilon: RatioSummary,
    /// ν^r of the reliable ones.
    pub nu_r: RatioSummary,
}

/// A ratio over a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RatioSummary {
    /// Quantiles 0.025, 0.25, 0.5, 0.75 and 0.975; empty without values.
    pub quantiles: Vec<f64>,
    /// Histogram over −0.1…2.
    pub histogram: Histogram,
}

/// How well a latent's β of one target fits: mean squared error per token before (the target as it is) and after (β·f·d taken away).
/// On the tokens of the fit, `after` is at most `before`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScalingFit {
    /// `activation`, `activation_no_bias`, `reconstruction` or `error`.
    pub target: String,
    /// Mean ‖y‖² over the latent's active tokens; base, chat.
    pub before: [f64; 2],
    /// Mean ‖y − β·f·d‖² over the same tokens.
    pub after: [f64; 2],
}

/// How well a latent's β fit the tokens on which it fires at some share of its maximum. The β are those of the latent's row, from all
/// tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScalingBucket {
    /// Least share v/max, exclusive.
    pub from: f64,
    /// Largest share.
    pub to: f64,
    /// Tokens.
    pub tokens: u64,
    /// By target; empty without tokens.
    pub fits: Vec<BucketFit>,
}

/// One target's squared errors in a bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BucketFit {
    /// The target, and its mean squared errors.
    #[serde(flatten)]
    pub fit: ScalingFit,
    /// Standard deviation of ‖y‖² over the bucket's tokens; base, chat; `null` for fewer than two.
    pub before_std: Option<[f64; 2]>,
    /// Standard deviation of ‖y − β·f·d‖² over the same tokens.
    pub after_std: Option<[f64; 2]>,
}
