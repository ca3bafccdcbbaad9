//! How quickly memory is read.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Bytes that are read: far more than any cache holds.
const BYTES: usize = 2 << 30;
/// Bytes per task.
const TASK: usize = 1 << 20;
/// Sweeps that count; one more goes before them.
const REPETITIONS: usize = 7;

/// Bytes per second of each sweep over memory on all threads.
pub(crate) fn sweeps() -> Vec<f64> {
    let numbers: Vec<u64> = (0..BYTES as u64 / 8).collect();
    let sweep = || {
        let start = Instant::now();
        let sum = numbers
            .par_chunks(TASK / 8)
            .map(|task| {
                // Independent sums, so that arithmetic is not the limit.
                let mut sums = [0u64; 32];
                for chunk in task.as_chunks::<32>().0 {
                    for (sum, x) in sums.iter_mut().zip(chunk) {
                        *sum = sum.wrapping_add(*x);
                    }
                }
                sums.iter().fold(0u64, |a, b| a.wrapping_add(*b))
            })
            .reduce(|| 0, u64::wrapping_add);
        black_box(sum);
        BYTES as f64 / start.elapsed().as_secs_f64()
    };
    sweep();
    (0..REPETITIONS).map(|_| sweep()).collect()
}
