//! Keys and values of the tokens seen so far, allocated once per block and written in place.

use candle_core::{DType, Device, Tensor};

use crate::{Config, Error, Result};

/// One sequence's keys and values, each block with a length of its own, so that the lower and the upper half of a model may be run apart.
///
/// A block's buffers are allocated when it first runs, at full capacity.
#[derive(Debug)]
pub struct KvCache {
    capacity: usize,
    /// `[kv_heads, capacity, head_dim]`
    shape: (usize, usize, usize),
    dtype: DType,
    device: Device,
    layers: Vec<Layer>,
}

/// One block's buffers, `[kv_heads, capacity, head_dim]` each.
#[derive(Debug, Default)]
struct Layer {
    buffers: Option<(Tensor, Tensor)>,
    len: usize,
}

impl KvCache {
    pub(crate) fn new(config: &Config, capacity: usize, device: &Device, dtype: DType) -> Self {
        Self {
            capacity,
            shape: (config.num_kv_heads, capacity, config.head_dim),
            dtype,
            device: device.clone(),
            layers: (0..config.num_layers).map(|_| Layer::default()).collect(),
        }
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
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
            shape: self.shape,
            dtype: self.dtype,
            device: self.device.clone(),
            layers,
        })
    }

    /// Writes `[kv_heads, T, head_dim]` behind a block's tokens and gives its keys and values from `first` on.
    pub(crate) fn append(
        &mut self,
        block: usize,
        keys: &Tensor,
        values: &Tensor,
        first: usize,
    ) -> Result<(Tensor, Tensor)> {
        let Some(layer) = self.layers.get_mut(block) else {
            return Err(Error::Argument(format!(
                "the cache has no block {block}; make it with this model's `cache`"
            )));
        };
        let (all_keys, all_values) = match &mut layer.buffers {
            Some(buffers) => buffers,
            empty => empty.insert((
                Tensor::zeros(self.shape, self.dtype, &self.device)?,
                Tensor::zeros(self.shape, self.dtype, &self.device)?,
            )),
        };
        all_keys.slice_set(keys, 1, layer.len)?;
        all_values.slice_set(values, 1, layer.len)?;
        layer.len += keys.dim(1)?;
        let count = layer.len - first;
        Ok((
            all_keys.narrow(1, first, count)?,
            all_values.narrow(1, first, count)?,
        ))
    }

    /// A block's keys and values from token `first` on, `[kv_heads, n, head_dim]` each; none where it holds no such token.
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
    pub(crate) fn position(&self, blocks: std::ops::Range<usize>, more: usize) -> Result<usize> {
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
