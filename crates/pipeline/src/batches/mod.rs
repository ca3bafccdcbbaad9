//! Training batches out of shards: whole sequences held out, the rest in the order of training.

#[cfg(test)]
mod tests;

use std::ops::Range;

use rand::seq::SliceRandom as _;

use crate::collection::Collection;
use crate::order::{DataOrder, Order, random};
use crate::shard::Shard;
use crate::{Error, Result};

/// Bytes of activations that are shuffled together.
const BLOCK_BYTES: usize = 2 << 30;
/// Bytes of held-out activations that are used at most.
const VALIDATION_BYTES: usize = 1 << 30;
/// Purpose of the generator that draws the order of shards; those of rows count corpora.
const SHARDS: u64 = u64::MAX;

/// Whether a sequence is held out. Depends on its number in the collection alone, so that dictionaries of one collection share their
/// validation set.
pub(crate) fn is_held_out(sequence: u64, share: f64) -> bool {
    // SplitMix64's finaliser.
    let mut z = sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
}

/// A shard as a corpus has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Number in the collection.
    shard: usize,
    /// Number of its first sequence in the collection.
    first: u64,
    /// Tokens that are trained on.
    tokens: usize,
}

/// Batches in the order of training, reproducible from any step.
pub(crate) struct Batches<'a> {
    collection: &'a Collection,
    /// Shards of every corpus that is trained on.
    corpora: Vec<Vec<Part>>,
    held_out: f64,
    seed: u64,
    order: Order,
    /// Rows of a batch.
    batch: usize,
    step: u64,
    /// The epoch and block in memory, its rows in the order of its ranges, and the order of training.
    at: Option<(u64, usize)>,
    loaded: Vec<(Part, Range<usize>)>,
    rows: Vec<f32>,
    positions: Vec<u32>,
    out: Vec<f32>,
}

impl<'a> Batches<'a> {
    /// Reads which sequences are held out; the batches begin at step 0.
    ///
    /// # Errors
    /// Fewer tokens than one batch; a corpus of which nothing is left.
    pub(crate) fn new(
        collection: &'a Collection,
        kind: DataOrder,
        held_out: f64,
        seed: u64,
        batch: usize,
    ) -> Result<Self> {
        Self::with_blocks(collection, kind, held_out, seed, batch, BLOCK_BYTES)
    }

    fn with_blocks(
        collection: &'a Collection,
        kind: DataOrder,
        held_out: f64,
        seed: u64,
        batch: usize,
        block_bytes: usize,
    ) -> Result<Self> {
        let mut corpora = vec![Vec::new(); collection.identity.corpora.len()];
        let mut first = 0;
        for (shard, entry) in collection.shards.iter().enumerate() {
            let tokens = (first..)
                .zip(&entry.lengths)
                .filter(|(sequence, _)| !is_held_out(*sequence, held_out))
                .map(|(_, &length)| length as usize)
                .sum();
            if let Some(parts) = corpora.get_mut(entry.corpus) {
                parts.push(Part {
                    shard,
                    first,
                    tokens,
                });
            }
            first += entry.lengths.len() as u64;
        }
        // A corpus that the bound on tokens left out has no shards.
        corpora.retain(|parts| !parts.is_empty());
        let lengths: Vec<usize> = corpora
            .iter()
            .map(|parts| parts.iter().map(|part| part.tokens).sum())
            .collect();
        let all: usize = lengths.iter().sum();
        let row_bytes = 2 * collection.identity.hidden_size * size_of::<f32>();
        let order = Order::new(kind, lengths, (block_bytes / row_bytes).max(1), seed)
            .map_err(|problem| {
                Error::Mismatch(format!(
                    "the activations cannot be trained on: {problem}; collect more, or hold out less"
                ))
            })?;
        let batches = Self {
            collection,
            corpora,
            held_out,
            seed,
            order,
            batch,
            step: 0,
            at: None,
            loaded: Vec::new(),
            rows: Vec::new(),
            positions: Vec::new(),
            out: Vec::new(),
        };
        if batch == 0 || batches.epoch_steps() == 0 {
            return Err(Error::Mismatch(format!(
                "a batch has {batch} tokens, but only {all} are there for training; take a smaller batch or collect more"
            )));
        }
        Ok(batches)
    }

    /// Steps of an epoch; a remainder that does not fill a batch is left out.
    pub(crate) fn epoch_steps(&self) -> u64 {
        self.order.rows().checked_div(self.batch).unwrap_or(0) as u64
    }

    /// Tokens for training that no epoch reads, of each corpus by name.
    pub(crate) fn unused(&self) -> Vec<(String, usize)> {
        let corpora = self.corpora.iter().enumerate();
        corpora
            .filter_map(|(number, parts)| {
                let shard = self.collection.shards.get(parts.first()?.shard)?;
                let name = &self.collection.identity.corpora.get(shard.corpus)?.name;
                let all: usize = parts.iter().map(|part| part.tokens).sum();
                let unused = all - self.order.read(number);
                (unused > 0).then(|| (name.clone(), unused))
            })
            .collect()
    }

