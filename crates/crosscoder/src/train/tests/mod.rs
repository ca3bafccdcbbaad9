//! The trainer held to automatic differentiation, to its own laws and to planted truth.

mod artefacts;
mod gradients;
mod laws;
mod learning;
mod saving;
mod selecting;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Settings, Trainer};

/// Random activations [rows, 2, dim].
fn batch(rows: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..rows * 2 * dim)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect()
}

/// A small trainer without a normaliser.
fn small(settings: Settings) -> Trainer {
    Trainer::new(settings, 6, 24, None).unwrap()
}
