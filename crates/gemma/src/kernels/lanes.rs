//! Reductions in eight lanes, which, unlike a plain fold, vectorise.

const LANES: usize = 8;

/// Folds the lanes of `values` with `step` and then their ends with `step`.
#[inline(always)]
fn fold(values: &[f32], start: f32, step: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, *x);
        }
    }
    lanes.iter().chain(rest).fold(start, |a, b| step(a, *b))
}

/// Sum.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f32 {
    fold(values, 0.0, |a, b| a + b)
}

/// Largest element; −∞ for none.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    fold(values, f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

/// Σ a·b.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    sum(&lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Σ a·b·(1 + w).
#[inline(always)]
pub(super) fn weighted_dot(a: &[f32], b: &[f32], w: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest), (w, w_rest)) = (
        a.as_chunks::<LANES>(),
        b.as_chunks::<LANES>(),
        w.as_chunks::<LANES>(),
    );
    let mut lanes = [0.0f32; LANES];
    for ((a, b), w) in a.iter().zip(b).zip(w) {
        for (((lane, a), b), w) in lanes.iter_mut().zip(a).zip(b).zip(w) {
            *lane += a * b * (1.0 + w);
        }
    }
    let rest = a_rest.iter().zip(b_rest).zip(w_rest);
    sum(&lanes) + rest.map(|((a, b), w)| a * b * (1.0 + w)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::{dot, largest, sum, weighted_dot};

    #[test]
    fn reductions_count_every_element_once() {
        for length in [0usize, 1, 7, 8, 9, 16, 37] {
            let a: Vec<f32> = (0..length).map(|i| i as f32 - 3.0).collect();
            let b: Vec<f32> = (0..length).map(|i| (i % 5) as f32).collect();
            let products = a.iter().zip(&b).map(|(a, b)| a * b);
            assert_eq!(sum(&a), a.iter().sum::<f32>());
            assert_eq!(dot(&a, &b), products.clone().sum::<f32>());
            let weighted = products.zip(&a).map(|(p, w)| p * (1.0 + w)).sum::<f32>();
            assert_eq!(weighted_dot(&a, &b, &a), weighted);
            assert_eq!(largest(&a), a.last().copied().unwrap_or(f32::NEG_INFINITY));
        }
    }
}