    /// Skips to a step, as if every batch before had been taken.
    pub(crate) fn seek(&mut self, step: u64) {
        self.step = step;
    }

    /// The next batch, [batch, 2, D].
    ///
    /// # Errors
    /// A shard that cannot be read.
    pub(crate) fn take(&mut self) -> Result<&[f32]> {
        let steps = self.epoch_steps().max(1);
        let epoch = self.step / steps;
        let mut skip = (self.step % steps) as usize * self.batch;
        let row = 2 * self.collection.identity.hidden_size;
        self.out.clear();
        for block in 0..self.order.blocks() {
            let held = self.order.block_rows(block);
            if skip >= held {
                skip -= held;
                continue;
            }
            let missing = self.batch - self.out.len() / row;
            if missing == 0 {
                break;
            }
            self.load(epoch, block)?;
            for &position in self.positions.iter().skip(skip).take(missing) {
                let start = position as usize * row;
                let values = self.rows.get(start..start + row).unwrap_or_default();
                self.out.extend_from_slice(values);
            }
            skip = 0;
        }
        self.step += 1;
        Ok(&self.out)
    }

    /// Loads a block's rows and draws their order.
    fn load(&mut self, epoch: u64, block: usize) -> Result<()> {
        if self.at == Some((epoch, block)) {
            return Ok(());
        }
        let wanted = self.parts_of(epoch, block);
        if wanted != self.loaded {
            self.rows.clear();
            self.loaded.clear();
            let row = 2 * self.collection.identity.hidden_size;
            for (part, range) in &wanted {
                let Some(entry) = self.collection.shards.get(part.shard) else {
                    continue;
                };
                let shard = self.collection.load(entry)?;
                let held_out = self.held_out;
                let all = rows(&shard, part.first, self.collection, |n| {
                    !is_held_out(n, held_out)
                });
                let used = all.get(range.start * row..range.end * row);
                self.rows.extend_from_slice(used.unwrap_or_default());
            }
            self.loaded = wanted;
        }
        self.positions = self.order.positions(epoch, block);
        self.at = Some((epoch, block));
        Ok(())
    }

    /// The shards of a block, each with its rows that the block holds, in the order of its ranges.
    fn parts_of(&self, epoch: u64, block: usize) -> Vec<(Part, Range<usize>)> {
        let ranges = self.order.ranges(block);
        let mut wanted = Vec::new();
        for (parts, range) in self.corpora.iter().zip(ranges) {
            let mut from = 0;
            for part in self.shard_order(parts, epoch) {
                let to = from + part.tokens;
                let inside = range.start.max(from)..range.end.min(to);
                if !inside.is_empty() {
                    wanted.push((part, inside.start - from..inside.end - from));
                }
                from = to;
            }
        }
        wanted
    }

    /// Shards as an epoch reads them: corpora beside each other in their own order, as the paper has it; a corpus alone in a new one
    /// every time, so that its blocks differ.
    fn shard_order(&self, parts: &[Part], epoch: u64) -> Vec<Part> {
        let mut parts = parts.to_vec();
        if self.corpora.len() == 1 && self.order.blocks() > 1 {
            parts.shuffle(&mut random(self.seed, epoch, 0, SHARDS));
        }
        parts
    }
}

/// Held-out rows [N, 2, D], at most as many as fit the budget, with the corpora put together as in training. The same for every
/// seed.
pub(crate) fn validation_rows(
    collection: &Collection,
    kind: DataOrder,
    share: f64,
) -> Result<Vec<f32>> {
    let row = 2 * collection.identity.hidden_size;
    let mut corpora = vec![Vec::new(); collection.identity.corpora.len()];
    let most = VALIDATION_BYTES / size_of::<f32>() / corpora.len().max(1);
    let mut first = 0;
    for entry in &collection.shards {
        let held: &mut Vec<f32> = match corpora.get_mut(entry.corpus) {
            Some(held) if held.len() < most => held,
            _ => {
                first += entry.sequences;
                continue;
            }
        };
        let shard = collection.load(entry)?;
        held.extend(rows(&shard, first, collection, |n| is_held_out(n, share)));
        held.truncate(most / row * row);
        first += entry.sequences;
    }
    corpora.retain(|held| !held.is_empty());
    let lengths: Vec<usize> = corpora.iter().map(|held| held.len() / row).collect();
    // Nothing is held out.
    let Ok(order) = Order::new(kind, lengths.clone(), lengths.iter().sum(), 0) else {
        return Ok(Vec::new());
    };
    let all: Vec<&[f32]> = (0..)
        .zip(&corpora)
        .flat_map(|(corpus, held)| held.chunks_exact(row).take(order.read(corpus)))
        .collect();
    // All fits into one block.
    Ok(order
        .positions(0, 0)
        .into_iter()
        .filter_map(|position| all.get(position as usize))
        .flat_map(|row| row.iter().copied())
        .collect())
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
