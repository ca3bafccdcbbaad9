//! Training one stage: batches, rate, gradient, optimiser, and a state that survives a kill.

mod adamw;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use gemma::train::Trainable;
use pipeline::Progress;

use crate::error::{Error, Result};
use crate::preset::Stage;
use adamw::AdamW;
pub(crate) use rows::{Batch, Feeder};

/// Seconds between two saved states.
pub(crate) const SAVE_EVERY: f64 = 45.0;

/// What a stage came to.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Trained {
    /// Pieces read, padding not counted.
    pub tokens: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Seconds of training, stops not counted.
    pub seconds: f64,
    /// Running mean of the loss at the end, nats per weighted piece.
    pub loss: f64,
}

/// The rate of a step: linear warm-up, then a cosine over the tokens down to 5 % of the peak.
fn rate(stage: &Stage, step: usize, tokens: usize) -> f64 {
    let warm = ((step + 1) as f64 / stage.warm_up.max(1) as f64).min(1.0);
    let done = (tokens as f64 / stage.tokens.max(1) as f64).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
    stage.peak_rate * warm * (0.05 + 0.95 * cosine)
}

/// Trains `model` through one stage, from the state in `state` where there is one, saving it every so many seconds.
///
/// # Errors
/// When the loss leaves the range of numbers, the state cannot be written or belongs to another model.
pub(crate) fn run(
    model: &Trainable,
    feeder: &Feeder<'_>,
    state: &Path,
    progress: &dyn Progress,
    save_every: f64,
) -> Result<Trained> {
    let device = Device::Cpu;
    let stage = feeder.stage;
    let mut optimiser = AdamW::new(model.vars());
    let mut place = state::resume(state, &mut optimiser)?.unwrap_or_default();
    progress.start(feeder.name, "tokens", stage.tokens as u64);
    let mut begun = Instant::now();
    let mut saved = Instant::now();
    while place.tokens < stage.tokens {
        for batch in feeder.batches(place.pool)?.into_iter().skip(place.batch) {
            let shape = (batch.rows.len(), batch.width());
            let (targets, weights) = batch.targets();
            place.batch += 1;
            place.tokens += batch.tokens();
            if weights.iter().all(|weight| *weight == 0.0) {
                continue;
            }
            let ids = Tensor::from_vec(batch.ids(), shape, &device)?;
            let targets = Tensor::from_vec(targets, shape, &device)?;
            let weights = Tensor::from_vec(weights, shape, &device)?;
            let (value, gradients) = model.loss_and_gradients(&ids, &targets, &weights)?;
            if !value.is_finite() {
                return Err(Error::Diverged {
                    stage: feeder.name,
                    step: optimiser.step,
                    loss: value,
                });
            }
            optimiser.update(&gradients, rate(stage, optimiser.step, place.tokens))?;
            let share = 1.0 / (optimiser.step.min(100)) as f64;
            place.loss += share * (f64::from(value) - place.loss);
            progress.advance(place.tokens.min(stage.tokens) as u64);
            progress.figures(&[("loss", place.loss)]);
            if place.tokens >= stage.tokens {
                break;
            }
            if saved.elapsed().as_secs_f64() >= save_every {
                place.seconds += begun.elapsed().as_secs_f64();
                begun = Instant::now();
                state::save(state, &optimiser, &place)?;
                saved = Instant::now();
            }
        }
        place.pool += 1;
        place.batch = 0;
    }
    place.seconds += begun.elapsed().as_secs_f64();
    progress.finish();
    Ok(Trained {
        tokens: place.tokens,
        steps: optimiser.step,
        seconds: place.seconds,
        loss: place.loss,
    })
}
