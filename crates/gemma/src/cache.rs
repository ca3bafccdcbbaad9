//! Keys and values of the tokens seen so far, allocated once per block and written in place.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::{Config, Error, Result};

/// Keys and values of one sequence, or of several that are equally long and grow together, each block with a length of its own, so that
/// the lower and the upper half of a model may be run apart.
///
/// A block's buffers are allocated when it first runs, at full capacity.
#[derive(Debug)]
pub struct KvCache {
    capacity: usize,
    sequences: usize,
    kv_heads: usize,
    head_dim: usize,
    dtype: DType,
    device: Device,
    layers: Vec<Layer>,
}

/// One block's buffers, `[sequences·kv_heads, capacity, head_dim]` each; sequences that were removed may leave room behind the others.
#[derive(Debug, Default)]
struct Layer {
    buffers: Option<(Tensor, Tensor)>,
    len: usize,
}

impl KvCache {
    pub(crate) fn new(
        config: &Config,
        sequences: usize,
        capacity: usize,
        device: &Device,
        dtype: DType,
    ) -> Self {
        Self {
            capacity,
            sequences,
            kv_heads: config.num_kv_heads,
            head_dim: config.head_dim,
            dtype,
            device: device.clone(),
            layers: (0..config.num_layers).map(|_| Layer::default()).collect(),
        }
    }

    /// Tokens that fit into each sequence.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sequences that grow together.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Bytes of the buffers that are allocated.
    pub fn bytes(&self) -> u64 {
        let buffers = self
            .layers
            .iter()
            .filter_map(|layer| layer.buffers.as_ref());
        let numbers = buffers.map(|(keys, values)| keys.elem_count() + values.elem_count());
        (numbers.sum::<usize>() * self.dtype.size_in_bytes()) as u64
    }

