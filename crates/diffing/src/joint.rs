//! How two latents fire on the same tokens: joint histograms of their relative activations, and how often only one of them is strong.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Shares of the maximum that divide activations; one on an edge belongs to the bucket below it (the authors' constants).
pub const JOINT_EDGES: [f64; 4] = [1e-6, 0.1, 0.4, 0.7];
/// Buckets of relative strength, from not active to strongest.
pub const JOINT_BUCKETS: usize = JOINT_EDGES.len() + 1;
/// Buckets up to here are low, at most 0.1.
const LOW: usize = 1;
/// Buckets from here are high, above 0.4.
const HIGH: usize = 3;
/// Keeps a divergence of nothing at 0 (the authors' constant).
const EPSILON: f64 = 1e-10;

/// What an activation is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JointScale {
    /// The larger of the pair's two maxima.
    Pair,
    /// The latent's own maximum.
    Own,
}

impl JointScale {
    /// Both, in the order of every array over scales.
    pub const ALL: [Self; 2] = [Self::Pair, Self::Own];
}

/// Tokens by the buckets of two latents, `[first][second]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JointHistogram(pub [[u64; JOINT_BUCKETS]; JOINT_BUCKETS]);

impl JointHistogram {
    fn count(&self, first: impl Fn(usize) -> bool, second: impl Fn(usize) -> bool) -> u64 {
        let rows = self.0.iter().enumerate().filter(|(row, _)| first(*row));
        rows.flat_map(|(_, row)| row.iter().enumerate())
            .filter(|(column, _)| second(*column))
            .map(|(_, count)| count)
            .sum()
    }

    /// Tokens on which one of the two is high, the other low, as a share of those on which any is high:
    /// (N[high,low] + N[low,high]) / (N[high,:] + N[:,high] − N[high,high] + 1e-10). 0: they are strong together; 1: never.
    pub fn divergence(&self) -> f64 {
        let (low, high, any) = (|b: usize| b <= LOW, |b: usize| b >= HIGH, |_: usize| true);
        let apart = self.count(high, low) + self.count(low, high);
        let either = self.count(high, any) + self.count(any, high) - self.count(high, high);
        apart as f64 / (either as f64 + EPSILON)
    }

    /// With the two latents changing places.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut other = Self::default();
        for (row, counts) in self.0.iter().enumerate() {
            for (column, &count) in counts.iter().enumerate() {
                other.0[column][row] = count;
            }
        }
        other
    }
}

/// Pairs of latents to compare token by token, with the maxima that their activations are shares of.
#[derive(Clone, Debug)]
pub struct Pairs {
    named: Vec<(u32, u32)>,
    maxima: Vec<f32>,
    /// Of every latent: its pairs, and whether it is their first.
    of: Vec<Vec<(usize, bool)>>,
}

/// Joint histograms of pairs; mergeable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JointSums {
    tokens: u64,
    pairs: Vec<(u32, u32)>,
    /// By [`JointScale::ALL`]; tokens on which neither fires are not counted here.
    histograms: Vec<[JointHistogram; 2]>,
}

impl Pairs {
    /// Pairs of different latents of a dictionary, of whose latents `maxima` has the largest v; others are left out, and so is the second
    /// of two equal pairs.
    pub fn new(maxima: Vec<f32>, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut all = Self {
            named: Vec::new(),
            of: vec![Vec::new(); maxima.len()],
            maxima,
        };
        for (first, second) in pairs {
            let number = all.named.len();
            let known = |id: u32| (id as usize) < all.of.len();
            let there = |of: &[(usize, bool)]| {
                let mut pairs = of.iter().filter_map(|(number, _)| all.named.get(*number));
                pairs.any(|pair| *pair == (first, second))
            };
            let fresh = all.of.get(first as usize).is_some_and(|of| !there(of));
            if first == second || !fresh || !known(second) {
                continue;
            }
            all.named.push((first, second));
            for (id, is_first) in [(first, true), (second, false)] {
                if let Some(of) = all.of.get_mut(id as usize) {
                    of.push((number, is_first));
                }
            }
        }
        all
    }

    /// The pairs, in the order of naming.
    pub fn pairs(&self) -> &[(u32, u32)] {
        &self.named
    }

    /// No token yet.
    pub fn sums(&self) -> JointSums {
        JointSums {
            tokens: 0,
            pairs: self.named.clone(),
            histograms: vec![[JointHistogram::default(); 2]; self.named.len()],
        }
    }

    /// Adds one token with its active latents as (id, v), each once.
    pub fn add(&self, sums: &mut JointSums, active: &[(u32, f32)]) {
        sums.tokens += 1;
        for &(id, v) in active.iter().filter(|a| a.1 > 0.0) {
            let of = self.of.get(id as usize).map(Vec::as_slice);
            for &(number, is_first) in of.unwrap_or_default() {
                let (Some(&pair), Some(histograms)) =
                    (self.named.get(number), sums.histograms.get_mut(number))
                else {
                    continue;
                };
                let other = if is_first { pair.1 } else { pair.0 };
                let found = active.iter().find(|a| a.0 == other);
                let w = found.map_or(0.0, |a| a.1.max(0.0));
                // Where both fire, the first one's turn counts the token.
                if is_first || w == 0.0 {
                    let values = if is_first { [v, w] } else { [w, v] };
                    self.count(pair, values, histograms);
                }
            }
        }
    }

    fn count(&self, pair: (u32, u32), values: [f32; 2], histograms: &mut [JointHistogram; 2]) {
        let max = |id: u32| self.maxima.get(id as usize).copied().unwrap_or(0.0);
        let own = [max(pair.0), max(pair.1)];
        let pair = [own[0].max(own[1]); 2];
        for (maxima, histogram) in [pair, own].into_iter().zip(histograms) {
            let [row, column] = [0, 1].map(|i| bucket(values[i], maxima[i]));
            histogram.0[row][column] += 1;
        }
    }
}

/// Bucket of an activation: as many edges as lie below its share of the maximum.
fn bucket(v: f32, max: f32) -> usize {
    let relative = f64::from(v) / f64::from(max);
    JOINT_EDGES.iter().filter(|edge| relative > **edge).count()
}

impl JointSums {
    /// Adds another part's counts.
    ///
    /// # Errors
    /// If the parts were set up with other pairs.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.pairs != other.pairs {
            return Err(Error::Setup { what: "pairs" });
        }
        self.tokens += other.tokens;
        let here = self.histograms.as_flattened_mut().iter_mut();
        for (here, there) in here.zip(other.histograms.as_flattened()) {
            let counts = here.0.as_flattened_mut().iter_mut();
            for (here, there) in counts.zip(there.0.as_flattened()) {
                *here += there;
            }
        }
        Ok(())
    }

    /// Every pair with its histograms over all tokens, by [`JointScale::ALL`].
    pub fn histograms(&self) -> impl Iterator<Item = ((u32, u32), [JointHistogram; 2])> {
        let pairs = self.pairs.iter().copied().zip(&self.histograms);
        pairs.map(|(pair, histograms)| {
            let whole = histograms.map(|mut histogram| {
                let counted: u64 = histogram.0.as_flattened().iter().sum();
                histogram.0[0][0] += self.tokens.saturating_sub(counted);
                histogram
            });
            (pair, whole)
        })
    }
}
