//! What training and validation report. Field names in files are those of the dictionary_learning library's logs, but for `fve_*`
//! (there `cl0_`, `cl1_` and plain `frac_variance_explained`) and `dead_share` (there `val/frac_deads`, or `running_deads` of F).

use serde::{Deserialize, Serialize};

/// One training step, measured on its own batch before the update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Step, from 0.
    pub step: u64,
    /// Tokens seen, this batch included.
    #[serde(rename = "num_tokens")]
    pub tokens: u64,
    /// The loss that is minimised.
    pub loss: f64,
    /// Mean over tokens and models of the error's norm.
    #[serde(rename = "l2_loss")]
    pub l2: f64,
    /// Mean over tokens and models of the error's squared norm.
    #[serde(rename = "mse_loss")]
    pub mse: f64,
    /// Mean over tokens of Σ v.
    #[serde(rename = "sparsity_loss")]
    pub sparsity: f64,
    /// Mean number of active latents per token; under DECOUPLED the mean over models too.
    pub l0: f64,
    /// Fraction of variance explained within the batch, base and chat.
    #[serde(flatten, with = "per_model::fve")]
    pub fve: [f64; 2],
    /// The same over both models.
    pub fve_total: f64,
    /// Root mean square over tokens of the activations' norm, normalised, base and chat.
    #[serde(flatten, with = "per_model::rms_norm")]
    pub rms: [f64; 2],
    /// Mean code weight w.
    pub sparsity_weight: f64,
    /// Share of latents that did not fire in this batch: for L1, with v above 1e-4.
    pub frac_deads: f64,
    /// Latents that did not fire for `dead_after_tokens`.
    pub running_deads: u64,
    /// Their share.
    pub dead_share: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// What only BatchTopK has.
    #[serde(flatten)]
    pub batch_top_k: Option<BatchTopKMetrics>,
}

/// The part of [`StepMetrics`] that only BatchTopK has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchTopKMetrics {
    /// Auxiliary loss before its weight; 0 without dead latents.
    #[serde(rename = "auxk_loss")]
    pub auxiliary: f64,
    /// The same before it is divided by the error's variance; −1 without dead latents.
    #[serde(rename = "pre_norm_auxk_loss")]
    pub auxiliary_squared: f64,
    /// Estimate of the inference threshold, of the chat model under DECOUPLED; −1 before it begins.
    pub threshold: f32,
    /// Estimate for the base model under DECOUPLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_l0: Option<f32>,
    /// k of this step.
    #[serde(rename = "k_current_value")]
    pub k: usize,
    /// k of this step again: the library logs it under both names.
    pub effective_l0: usize,
}

/// Validation with the inference threshold: plain means over batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Tokens read.
    #[serde(rename = "num_tokens")]
    pub tokens: u64,
    /// The loss, without its auxiliary part.
    pub loss: f64,
    /// Fraction of variance explained, base and chat.
    #[serde(flatten, with = "per_model::fve")]
    pub fve: [f64; 2],
    /// The same over both models.
    pub fve_total: f64,
    /// Mean number of active latents per token; under DECOUPLED the mean over models too.
    pub l0: f64,
    /// Mean over tokens and models of the error's norm.
    #[serde(rename = "l2_loss")]
    pub l2: f64,
    /// Mean over tokens and models of the error's squared norm.
    #[serde(rename = "mse_loss")]
    pub mse: f64,
    /// Mean over tokens of Σ v.
    #[serde(rename = "sparsity_loss")]
    pub sparsity: f64,
    /// Share of latents that fired in no batch: for L1, with v above 1e-4.
    pub dead_share: f64,
    /// Latents with Δ_norm above 0.9 in favour of base, and of chat.
    #[serde(flatten, with = "per_model::specific")]
    pub specific: [usize; 2],
}

/// Numbers of both models as two fields of the object around them.
mod per_model {
    macro_rules! pair {
        ($module:ident, $number:ty, $base:literal, $chat:literal) => {
            pub(super) mod $module {
                use serde::{Deserialize, Deserializer, Serialize, Serializer};

                #[derive(Serialize, Deserialize)]
                struct Pair {
                    #[serde(rename = $base)]
                    base: $number,
                    #[serde(rename = $chat)]
                    chat: $number,
                }

                pub(in super::super) fn serialize<S: Serializer>(
                    &[base, chat]: &[$number; 2],
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    Pair { base, chat }.serialize(serializer)
                }

                pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<[$number; 2], D::Error> {
                    Pair::deserialize(deserializer).map(|pair| [pair.base, pair.chat])
                }
            }
        };
    }

    pair!(fve, f64, "fve_base", "fve_chat");
    pair!(rms_norm, f64, "rms_norm_l0", "rms_norm_l1");
    pair!(
        specific,
        usize,
        "num_specific_latents_l0",
        "num_specific_latents_l1"
    );
}
