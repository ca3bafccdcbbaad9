//! Counters that the engine keeps about itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{Error, KeptPrompts};

/// Upper bounds in seconds of the buckets of time to first token.
pub const FIRST_TOKEN_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The engine's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Requests that wait for the worker.
    pub queue_depth: usize,
    /// Tokens generated since the start.
    pub tokens_generated: u64,
    /// Seconds spent on generating them.
    pub decode_seconds: f64,
    /// Prompt tokens read for lanes that generate, once for lanes that read them alike.
    pub prefill_tokens: u64,
    /// Seconds spent on reading them, lower halves included.
    pub prefill_seconds: f64,
    /// Requests that failed in their computation.
    pub failures: u64,
    /// Requests whose client left before they were answered.
    pub skipped: u64,
    /// Per bucket of [`FIRST_TOKEN_BUCKETS`], how many lanes had their first token within it (not cumulative); the last entry is beyond all.
    pub first_token: [u64; FIRST_TOKEN_BUCKETS.len() + 1],
    /// Sum of the times to first token, in seconds.
    pub first_token_sum: f64,
    /// Whether the lower and the upper half of the base and the chat model are in memory.
    pub resident: [[bool; 2]; 2],
    /// Prompts read of late.
    pub kept: KeptPrompts,
}

/// The counters themselves, shared between the worker and its callers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    queue: AtomicUsize,
    tokens: AtomicU64,
    decode_micros: AtomicU64,
    prefill_tokens: AtomicU64,
    prefill_micros: AtomicU64,
    failures: AtomicU64,
    skipped: AtomicU64,
    first_token: [AtomicU64; FIRST_TOKEN_BUCKETS.len() + 1],
    first_token_micros: AtomicU64,
}

impl Counters {
    /// Counts a request that waits, unless `most` do already; gives how many did.
    ///
    /// # Errors
    /// The number that wait, when there is no room.
    pub(crate) fn wait(&self, most: usize) -> Result<usize, usize> {
        self.queue
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < most).then_some(waiting + 1)
            })
    }

    /// Counts a waiting request as begun.
    pub(crate) fn start(&self) {
        self.queue.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a waiting request as not served.
    pub(crate) fn skip(&self) {
        self.start();
        self.abandon();
    }

    /// Counts a request whose client left before its end.
    pub(crate) fn abandon(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and logs a request that failed in its computation.
    pub(crate) fn failure(&self, error: &Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "a request failed");
    }

    /// Counts a generated token.
    pub(crate) fn token(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the time that a token took.
    pub(crate) fn decoded(&self, milliseconds: f64) {
        self.decode_micros
            .fetch_add((milliseconds * 1e3) as u64, Ordering::Relaxed);
    }

    /// Counts prompt tokens read by a lane, and time spent on reading.
    pub(crate) fn prefilled(&self, tokens: usize, milliseconds: f64) {
        self.prefill_tokens
            .fetch_add(tokens as u64, Ordering::Relaxed);
        self.prefill_micros
            .fetch_add((milliseconds * 1e3) as u64, Ordering::Relaxed);
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
            decode_seconds: seconds(&self.decode_micros),
            prefill_tokens: self.prefill_tokens.load(Ordering::Relaxed),
            prefill_seconds: seconds(&self.prefill_micros),
            failures: self.failures.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            first_token: std::array::from_fn(|i| {
                self.first_token
                    .get(i)
                    .map_or(0, |c| c.load(Ordering::Relaxed))
            }),
            first_token_sum: seconds(&self.first_token_micros),
            resident: [[false; 2]; 2],
            kept: KeptPrompts::default(),
        }
    }
}

fn seconds(micros: &AtomicU64) -> f64 {
    micros.load(Ordering::Relaxed) as f64 / 1e6
}
