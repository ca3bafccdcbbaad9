//! What a row of logits is normalised by, and its probabilities before that, on all cores.

use matrix::widest;
use rayon::prelude::*;

use super::lanes::{largest, sum};
use super::math::exp;
use super::rows::fill_pieces;

/// Logits per task.
const TASK: usize = 1 << 13;
/// Logits whose exponentials are added in f32 before they are added in f64.
const PIECE: usize = 1 << 9;
/// Below it e^x is less than an f32 holds in full.
const LEAST: f32 = -87.0;

/// The largest of the logits, NaN aside, and ln Σ exp(logit − largest), which is NaN where a logit is.
pub(crate) fn normaliser(logits: &[f32]) -> (f32, f64) {
    let tasks = logits.par_chunks(TASK);
    let found: Vec<f32> = tasks
        .clone()
        .map(|some| {
            widest(
                #[inline(always)]
                |_| largest(some),
            )
        })
        .collect();
    let largest = largest(&found);
    let sums: Vec<f64> = tasks
        .map(|some| {
            widest(
                #[inline(always)]
                |_| powers(some, largest),
            )
        })
        .collect();
    (largest, sums.iter().sum::<f64>().ln())
}

/// exp((logit − largest) / temperature) of every logit.
pub(crate) fn weights(logits: &[f32], largest: f32, temperature: f32) -> Vec<f32> {
    let mut weights = vec![0.0; logits.len()];
    fill_pieces(
        &mut weights,
        logits.len(),
        #[inline(always)]
        |_, from, out| {
            for (out, x) in out.iter_mut().zip(&logits[from..]) {
                let power = (x - largest) / temperature;
                // The kernel's exponential never reaches 0.
                *out = if power < LEAST { 0.0 } else { exp(power) };
            }
        },
    );
    weights
}

/// Σ exp(logit − largest).
#[inline(always)]
fn powers(logits: &[f32], largest: f32) -> f64 {
    let mut powers = [0.0; PIECE];
    let mut total = 0.0;
    for some in logits.chunks(PIECE) {
        for (power, x) in powers.iter_mut().zip(some) {
            *power = exp(*x - largest);
        }
        total += f64::from(sum(powers.get(..some.len()).unwrap_or_default()));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::{normaliser, weights};

    #[test]
    fn equals_the_sum_in_f64() {
        for count in [1usize, 7, 513, 20_000] {
            let logits: Vec<f32> = (0..count)
                .map(|i| ((i * 7919) % 6007) as f32 / 100.0 - 31.0)
                .collect();
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers = logits
                .iter()
                .map(|x| (f64::from(*x) - f64::from(most)).exp());
            let (largest, found) = normaliser(&logits);
            assert_eq!(largest, most);
            assert!((found - powers.sum::<f64>().ln()).abs() < 1e-6, "{found}");
            for (weight, x) in weights(&logits, largest, 0.7).iter().zip(&logits) {
                let expected = ((f64::from(*x) - f64::from(most)) / 0.7).exp();
                assert!((f64::from(*weight) - expected).abs() <= 1e-5 * expected);
            }
        }
        assert!(normaliser(&[1.0, f32::NAN]).1.is_nan());
        assert_eq!(normaliser(&[1.0, f32::NAN]).0, 1.0);
        assert!(weights(&[1.0, f32::NAN], 1.0, 1.0)[1].is_nan());
        assert_eq!(weights(&[f32::NEG_INFINITY, 1.0], 1.0, 1.0), [0.0, 1.0]);
    }
}
