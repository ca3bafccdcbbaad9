//! Histograms: equal bins over a range, and mergeable logarithmic bins of unbounded range.

use api::Histogram;
use serde::{Deserialize, Serialize};

/// Counts values in equal bins of the closed range `from..=to`. Values outside it and NaN are not counted.
pub fn histogram(
    values: impl IntoIterator<Item = f64>,
    from: f64,
    to: f64,
    bins: usize,
) -> Histogram {
    let width = (to - from) / bins as f64;
    let edges = (0..=bins)
        .map(|i| {
            if i == bins {
                to
            } else {
                from + width * i as f64
            }
        })
        .collect::<Vec<_>>();
    let mut counts = vec![0u64; bins];
    for value in values {
        if !(from..=to).contains(&value) || bins == 0 {
            continue;
        }
        let mut bin = (((value - from) / width) as usize).min(bins - 1);
        // The quotient may round across an edge: the edges decide.
        if edges.get(bin).is_some_and(|&edge| value < edge) {
            bin = bin.saturating_sub(1);
        } else if bin + 1 < bins && edges.get(bin + 1).is_some_and(|&edge| value >= edge) {
            bin += 1;
        }
        if let Some(count) = counts.get_mut(bin) {
            *count += 1;
        }
    }
    Histogram { edges, counts }
}

/// Counts of positive values in eight bins per octave, whatever their scale; grows as values come and merges exactly.
///
/// Bin edges are the f32 numbers whose mantissa has three bits: 2^e·(1 + m/8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHistogram {
    first: u32,
    counts: Vec<u64>,
}

impl FromIterator<f32> for LogHistogram {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        let mut histogram = Self::default();
        for value in values {
            histogram.add(value);
        }
        histogram
    }
}

/// A positive f32's exponent and first three bits of mantissa.
const BIN_SHIFT: u32 = 20;

impl LogHistogram {
    /// Counts one value; zero, negative and NaN values are not counted.
    pub fn add(&mut self, value: f32) {
        if let Some(bin) = Self::bin(value) {
            self.add_bin(u32::from(bin), 1);
        }
    }

    /// Number of the bin of a value; `None` for zero, negative, infinite and NaN values.
    pub fn bin(value: f32) -> Option<u16> {
        (value > 0.0 && value.is_finite()).then(|| (value.to_bits() >> BIN_SHIFT) as u16)
    }

    /// Adds another part's counts.
    pub fn merge(&mut self, other: &Self) {
        for (offset, &count) in other.counts.iter().enumerate() {
            if count > 0 {
                self.add_bin(other.first + offset as u32, count);
            }
        }
    }

    fn add_bin(&mut self, bin: u32, count: u64) {
        if self.counts.is_empty() {
            self.first = bin;
        }
        if bin < self.first {
            let missing = (self.first - bin) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = bin;
        }
        let offset = (bin - self.first) as usize;
        if offset >= self.counts.len() {
            self.counts.resize(offset + 1, 0);
        }
        if let Some(slot) = self.counts.get_mut(offset) {
            *slot += count;
        }
    }

    /// Counts by bin, the bins without values left out. A bin's number says where it lies on the scale of all positive values.
    pub fn bins(&self) -> impl Iterator<Item = (u16, u64)> {
        (self.first..)
            .zip(&self.counts)
            .filter(|(_, count)| **count > 0)
            .map(|(bin, &count)| (bin as u16, count))
    }

    /// The histogram that gives these [`LogHistogram::bins`], in any order.
    pub fn from_bins(bins: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut histogram = Self::default();
        for (bin, count) in bins {
            if count > 0 {
                histogram.add_bin(u32::from(bin), count);
            }
        }
        histogram
    }

    /// Values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Edges and counts from the first to the last bin in use; both empty if nothing was counted.
    pub fn to_histogram(&self) -> Histogram {
        if self.counts.is_empty() {
            return Histogram::default();
        }
        let edges = (0..=self.counts.len() as u32)
            .map(|i| f64::from(f32::from_bits((self.first + i) << BIN_SHIFT)))
            .collect();
        Histogram {
            edges,
            counts: self.counts.clone(),
        }
    }
}
