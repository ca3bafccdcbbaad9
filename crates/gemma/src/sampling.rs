//! Greedy and seeded sampling from one row of logits.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Chooses tokens; equal seeds give equal choices on equal logits.
#[derive(Clone, Debug)]
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// `temperature` 0 is greedy; `top_p` of 1 or more keeps every token, less keeps the fewest most probable ones that reach it together.
    pub fn new(temperature: f64, top_p: f64, seed: u64) -> Self {
        Self {
            temperature,
            top_p,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A token, and the logarithm of its probability before temperature and `top_p`, in nats.
    ///
    /// Among equal largest logits the lowest id is taken; NaN logits are never taken. No logits give id 0 with probability 0.
    pub fn sample(&mut self, logits: &[f32]) -> (u32, f32) {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let id = if self.temperature > 0.0 {
            self.draw(logits, largest)
        } else {
            logits.iter().position(|x| *x == largest).unwrap_or(0)
        };
        let shifted = |x: f32| f64::from(x) - f64::from(largest);
        let normaliser = logits.iter().map(|x| shifted(*x).exp()).sum::<f64>().ln();
        let logprob = logits
            .get(id)
            .map_or(f64::NEG_INFINITY, |x| shifted(*x) - normaliser);
        (id as u32, logprob as f32)
    }

    fn draw(&mut self, logits: &[f32], largest: f32) -> usize {
        let weight = |x: f32| ((f64::from(x) - f64::from(largest)) / self.temperature).exp();
        let mut weights: Vec<(usize, f64)> = logits
            .iter()
            .enumerate()
            .map(|(id, x)| (id, weight(*x)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let mut total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if self.top_p < 1.0 {
            weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut reached = 0.0;
            let kept = weights
                .iter()
                .position(|(_, weight)| {
                    reached += weight;
                    reached >= self.top_p * total
                })
                .map_or(weights.len(), |last| last + 1);
            weights.truncate(kept);
            total = weights.iter().map(|(_, weight)| weight).sum();
        }
        let mut left = self.rng.random::<f64>() * total;
        for (id, weight) in &weights {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        weights.last().map_or(0, |(id, _)| *id)
    }
}
