//! What training and validation report.

use serde::{Deserialize, Serialize};

/// One training step, measured on its own batch before the update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Step, from 0.
    pub step: u64,
    /// Tokens seen, this batch included.
    pub tokens: u64,
    /// The loss that is minimised.
    pub loss: f64,
    /// Mean over tokens and models of the error's norm.
    pub l2: f64,
    /// Mean over tokens and models of the error's squared norm.
    pub mse: f64,
    /// Mean over tokens of Σ v.
    pub sparsity: f64,
    /// Auxiliary loss before its weight; 0 without dead latents.
    pub auxiliary: f64,
    /// Mean number of active latents per token.
    pub l0: f64,
    /// Fraction of variance explained within the batch, base and chat.
    pub fve: [f64; 2],
    /// The same over both models.
    pub fve_total: f64,
    /// Share of latents that did not fire for `dead_after_tokens`.
    pub dead_share: f64,
    /// Estimate of the inference threshold; −1 before it begins.
    pub threshold: f32,
    /// k of this step (BatchTopK).
    pub k: usize,
    /// Learning rate of this step.
    pub lr: f64,
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
}

/// Validation with the inference threshold: plain means over batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Tokens read.
    pub tokens: u64,
    /// Fraction of variance explained, base and chat.
    pub fve: [f64; 2],
    /// The same over both models.
    pub fve_total: f64,
    /// Mean number of active latents per token.
    pub l0: f64,
    /// Mean over tokens and models of the error's norm.
    pub l2: f64,
    /// Share of latents that fired in no batch.
    pub dead_share: f64,
    /// Latents with Δ_norm above 0.9 in favour of base, and of chat.
    pub specific: [usize; 2],
}
