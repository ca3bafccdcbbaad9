//! The fast path: one sequence at a time, with a cache, a hook after any block and logits at chosen positions.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{DType, Device, Tensor};

use crate::block::{Pass, packed_block};
use crate::kernels::Masks;
use crate::rotary::Tables;
use crate::weights::{BlockWeights, Lower, Upper};
use crate::{Checkpoint, Config, Error, KvCache, Logits, Result};

/// Tokens of sequences that run together. From about here on a product takes as long per token as it ever will.
const PACK: usize = 2048;
/// What bounds positions, for messages.
const POSITIONS: &str = "model's max_position_embeddings";

/// One checkpoint's weights on one device.
#[derive(Debug)]
pub struct Model {
    config: Config,
    lower: Lower,
    /// The other blocks, the final norm and the head, once they are there.
    upper: OnceLock<Upper>,
    /// Where they come from, and whose turn it is to read them.
    stored: Option<(Box<Checkpoint>, Mutex<()>)>,
    tables: Arc<Tables>,
    device: Device,
    dtype: DType,
}

/// A model's upper half.
pub(crate) enum Half {
    /// In memory.
    Loaded(Upper),
    /// In the checkpoint's files, until it is needed.
    Stored(Box<Checkpoint>),
}

/// Reads, and may replace, the residual stream between blocks.
pub trait Hook {
    /// Called with the output `x` `[T, D]` of `block`; `Some` replaces what the next block reads.
    ///
    /// # Errors
    /// Ends the forward pass.
    fn after_block(&mut self, block: usize, x: &Tensor) -> Result<Option<Tensor>>;
}

/// What a forward pass gives.
#[derive(Debug)]
pub struct Forward {
    /// Output `[T, D]` of the block named by `stop_after`, hooks applied; `None` where none was named.
    pub residual: Option<Tensor>,
    /// Soft-capped logits in f32, one row per wanted position; `None` where none were wanted or a block before the last was the end.
    pub logits: Option<Tensor>,
}

impl Model {
    pub(crate) fn new(
        config: Config,
        lower: Lower,
        upper: Half,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let (upper, stored) = match upper {
            Half::Loaded(upper) => (upper.into(), None),
            Half::Stored(checkpoint) => (OnceLock::new(), Some((checkpoint, Mutex::default()))),
        };
        Self {
            tables: Arc::new(Tables::new(
                config.head_dim,
                config.rope_theta,
                config.max_positions,
            )),
            config,
            lower,
            upper,
            stored,
            device: device.clone(),
            dtype,
        }
    }

    /// The model's shape and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number format of the weights and the residual stream.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether every weight is in memory.
    pub fn is_whole(&self) -> bool {
        self.upper.get().is_some()
    }

    /// Reads the upper half, where it is not there yet; whatever needs it does so by itself.
    ///
    /// # Errors
    /// As [`Checkpoint::load_lower`] says.
    pub fn complete(&self) -> Result<()> {
        self.upper_half().map(drop)
    }

