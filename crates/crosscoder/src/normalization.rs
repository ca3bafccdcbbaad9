//! Code normalisation: the weight w_j that turns a latent's unscaled code f_j into the activation v_j = f_j·w_j.

use serde::{Deserialize, Serialize};

/// How decoder norms weigh the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CodeNormalization {
    /// w = n_base + n_chat.
    #[default]
    Crosscoder,
    /// w = √(n_base² + n_chat²), the norm of the concatenated decoder row.
    Sae,
    /// w = alpha_sae·SAE + alpha_cc·CROSSCODER.
    Mixed {
        /// Weight of the SAE form.
        alpha_sae: f64,
        /// Weight of the CROSSCODER form.
        alpha_cc: f64,
    },
    /// w = 1.
    None,
    /// One weight per model, w_m = n_m, and so one code per model.
    Decoupled,
}

impl CodeNormalization {
    /// Default weights of [`CodeNormalization::Mixed`]: SAE, CROSSCODER.
    pub const MIXED_DEFAULTS: (f64, f64) = (1.0, 0.1);

    /// Number under which dictionary files store it.
    pub fn id(self) -> i64 {
        match self {
            Self::Crosscoder => 1,
            Self::Sae => 2,
            Self::Mixed { .. } => 3,
            Self::None => 4,
            Self::Decoupled => 5,
        }
    }

    /// From the number in a dictionary file; the weights are those of [`CodeNormalization::Mixed`]. `None` for other numbers.
    pub fn from_id(id: i64, alpha_sae: f64, alpha_cc: f64) -> Option<Self> {
        Some(match id {
            1 => Self::Crosscoder,
            2 => Self::Sae,
            3 => Self::Mixed {
                alpha_sae,
                alpha_cc,
            },
            4 => Self::None,
            5 => Self::Decoupled,
            _ => return None,
        })
    }

    /// From the name in config.json. `None` for other names.
    pub fn from_name(name: &str, alpha_sae: f64, alpha_cc: f64) -> Option<Self> {
        let id = ["CROSSCODER", "SAE", "MIXED", "NONE", "DECOUPLED"]
            .iter()
            .position(|n| n.eq_ignore_ascii_case(name))?;
        Self::from_id(id as i64 + 1, alpha_sae, alpha_cc)
    }

    /// Name as in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crosscoder => "CROSSCODER",
            Self::Sae => "SAE",
            Self::Mixed { .. } => "MIXED",
            Self::None => "NONE",
            Self::Decoupled => "DECOUPLED",
        }
    }

    /// w of one latent from its decoder norms; for DECOUPLED the sum, so that v = Σ_m f_m·n_m where both models' codes are active.
    pub fn weight(self, norm_base: f32, norm_chat: f32) -> f32 {
        let sae = || (f64::from(norm_base).powi(2) + f64::from(norm_chat).powi(2)).sqrt();
        match self {
            Self::Crosscoder | Self::Decoupled => norm_base + norm_chat,
            Self::Sae => sae() as f32,
            Self::Mixed {
                alpha_sae,
                alpha_cc,
            } => {
                (alpha_sae * sae() + alpha_cc * (f64::from(norm_base) + f64::from(norm_chat)))
                    as f32
            }
            Self::None => 1.0,
        }
    }
}
