//! Geometric median, where the decoder bias may start.

/// Most iterations of Weiszfeld's algorithm, and the move below which it stops.
const ITERATIONS: usize = 100;
const SMALLEST_MOVE: f64 = 1e-5;
/// Guards against a point on the median itself.
const SMALLEST_DISTANCE: f64 = 1e-8;

/// Geometric median of each model's rows in `x` ([B, 2, D]), by Weiszfeld's algorithm from the mean: [2, D].
pub(super) fn geometric_medians(x: &[f32], dim: usize) -> Vec<f32> {
    let width = 2 * dim;
    let rows = || x.chunks_exact(width);
    let count = rows().len().max(1) as f64;
    let mut median = vec![0f64; width];
    for row in rows() {
        for (sum, &x) in median.iter_mut().zip(row) {
            *sum += f64::from(x) / count;
        }
    }
    let mut next = vec![0f64; width];
    for _ in 0..ITERATIONS {
        next.fill(0.0);
        let mut totals = [0f64; 2];
        for row in rows() {
            let models = row
                .chunks_exact(dim)
                .zip(median.chunks_exact(dim))
                .zip(next.chunks_exact_mut(dim))
                .zip(&mut totals);
            for (((row, median), next), total) in models {
                let weight = 1.0 / distance(row.iter().map(|&x| f64::from(x)), median);
                *total += weight;
                for (sum, &x) in next.iter_mut().zip(row) {
                    *sum += weight * f64::from(x);
                }
            }
        }
        let mut largest = 0f64;
        let models = next.chunks_exact_mut(dim).zip(median.chunks_exact(dim));
        for ((next, median), total) in models.zip(totals) {
            for x in next.iter_mut() {
                *x /= total;
            }
            largest = largest.max(distance(next.iter().copied(), median));
        }
        std::mem::swap(&mut median, &mut next);
        if largest < SMALLEST_MOVE {
            break;
        }
    }
    median.into_iter().map(|x| x as f32).collect()
}

fn distance(a: impl Iterator<Item = f64>, b: &[f64]) -> f64 {
    a.zip(b)
        .map(|(x, y)| (x - y).powi(2))
        .sum::<f64>()
        .sqrt()
        .max(SMALLEST_DISTANCE)
}
