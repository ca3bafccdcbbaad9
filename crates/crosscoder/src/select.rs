//! BatchTopK's selection: the largest activations of a whole batch, without sorting it.

/// What a selection over a batch keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Flat indices of the kept entries, ascending.
    pub kept: Vec<usize>,
    /// Smallest kept activation; 0 if none is kept.
    pub threshold: f32,
}

/// Top bits of a positive f32 by which entries are counted: exponent and three bits of mantissa.
pub(crate) const BUCKET_SHIFT: u32 = 20;
/// Number of counting buckets of positive numbers.
pub(crate) const BUCKETS: usize = 1 << (31 - BUCKET_SHIFT);

/// Bucket of a positive number; larger numbers never have smaller buckets.
pub(crate) fn bucket(v: f32) -> usize {
    (v.to_bits() >> BUCKET_SHIFT) as usize
}

/// The bucket in which the `count`-th largest number lies, and how many numbers lie in higher buckets.
pub(crate) fn threshold_bucket(histogram: &[u32], count: usize) -> (usize, usize) {
    let mut above = 0usize;
    for (bucket, &n) in histogram.iter().enumerate().rev() {
        if above + n as usize >= count {
            return (bucket, above);
        }
        above += n as usize;
    }
    (0, above)
}

/// Keeps the k·rows largest positive entries of `v` ([rows, F] row-major) over the whole batch. Of equal entries, those that come
/// first in the batch stay. Entries that are not positive are never kept, so fewer may be.
pub fn top_k_over_batch(v: &[f32], rows: usize, k: usize) -> Selection {
    let count = k.saturating_mul(rows);
    let mut histogram = vec![0u32; BUCKETS];
    let mut positive = 0usize;
    for &x in v {
        if x > 0.0 {
            positive += 1;
            if let Some(n) = histogram.get_mut(bucket(x)) {
                *n += 1;
            }
        }
    }
    let mut kept: Vec<usize> = Vec::with_capacity(count.min(positive));
    if count == 0 {
        return Selection {
            kept,
            threshold: 0.0,
        };
    }
    let (cut, mut quota) = if positive <= count {
        (0.0, 0)
    } else {
        let (at, above) = threshold_bucket(&histogram, count);
        let mut candidates: Vec<f32> = v
            .iter()
            .copied()
            .filter(|&x| x > 0.0 && bucket(x) == at)
            .collect();
        nth_largest(&mut candidates, count - above)
    };
    let mut threshold = f32::INFINITY;
    for (i, &x) in v.iter().enumerate() {
        let ties = x == cut && quota > 0;
        if x > 0.0 && (x > cut || ties) {
            quota -= usize::from(x == cut);
            threshold = threshold.min(x);
            kept.push(i);
        }
    }
    if kept.is_empty() {
        threshold = 0.0;
    }
    Selection { kept, threshold }
}

/// The n-th largest of some numbers (n ≥ 1), and how many entries equal to it belong to the n largest.
pub(crate) fn nth_largest(values: &mut [f32], n: usize) -> (f32, usize) {
    if n == 0 || values.is_empty() {
        return (f32::INFINITY, 0);
    }
    let n = n.min(values.len());
    let (larger, &mut cut, _) = values.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
    let above = larger.iter().filter(|&&x| x > cut).count();
    (cut, n - above)
}
