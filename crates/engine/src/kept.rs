//! Prompts read of late: whoever asks for one again, or for one that begins like it, finds it read.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use api::ModelName;

use crate::reading::Reading;

/// Most readings kept of a model, so that looking one up stays quick where prompts take little room.
const MOST: usize = 64;

/// Readings of both models, those used last at the end, within a bound on their bytes.
pub(crate) struct Kept {
    readings: [Mutex<Vec<Arc<Reading>>>; 2],
    /// Bytes of one model's readings.
    limit: u64,
    hits: AtomicU64,
    misses: AtomicU64,
    tokens: AtomicU64,
}

/// How often prompts were found, and what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptPrompts {
    /// Readings of a prompt by a model that began with, or were, an earlier one.
    pub hits: u64,
    /// Readings that began anew.
    pub misses: u64,
    /// Tokens that were not read again.
    pub tokens: u64,
    /// Bytes kept now.
    pub bytes: u64,
}

/// What is kept of a prompt.
pub(crate) enum Found {
    /// All of it.
    Whole(Arc<Reading>),
    /// So many of its first tokens, whole pieces.
    Beginning(Arc<Reading>, usize),
    /// Nothing.
    Nothing,
}

impl Kept {
    /// Nothing yet; `bytes` bounds what is kept of both models.
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            readings: Default::default(),
            limit: bytes / 2,
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
            tokens: AtomicU64::default(),
        }
    }

    /// What is kept of a prompt that is read in pieces of so many tokens.
    pub(crate) fn find(&self, model: ModelName, ids: &[u32], piece: usize) -> Found {
        let mut readings = self.of(model);
        let shared = |reading: &Arc<Reading>| {
            let pairs = reading.ids().iter().zip(ids);
            pairs.take_while(|(a, b)| a == b).count()
        };
        let best = (0..).zip(readings.iter()).map(|(at, reading)| {
            let whole = reading.ids() == ids;
            let shared = shared(reading);
            (whole, shared - shared % piece.max(1), at)
        });
        let Some((whole, shared, at)) = best
            .max()
            .filter(|(whole, shared, _)| *whole || *shared > 0)
        else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return Found::Nothing;
        };
        let reading = readings.remove(at);
        readings.push(Arc::clone(&reading));
        let tokens = if whole { ids.len() } else { shared };
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
        if whole {
            Found::Whole(reading)
        } else {
            Found::Beginning(reading, shared)
        }
    }

    /// Keeps a reading, and lets go of the oldest ones where room is short.
    pub(crate) fn keep(&self, model: ModelName, reading: &Arc<Reading>) {
        self.of(model).push(Arc::clone(reading));
        self.trim(model);
    }

    /// Lets go of what has no room: a reading that is larger than all room, then the oldest ones.
    pub(crate) fn trim(&self, model: ModelName) {
        let mut readings = self.of(model);
        readings.retain(|reading| reading.bytes() <= self.limit);
        let sizes: Vec<u64> = readings.iter().map(|reading| reading.bytes()).collect();
        let (mut all, mut gone) = (sizes.iter().sum::<u64>(), 0);
        for size in sizes {
            if all <= self.limit && readings.len() - gone <= MOST {
                break;
            }
            all -= size;
            gone += 1;
        }
        readings.drain(..gone);
    }

    /// The counts now.
    pub(crate) fn counts(&self) -> KeptPrompts {
        let of = |model| self.of(model).iter().map(|r| r.bytes()).sum::<u64>();
        KeptPrompts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
            bytes: ModelName::BOTH.map(of).iter().sum(),
        }
    }

    /// A model's readings; they are whole whatever happened to whoever held them.
    fn of(&self, model: ModelName) -> MutexGuard<'_, Vec<Arc<Reading>>> {
        let readings = &self.readings[model.index()];
        readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
