//! Training batches out of shards: whole sequences held out, the rest shuffled anew in every epoch.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::collection::Collection;
use crate::shard::Shard;
use crate::{Error, Result};

/// Bytes of activations that are shuffled together.
const BUFFER_BYTES: usize = 2 << 30;
/// Bytes of held-out activations that are used at most.
const VALIDATION_BYTES: usize = 1 << 30;

/// Whether a sequence is held out. Depends on its number in the collection alone, so that dictionaries of one collection share their
/// validation set.
pub(crate) fn is_held_out(sequence: u64, share: f64) -> bool {
    // SplitMix64's finaliser.
    let mut z = sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
}

/// Batches in the order of training, reproducible from any step.
pub(crate) struct Batches<'a> {
    collection: &'a Collection,
    /// First sequence of every shard in the collection, and its tokens that are trained on.
    shards: Vec<(u64, usize)>,
    held_out: f64,
    seed: u64,
    /// Tokens of a batch.
    batch: usize,
    buffer_bytes: usize,
    epoch: u64,
    /// Shards of every buffer of this epoch.
    plan: Vec<Vec<usize>>,
    /// The buffer in use, its rows and their order.
    buffer: usize,
    loaded: Vec<usize>,
    rows: Vec<f32>,
    order: Vec<u32>,
    /// Batches of this buffer that were handed out.
    used: usize,
    out: Vec<f32>,
}

impl<'a> Batches<'a> {
    /// Reads which sequences are held out; the batches begin at step 0.
    ///
    /// # Errors
    /// Fewer tokens than one batch.
    pub(crate) fn new(
        collection: &'a Collection,
        held_out: f64,
        seed: u64,
        batch: usize,
    ) -> Result<Self> {
        let mut shards = Vec::with_capacity(collection.shards.len());
        let mut first = 0;
        for entry in &collection.shards {
            let tokens = (first..)
                .zip(&entry.lengths)
                .filter(|(sequence, _)| !is_held_out(*sequence, held_out))
                .map(|(_, &length)| length as usize)
                .sum();
            shards.push((first, tokens));
            first += entry.lengths.len() as u64;
        }
        let mut batches = Self {
            collection,
            shards,
            held_out,
            seed,
            batch,
            buffer_bytes: BUFFER_BYTES,
            epoch: 0,
            plan: Vec::new(),
            buffer: 0,
            loaded: Vec::new(),
            rows: Vec::new(),
            order: Vec::new(),
            used: 0,
            out: Vec::new(),
        };
        batches.begin_epoch(0);
        if batch == 0 || batches.epoch_steps() == 0 {
            return Err(Error::Mismatch(format!(
                "a batch has {batch} tokens, but only {} are there for training; take a smaller batch or collect more",
                batches.tokens()
            )));
        }
        Ok(batches)
    }

    /// Tokens that are trained on.
    pub(crate) fn tokens(&self) -> usize {
        self.shards.iter().map(|(_, tokens)| tokens).sum()
    }

    /// Steps of an epoch; remainders that do not fill a batch are left out.
    pub(crate) fn epoch_steps(&self) -> u64 {
        (0..self.plan.len()).map(|b| self.steps_of(b) as u64).sum()
    }

    fn steps_of(&self, buffer: usize) -> usize {
        let shards = self.plan.get(buffer).map(Vec::as_slice).unwrap_or_default();
        let tokens: usize = shards
            .iter()
            .filter_map(|&shard| self.shards.get(shard))
            .map(|(_, tokens)| tokens)
            .sum();
        tokens.checked_div(self.batch).unwrap_or(0)
    }

    /// Skips to a step, as if every batch before had been taken.
    pub(crate) fn seek(&mut self, step: u64) {
        let mut left = step;
        loop {
            let steps = self.steps_of(self.buffer) as u64;
            if left < steps {
                self.used = left as usize;
                return;
            }
            left -= steps;
            self.next_buffer();
        }
    }

