//! How quickly memory is read.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Bytes that are read: far more than any cache holds.
const BYTES: usize = 2 << 30;
/// Numbers per task.
const TASK: usize = 1 << 17;
/// Places at which a task reads side by side: one alone does not keep the memory busy.
const STREAMS: usize = 4;
/// Numbers read at one place before the next.
const PIECE: usize = 32;
/// Sweeps that count; one more goes before them.
const REPETITIONS: usize = 7;

/// Bytes per second of each sweep over memory on all threads.
pub(crate) fn sweeps() -> Vec<f64> {
    let numbers: Vec<u64> = (0..BYTES as u64 / 8).collect();
    let sweep = || {
        let start = Instant::now();
        let sum = numbers
            .par_chunks(TASK)
            .map(|task| {
                let (a, rest) = task.split_at(task.len() / STREAMS);
                let (b, rest) = rest.split_at(a.len());
                let (c, d) = rest.split_at(a.len());
                let [a, b, c, d] = [a, b, c, d].map(|part| part.as_chunks::<PIECE>().0);
                // Independent sums, so that arithmetic is not the limit.
                let mut sums = [0u64; PIECE];
                for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
                    for piece in [a, b, c, d] {
                        for (sum, x) in sums.iter_mut().zip(piece) {
                            *sum = sum.wrapping_add(*x);
                        }
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
