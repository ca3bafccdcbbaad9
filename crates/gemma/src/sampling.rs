//! Greedy and seeded sampling from one row of logits.

use std::cmp::Ordering;

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::rngs::StdRng;

use crate::kernels::{normaliser, weights};
use crate::{Error, Result};

/// Temperatures below this are greedy: dividing logits by less leaves the range of f32.
const COLDEST: f64 = 1e-7;
/// Top bits of a positive f32 by which probabilities are told apart at first: exponent and three bits of mantissa.
const BUCKET_SHIFT: u32 = 20;
/// Number of such groups of positive numbers.
const BUCKETS: usize = 1 << (31 - BUCKET_SHIFT);

/// Chooses tokens; equal seeds give equal choices on equal logits.
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    top_k: usize,
    random: StdRng,
}

impl Sampler {
    /// `temperature` 0 is greedy; `top_k` above 0 keeps so many of the most probable tokens; of these, `top_p` of 1 or more keeps every one,
    /// less keeps the fewest most probable ones that reach it together, as a share of all tokens.
    pub fn new(temperature: f64, top_p: f64, top_k: usize, seed: u64) -> Self {
        Self {
            temperature,
            top_p,
            top_k,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// A token, and the logarithm of its probability before temperature and `top_p`, in nats.
    ///
    /// Among equal largest logits greedy sampling takes the lowest id, and never a NaN.
    ///
    /// # Errors
    /// [`Error::Argument`] when the logits give no distribution: none at all, or NaN.
    pub fn sample(&mut self, logits: &[f32]) -> Result<(u32, f32)> {
        let (largest, normaliser) = normaliser(logits);
        let id = if self.temperature < COLDEST {
            logits.iter().position(|x| *x == largest).unwrap_or(0)
        } else {
            self.draw(logits, largest)?
        };
        let logit = logits.get(id).ok_or_else(no_distribution)?;
        let shifted = f64::from(*logit) - f64::from(largest);
        Ok((id as u32, (shifted - normaliser) as f32))
    }

    /// A random token. The one copy of the vocabulary holds probabilities, then their running sums.
    fn draw(&mut self, logits: &[f32], largest: f32) -> Result<usize> {
        let mut sums = weights(logits, largest, self.temperature as f32);
        let all: f64 = sums.iter().map(|weight| f64::from(*weight)).sum();
        if self.top_k > 0 && self.top_k < sums.len() {
            keep_largest(&mut sums, self.top_k as f64, |_| 1.0);
        }
        if self.top_p < 1.0 {
            keep_largest(&mut sums, self.top_p * all, f64::from);
        }
        let mut total = 0.0;
        for sum in &mut sums {
            total += *sum;
            *sum = total;
        }
        let range = Uniform::new(0.0, total).map_err(|_| no_distribution())?;
        let drawn = range.sample(&mut self.random);
        let last = sums.len().saturating_sub(1);
        Ok(sums.partition_point(|sum| *sum <= drawn).min(last))
    }
}

/// Sets all weights to 0 but the fewest largest ones whose sizes together reach `wanted`; of equal ones the first stay.
fn keep_largest(weights: &mut [f32], wanted: f64, size: impl Fn(f32) -> f64) {
    let bucket = |weight: f32| (weight.max(0.0).to_bits() >> BUCKET_SHIFT) as usize;
    let mut sums = vec![0f64; BUCKETS];
    for weight in weights.iter() {
        if let Some(sum) = sums.get_mut(bucket(*weight)) {
            *sum += size(*weight);
        }
    }
    // Whole groups from the largest down, then one by one in the group that reaches the share.
    let mut reached = 0.0;
    let mut edge = BUCKETS;
    while edge > 0 && reached < wanted {
        edge -= 1;
        reached += sums.get(edge).copied().unwrap_or_default();
    }
    reached -= sums.get(edge).copied().unwrap_or_default();
    let mut at_edge: Vec<usize> = Vec::new();
    for (i, weight) in weights.iter_mut().enumerate() {
        match bucket(*weight).cmp(&edge) {
            Ordering::Less => *weight = 0.0,
            Ordering::Equal => at_edge.push(i),
            Ordering::Greater => {}
        }
    }
    let weight = |i: &usize| weights.get(*i).copied().unwrap_or_default();
    at_edge.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    for i in at_edge {
        if let Some(weight) = weights.get_mut(i) {
            if reached < wanted {
                reached += size(*weight);
            } else {
                *weight = 0.0;
            }
        }
    }
}

fn no_distribution() -> Error {
    Error::Argument("the logits give no distribution to draw a token from".into())
}

#[cfg(test)]
mod tests {
    use super::keep_largest;

    #[test]
    fn the_fewest_most_probable_stay_as_a_full_sort_finds_them() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Many orders of magnitude, and equal ones.
            (-((state >> 24) as f32) / 9.0).exp()
        };
        let all: Vec<f32> = (0..2000).map(|_| next()).collect();
        let total: f64 = all.iter().map(|x| f64::from(*x)).sum();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|a, b| all[*b].total_cmp(&all[*a]));
        for share in [0.01f64, 0.3, 0.7, 0.9, 0.99, 0.9999] {
            let mut kept = all.clone();
            keep_largest(&mut kept, share * total, f64::from);
            let mut reached = 0.0;
            for &i in &order {
                let expected = if reached < share * total { all[i] } else { 0.0 };
                assert_eq!(kept[i], expected, "{i} for {share}");
                reached += f64::from(expected);
            }
        }
        for count in [1, 2, 40, 1999] {
            let mut kept = all.clone();
            keep_largest(&mut kept, count as f64, |_| 1.0);
            for (place, &i) in order.iter().enumerate() {
                let expected = if place < count { all[i] } else { 0.0 };
                assert_eq!(kept[i], expected, "{i} for {count}");
            }
        }
    }
}
