//! Random numbers and comparisons.

use diffing::dot;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

pub(crate) fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found} is not {expected}"
    );
}

pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(1e-12..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Noise of unit variance, cheaper than Gaussian.
pub(crate) fn noise(rng: &mut ChaCha8Rng, dim: usize) -> Vec<f64> {
    let width = 3f64.sqrt();
    (0..dim).map(|_| rng.random_range(-width..width)).collect()
}

/// A code that is active on about a tenth of the tokens, log-normal with mean 10, exact in f32.
pub(crate) fn code(rng: &mut ChaCha8Rng) -> Option<f32> {
    (rng.random::<f64>() < 0.1).then(|| (10.0 * (normal(rng) - 0.5).exp()) as f32)
}

pub(crate) fn dot64(d: &[f32], y: &[f64]) -> f64 {
    d.iter().zip(y).map(|(d, y)| f64::from(*d) * y).sum()
}

/// Takes from `y` what lies along `d`.
pub(crate) fn orthogonalise(y: &mut [f64], d: &[f32]) {
    let along = dot64(d, y) / dot(d, d);
    y.iter_mut()
        .zip(d)
        .for_each(|(y, d)| *y -= along * f64::from(*d));
}
