//! Counters that the engine keeps about itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Upper bounds in seconds of the buckets of time to first token.
pub const FIRST_TOKEN_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The engine's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Requests that wait for the worker.
    pub queue_depth: usize,
    /// Tokens generated since the start.
    pub tokens_generated: u64,
    /// Requests that failed in their computation.
    pub failures: u64,
    /// Requests whose client left before they were served.
    pub skipped: u64,
    /// Per bucket of [`FIRST_TOKEN_BUCKETS`], how many lanes had their first token within it (not cumulative); the last entry is beyond all.
    pub first_token: [u64; FIRST_TOKEN_BUCKETS.len() + 1],
    /// Sum of the times to first token, in seconds.
    pub first_token_sum: f64,
}

/// The counters themselves, shared between the worker and its callers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub queue: AtomicUsize,
    pub tokens: AtomicU64,
    pub failures: AtomicU64,
    pub skipped: AtomicU64,
    first_token: [AtomicU64; FIRST_TOKEN_BUCKETS.len() + 1],
    first_token_micros: AtomicU64,
}

impl Counters {
    /// Counts a generated token.
    pub(crate) fn token(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a lane's first token after so many seconds.
    pub(crate) fn first_token(&self, seconds: f64) {
        let bucket = FIRST_TOKEN_BUCKETS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.first_token.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.first_token_micros
            .fetch_add((seconds * 1e6) as u64, Ordering::Relaxed);
    }

    /// The counters now.
    pub(crate) fn snapshot(&self) -> Metrics {
        Metrics {
            queue_depth: self.queue.load(Ordering::Relaxed),
            tokens_generated: self.tokens.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            first_token: std::array::from_fn(|i| {
                self.first_token
                    .get(i)
                    .map_or(0, |c| c.load(Ordering::Relaxed))
            }),
            first_token_sum: self.first_token_micros.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }
}
