//! `GET /dictionaries/{dict}/curves`: how a training went.

use serde::{Deserialize, Serialize};

/// Numbers logged during training, one entry per logged step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrainingCurves {
    /// Logged steps, rising; every curve has one value for each.
    pub steps: Vec<u64>,
    /// Tokens seen up to each step.
    pub tokens: Vec<u64>,
    /// The curves, in the order in which they are worth reading.
    pub curves: Vec<Curve>,
}

/// One logged number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Curve {
    /// Its name, for instance `train/loss` or `val/l0`.
    pub name: String,
    /// Its values; `null` at steps where it was not measured.
    pub values: Vec<Option<f64>>,
}