    /// The largest number of tokens that any block holds.
    pub fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.len).max().unwrap_or(0)
    }

    /// Whether no block holds a token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens that one block holds, which is the position of its next token; 0 for a block that the model lacks.
    pub fn len_at(&self, block: usize) -> usize {
        self.layers.get(block).map_or(0, |layer| layer.len)
    }

    /// Forgets all but the first `len` tokens of every block.
    pub fn truncate(&mut self, len: usize) {
        for layer in &mut self.layers {
            layer.len = layer.len.min(len);
        }
    }

    /// A copy that shares no memory with this one.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn deep_copy(&self) -> Result<Self> {
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let buffers = match &layer.buffers {
                    Some((keys, values)) => Some((keys.copy()?, values.copy()?)),
                    None => None,
                };
                Ok(Layer {
                    buffers,
                    len: layer.len,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            capacity: self.capacity,
            sequences: self.sequences,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            dtype: self.dtype,
            device: self.device.clone(),
            layers,
        })
    }

    /// Makes the first `len` tokens that `from`, a cache of one sequence of the same model, holds in some blocks the beginning of one
    /// sequence. All sequences must be given equally many before they grow.
    ///
    /// # Errors
    /// When `from` holds fewer tokens or belongs to another model, or there is no such sequence, block or room.
    pub fn begin(
        &mut self,
        sequence: usize,
        blocks: Range<usize>,
        from: &Self,
        len: usize,
    ) -> Result<()> {
        let alike = from.sequences == 1
            && (from.kv_heads, from.head_dim, from.dtype)
                == (self.kv_heads, self.head_dim, self.dtype);
        if !alike || sequence >= self.sequences || len > self.capacity {
            return Err(Error::Argument(format!(
                "a cache of {} sequences of {} tokens cannot take {len} tokens of a cache of {} as its sequence {sequence}",
                self.sequences, self.capacity, from.sequences
            )));
        }
        for block in blocks {
            let held = from.held(block, 0)?.filter(|_| from.len_at(block) >= len);
            let Some((keys, values)) = held else {
                return Err(Error::Argument(format!(
                    "block {block} of a cache holds {} tokens, {len} are wanted",
                    from.len_at(block)
                )));
            };
            let (kv_heads, here) = (self.kv_heads, sequence * self.kv_heads);
            let (all_keys, all_values) = self.buffers(block)?;
            for (all, one) in [(all_keys, keys), (all_values, values)] {
                let one = one.narrow(1, 0, len)?.contiguous()?;
                all.narrow(0, here, kv_heads)?.slice_set(&one, 1, 0)?;
            }
            if let Some(layer) = self.layers.get_mut(block) {
                layer.len = len;
            }
        }
        Ok(())
    }

    /// Forgets a sequence; the last one takes its number.
    ///
    /// # Errors
    /// When there is no such sequence, or the device has no room for a copy of one.
    pub fn remove(&mut self, sequence: usize) -> Result<()> {
        let last = self.sequences.checked_sub(1);
        let Some(last) = last.filter(|last| sequence <= *last) else {
            return Err(Error::Argument(format!(
                "a cache of {} sequences has no sequence {sequence}",
                self.sequences
            )));
        };
        let (kv_heads, moves) = (self.kv_heads, sequence < last);
        for layer in self.layers.iter().filter(|layer| moves && layer.len > 0) {
            for all in layer.buffers.iter().flat_map(|(k, v)| [k, v]) {
                let moved = all.narrow(0, last * kv_heads, kv_heads)?;
                let moved = moved.narrow(1, 0, layer.len)?.force_contiguous()?;
                let place = all.narrow(0, sequence * kv_heads, kv_heads)?;
                place.slice_set(&moved, 1, 0)?;
            }
        }
        self.sequences = last;
        Ok(())
    }

    /// A block's buffers for the sequences that are left, allocated where they are not there yet.
    fn buffers(&mut self, block: usize) -> Result<(Tensor, Tensor)> {
        let Some(layer) = self.layers.get_mut(block) else {
            return Err(Error::Argument(format!(
                "the cache has no block {block}; make it with this model's `cache`"
            )));
        };
        let rows = self.sequences * self.kv_heads;
        let shape = (rows, self.capacity, self.head_dim);
        let (keys, values) = match &mut layer.buffers {
            Some(buffers) => buffers,
            empty => empty.insert((
                Tensor::zeros(shape, self.dtype, &self.device)?,
                Tensor::zeros(shape, self.dtype, &self.device)?,
            )),
        };
        Ok((keys.narrow(0, 0, rows)?, values.narrow(0, 0, rows)?))
    }

    /// Writes `[sequences·kv_heads, T, head_dim]` behind a block's tokens and gives its keys and values from `first` on.
    pub(crate) fn append(
        &mut self,
        block: usize,
        keys: &Tensor,
        values: &Tensor,
        first: usize,
    ) -> Result<(Tensor, Tensor)> {
        let past = self.len_at(block);
        let (all_keys, all_values) = self.buffers(block)?;
        all_keys.slice_set(keys, 1, past)?;
        all_values.slice_set(values, 1, past)?;
        let len = past + keys.dim(1)?;
        if let Some(layer) = self.layers.get_mut(block) {
            layer.len = len;
        }
        let count = len - first;
        Ok((
            all_keys.narrow(1, first, count)?,
            all_values.narrow(1, first, count)?,
        ))
    }

    /// A block's keys and values from token `first` on, `[sequences·kv_heads, n, head_dim]` each; none where it holds no such token.
    pub(crate) fn held(&self, block: usize, first: usize) -> Result<Option<(Tensor, Tensor)>> {
        let layer = self.layers.get(block).filter(|layer| layer.len > first);
        let Some((layer, (keys, values))) = layer.and_then(|l| Some((l, l.buffers.as_ref()?)))
        else {
            return Ok(None);
        };
        let count = layer.len - first;
        Ok(Some((
            keys.narrow(1, first, count)?,
            values.narrow(1, first, count)?,
        )))
    }

    /// Checks that a run of blocks holds equally many tokens and has room for more; gives the number it holds.
    pub(crate) fn position(&self, blocks: Range<usize>, more: usize) -> Result<usize> {
        let past = self.len_at(blocks.start);
        if let Some(other) = blocks.clone().find(|block| self.len_at(*block) != past) {
            return Err(Error::Argument(format!(
                "block {} holds {past} tokens and block {other} holds {}; truncate the cache, or run the blocks apart",
                blocks.start,
                self.len_at(other)
            )));
        }
        if past + more > self.capacity {
            return Err(Error::TooLong {
                wanted: past + more,
                limit: self.capacity,
                what: "capacity of the cache",
            });
        }
        Ok(past)
    }
}