    /// The next batch, [batch, 2, D].
    ///
    /// # Errors
    /// A shard that cannot be read.
    pub(crate) fn take(&mut self) -> Result<&[f32]> {
        while self.used >= self.steps_of(self.buffer) {
            self.next_buffer();
        }
        self.fill()?;
        let row = 2 * self.collection.identity.hidden_size;
        let from = self.used * self.batch;
        self.out.clear();
        for &index in self.order.iter().skip(from).take(self.batch) {
            let start = index as usize * row;
            self.out
                .extend_from_slice(self.rows.get(start..start + row).unwrap_or_default());
        }
        self.used += 1;
        Ok(&self.out)
    }

    fn next_buffer(&mut self) {
        self.used = 0;
        self.order.clear();
        self.buffer += 1;
        if self.buffer >= self.plan.len() {
            self.begin_epoch(self.epoch + 1);
        }
    }

    /// Draws the order of shards and cuts it into buffers.
    fn begin_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.buffer = 0;
        self.used = 0;
        self.order.clear();
        self.plan.clear();
        let row = 2 * self.collection.identity.hidden_size * size_of::<f32>();
        let mut shards: Vec<usize> = (0..self.shards.len()).collect();
        let all: usize = self.tokens() * row;
        if all > self.buffer_bytes {
            shards.shuffle(&mut self.random(epoch, u64::MAX));
        }
        let mut bytes = usize::MAX;
        for shard in shards {
            let more = self.shards.get(shard).map_or(0, |(_, tokens)| tokens * row);
            if bytes.saturating_add(more) > self.buffer_bytes {
                self.plan.push(Vec::new());
                bytes = 0;
            }
            bytes += more;
            if let Some(buffer) = self.plan.last_mut() {
                buffer.push(shard);
            }
        }
    }

    /// Loads the buffer's shards and draws the order of their rows.
    fn fill(&mut self) -> Result<()> {
        if !self.order.is_empty() {
            return Ok(());
        }
        let shards = self.plan.get(self.buffer).cloned().unwrap_or_default();
        if shards != self.loaded {
            self.rows.clear();
            self.loaded.clear();
            for &shard in &shards {
                let (Some(entry), Some(&(first, _))) =
                    (self.collection.shards.get(shard), self.shards.get(shard))
                else {
                    continue;
                };
                let data = self.collection.load(entry)?;
                let held_out = self.held_out;
                self.rows.extend(rows(&data, first, self.collection, |n| {
                    !is_held_out(n, held_out)
                }));
            }
            self.loaded.clone_from(&shards);
        }
        let row = 2 * self.collection.identity.hidden_size;
        self.order = (0..(self.rows.len() / row.max(1)) as u32).collect();
        let mut random = self.random(self.epoch, self.buffer as u64);
        self.order.shuffle(&mut random);
        Ok(())
    }

    fn random(&self, epoch: u64, buffer: u64) -> ChaCha8Rng {
        let mut seed = [0u8; 32];
        for (slot, number) in
            seed.chunks_exact_mut(8)
                .zip([self.seed, epoch, buffer, 0x5354_4552_454f])
        {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }
}

/// Held-out rows [N, 2, D], at most as many as fit the budget.
pub(crate) fn validation_rows(collection: &Collection, share: f64) -> Result<Vec<f32>> {
    let mut held = Vec::new();
    let mut first = 0;
    for entry in &collection.shards {
        if held.len() * size_of::<f32>() >= VALIDATION_BYTES {
            break;
        }
        let shard = collection.load(entry)?;
        held.extend(rows(&shard, first, collection, |n| is_held_out(n, share)));
        first += shard.len() as u64;
    }
    Ok(held)
}

/// Rows of the sequences that are kept; `first` is the number of the shard's first sequence.
fn rows(
    shard: &Shard,
    first: u64,
    collection: &Collection,
    keep: impl Fn(u64) -> bool,
) -> Vec<f32> {
    (first..)
        .zip(shard.sequences(collection.identity.hidden_size))
        .filter(|(number, _)| keep(*number))
        .flat_map(|(_, sequence)| sequence.activations.iter().copied())
        .collect()
}
