//! `GET /dictionaries/{dict}/controls`: latents to compare chosen ones with.

use serde::{Deserialize, Serialize};

/// Most latents that controls are drawn for in one request.
pub const MAX_CONTROLS: usize = 256;

/// A random latent whose largest activation is like that of a chosen one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlLatent {
    /// The chosen latent.
    pub like: u32,
    /// Its control.
    pub id: u32,
    /// Largest v of the chosen latent.
    pub max_activation_like: f64,
    /// Largest v of the control.
    pub max_activation: f64,
}