    pub(crate) fn upper_half(&self) -> Result<&Upper> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let Some((checkpoint, turn)) = &self.stored else {
            return Err(Error::Argument("the model has no upper half".into()));
        };
        // Whoever waited for another's reading finds it done. What is half read is dropped, so a panic leaves nothing behind.
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let upper = checkpoint.load_upper(&self.lower, &self.device, self.dtype)?;
        Ok(self.upper.get_or_init(|| upper))
    }

    /// Fails when a file that holds weights in use was written to or cut.
    pub(crate) fn check_files(&self) -> Result<()> {
        self.lower.check()?;
        self.upper.get().map_or(Ok(()), Upper::check)
    }

    /// A block's weights, from either half.
    fn block(&self, block: usize) -> Result<&BlockWeights> {
        if let Some(weights) = self.lower.blocks.get(block) {
            return Ok(weights);
        }
        let above = block - self.lower.blocks.len();
        let found = self.upper_half()?.blocks.get(above);
        found.ok_or_else(|| Error::no_block(block, self.config.num_layers))
    }

    /// An empty cache for one sequence of at most `capacity` tokens.
    pub fn cache(&self, capacity: usize) -> KvCache {
        self.caches(1, capacity)
    }

    /// An empty cache for sequences of at most `capacity` tokens that grow together: whatever runs with it takes equally many tokens of
    /// each, one sequence behind the other.
    ///
    /// Where it takes one token of each, every weight is read once for all. On the CPU a sequence's numbers are then the same to the bit
    /// whatever its company; on a GPU they are so to rounding, and equal sequences stay equal.
    pub fn caches(&self, sequences: usize, capacity: usize) -> KvCache {
        KvCache::new(&self.config, sequences, capacity, &self.device, self.dtype)
    }

    /// Embeddings times the root of D, `[T, D]`; the root is rounded to the model's number format, which for f32 leaves it exact.
    ///
    /// # Errors
    /// For no ids, and for an id outside the vocabulary.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.check_ids(ids)?;
        let scale = embedding_scale(self.config.hidden_size, self.dtype);
        Ok(self.lower.embed.rows(ids, scale)?)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(Error::Empty);
        }
        let vocab_size = self.config.vocab_size;
        if let Some(position) = ids.iter().position(|id| *id as usize >= vocab_size) {
            return Err(Error::TokenId {
                position,
                id: ids.get(position).copied().unwrap_or_default(),
                vocab_size,
            });
        }
        Ok(())
    }

    /// Runs the blocks of `range` on `x` `[T, D]`, at the positions after the tokens that the cache holds for them, and appends to it.
    /// With a cache of several sequences T counts the tokens of all.
    ///
    /// # Errors
    /// When the range or the shape does not fit the model, the blocks hold unequally many tokens, or there is no room for T more.
    pub fn blocks(&self, x: &Tensor, range: Range<usize>, cache: &mut KvCache) -> Result<Tensor> {
        self.run(self.here(x)?, range, cache, None, Logits::All)
    }

    /// The last block's output `[N, D]` for N alternatives of one token's residual `x` `[N, D]` after block `layer`, at the position
    /// after the tokens that the cache holds: [`Model::upper`] for each, with every weight read once for all and the cache as it was.
    ///
    /// # Errors
    /// As [`Model::blocks`] with one token more.
    pub fn alternatives(&self, x: &Tensor, layer: usize, cache: &KvCache) -> Result<Tensor> {
        let range = self.after(layer)?..self.config.num_layers;
        self.check_width(x)?;
        if cache.sequences() != 1 {
            return Err(Error::Argument(format!(
                "alternatives follow one sequence, the cache has {}",
                cache.sequences()
            )));
        }
        let past = cache.position(range.clone(), 0)?;
        if past >= self.tables.positions() {
            return Err(Error::TooLong {
                wanted: past + 1,
                limit: self.tables.positions(),
                what: POSITIONS,
            });
        }
        self.check_files()?;
        let pass = Pass {
            config: &self.config,
            tables: &self.tables,
            past,
            sequences: 1,
            masks: Masks::default(),
        };
        let x = self.here(x)?;
        range.into_iter().try_fold(x, |x, block| {
            pass.alternatives(block, self.block(block)?, &x, cache)
        })
    }

    /// A residual on the model's device and in its number format.
    fn here(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.to_device(&self.device)?.to_dtype(self.dtype)?)
    }

    /// Refuses a residual `[T, D]` of another width or without tokens; gives T.
    fn check_width(&self, x: &Tensor) -> Result<usize> {
        let (tokens, width) = x.dims2()?;
        if width != self.config.hidden_size {
            return Err(Error::Argument(format!(
                "the residual has width {width}, the model's hidden_size is {}",
                self.config.hidden_size
            )));
        }
        if tokens == 0 {
            return Err(Error::Empty);
        }
        Ok(tokens)
    }

    /// Runs blocks; of the model's last one only the wanted rows are computed, unless a hook wants to see them all.
    fn run(
        &self,
        mut x: Tensor,
        range: Range<usize>,
        cache: &mut KvCache,
        mut hook: Option<&mut dyn Hook>,
        wanted: Logits<'_>,
    ) -> Result<Tensor> {
        if range.start > range.end || range.end > self.config.num_layers {
            return Err(Error::Argument(format!(
                "blocks {} to {} do not exist: the model has blocks 0 to {}",
                range.start,
                range.end.saturating_sub(1),
                self.config.num_layers.saturating_sub(1)
            )));
        }
        let rows = self.check_width(&x)?;
        let sequences = cache.sequences();
        if sequences == 0 || !rows.is_multiple_of(sequences) {
            return Err(Error::Argument(format!(
                "{rows} tokens are not equally many for each of the cache's {sequences} sequences"
            )));
        }
        let tokens = rows / sequences;
        self.check_files()?;
        if range.is_empty() {
            return wanted.rows(&x);
        }
        let past = cache.position(range.clone(), tokens)?;
        if past + tokens > self.tables.positions() {
            return Err(Error::TooLong {
                wanted: past + tokens,
                limit: self.tables.positions(),
                what: POSITIONS,
            });
        }
        let pass = Pass {
            config: &self.config,
            tables: &self.tables,
            past,
            sequences,
            masks: Masks::default(),
        };
        for block in range {
            let wanted = match hook {
                None if block + 1 == self.config.num_layers => wanted,
                _ => Logits::All,
            };
            x = pass.block(block, self.block(block)?, &x, cache, wanted)?;
            if let Some(hook) = hook.as_deref_mut()
                && let Some(replaced) = hook.after_block(block, &x)?
            {
                if replaced.dims() != x.dims() {
                    return Err(Error::Argument(format!(
                        "the hook after block {block} gave shape {:?} for a residual of shape {:?}",
                        replaced.dims(),
                        x.dims()
                    )));
                }
                x = replaced.to_dtype(self.dtype)?;
            }
        }
        Ok(x)
    }

    /// Runs tokens through the model, after those that the cache holds.
    ///
    /// `stop_after` names the last block to run; logits are computed only where that is the last block, or none was named.
    ///
    /// # Errors
    /// As [`Model::embed`], [`Model::blocks`] and [`Model::logits`], and the hook's own.
    pub fn forward(
        &self,
        ids: &[u32],
        cache: &mut KvCache,
        hook: Option<&mut dyn Hook>,
        stop_after: Option<usize>,
        wanted: Logits<'_>,
    ) -> Result<Forward> {
        let end = match stop_after {
            None => self.config.num_layers,
            Some(block) => self.after(block)?,
        };
        // A hook and whoever names a last block want every row of it.
        let all = hook.is_some() || stop_after.is_some();
        let computed = if all { Logits::All } else { wanted.or_last() };
        let x = self.run(self.embed(ids)?, 0..end, cache, hook, computed)?;
        let logits = match wanted {
            _ if end < self.config.num_layers => None,
            Logits::None => None,
            wanted if all => Some(self.logits(&x, wanted)?),
            _ => Some(self.logits(&x, Logits::All)?),
        };
        Ok(Forward {
            residual: stop_after.map(|_| x),
            logits,
        })
    }

    /// The residual `[T, D]` after block `layer`: the model's lower half.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn lower(&self, ids: &[u32], layer: usize, cache: &mut KvCache) -> Result<Tensor> {
        let range = 0..self.after(layer)?;
        self.run(self.embed(ids)?, range, cache, None, Logits::All)
    }

    /// The residuals `[T, D]` of whole sequences after block `layer`, each sequence from its own beginning: [`Model::lower`] for many at once.
    ///
    /// Neighbours run together, up to 2,048 tokens, so that every weight is read once for all of them; a sequence's numbers depend on its
    /// company by rounding only.
    ///
    /// # Errors
    /// As [`Model::lower`], for any of them.
    pub fn lower_many(&self, sequences: &[&[u32]], layer: usize) -> Result<Vec<Tensor>> {
        let end = self.after(layer)?;
        let limit = self.tables.positions();
        if let Some(long) = sequences.iter().find(|ids| ids.len() > limit) {
            return Err(Error::TooLong {
                wanted: long.len(),
                limit,
                what: POSITIONS,
            });
        }
        sequences.iter().try_for_each(|ids| self.check_ids(ids))?;
        self.check_files()?;
        let mut residuals = Vec::with_capacity(sequences.len());
        for pack in packs(sequences) {
            let x = self.embed(&pack.concat())?;
            let mut start = 0;
            let rows: Arc<[Range<usize>]> = pack
                .iter()
                .map(|ids| {
                    let from = start;
                    start += ids.len();
                    from..start
                })
                .collect();
            let masks = Masks::default();
            let x = (0..end).try_fold(x, |x, block| {
                let weights = self.block(block)?;
                let (config, tables) = (&self.config, &self.tables);
                packed_block(config, tables, &rows, &masks, block, weights, &x)
            })?;
            for rows in rows.iter() {
                residuals.push(x.narrow(0, rows.start, rows.len())?);
            }
        }
        Ok(residuals)
    }

    /// The last block's output `[P, D]` at the wanted positions from a residual `[T, D]` put in after block `layer`, as
    /// [`Model::logits`] reads it. The others are not computed further than the cache needs them.
    ///
    /// # Errors
    /// As [`Model::blocks`], and for a position that `h` does not have.
    pub fn upper_states(
        &self,
        h: &Tensor,
        layer: usize,
        cache: &mut KvCache,
        wanted: Logits<'_>,
    ) -> Result<Tensor> {
        let range = self.after(layer)?..self.config.num_layers;
        self.run(self.here(h)?, range, cache, None, wanted)
    }

    /// Logits `[P, V]` from a residual `[T, D]` put in after block `layer`: the model's upper half.
    ///
    /// # Errors
    /// As [`Model::blocks`] and [`Model::logits`].
    pub fn upper(
        &self,
        h: &Tensor,
        layer: usize,
        cache: &mut KvCache,
        wanted: Logits<'_>,
    ) -> Result<Tensor> {
        let states = self.upper_states(h, layer, cache, wanted.or_last())?;
        let rows = match wanted.or_last() {
            same if same == wanted => Logits::All,
            _ => wanted,
        };
        self.logits(&states, rows)
    }

    /// The block after `layer`.
    fn after(&self, layer: usize) -> Result<usize> {
        if layer < self.config.num_layers {
            return Ok(layer + 1);
        }
        Err(Error::no_block(layer, self.config.num_layers))
    }
}

/// Neighbouring sequences that run together: one, or as many as have no more than `PACK` tokens between them.
fn packs<'a, 'b>(sequences: &'a [&'b [u32]]) -> Vec<&'a [&'b [u32]]> {
    let (mut packs, mut from, mut tokens) = (Vec::new(), 0, 0);
    for (i, ids) in sequences.iter().enumerate() {
        if i > from && tokens + ids.len() > PACK {
            packs.extend(sequences.get(from..i));
            (from, tokens) = (i, 0);
        }
        tokens += ids.len();
    }
    packs.extend(sequences.get(from..).filter(|rest| !rest.is_empty()));
    packs
}

/// The root of the width, rounded to a number format; products with f32 are computed in f32.
pub(crate) fn embedding_scale(hidden_size: usize, dtype: DType) -> f64 {
    let root = (hidden_size as f64).sqrt();
    match dtype {
        DType::BF16 => half::bf16::from_f64(root).to_f64(),
        DType::F16 => half::f16::from_f64(root).to_f64(),
        _ => root,
    }
}
