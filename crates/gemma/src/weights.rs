//! The weights of the fast path, laid out for few matrix products: one matrix for queries, keys and values, one for gate and up.

use candle_core::{DType, Device, Tensor};

use crate::parameters::{
    DOWN, EMBED, FINAL_NORM, GATE, HEAD, INPUT_NORM, K, O, POST_ATTENTION_NORM, POST_FFN_NORM,
    PRE_FFN_NORM, Q, UP, V, in_block,
};
use crate::{Config, Result};

/// Appends the named tensor's elements, as f32.
pub(crate) type Source<'a> = dyn FnMut(&str, &mut Vec<f32>) -> Result<()> + 'a;

/// The weights of a model's lower half. Norm weights are f32, stored without the 1 that is added to them.
#[derive(Debug)]
pub(crate) struct Lower {
    /// `[V, D]`
    pub(crate) embed: Tensor,
    /// The first blocks.
    pub(crate) blocks: Vec<BlockWeights>,
}

/// The weights of the other blocks and of what comes after them.
#[derive(Debug)]
pub(crate) struct Upper {
    pub(crate) blocks: Vec<BlockWeights>,
    /// `[D]`
    pub(crate) final_norm: Tensor,
    /// `[V, D]`, the same storage as `embed` where tied.
    pub(crate) head: Tensor,
}

/// The weights of one block.
#[derive(Debug)]
pub(crate) struct BlockWeights {
    pub(crate) input_norm: Tensor,
    /// `[(heads + 2·kv_heads)·head_dim, D]`
    pub(crate) qkv: Tensor,
    /// `[D, heads·head_dim]`
    pub(crate) output: Tensor,
    pub(crate) post_attention_norm: Tensor,
    pub(crate) pre_ffn_norm: Tensor,
    /// `[2·intermediate, D]`, gate first
    pub(crate) gate_up: Tensor,
    /// `[D, intermediate]`
    pub(crate) down: Tensor,
    pub(crate) post_ffn_norm: Tensor,
}

impl Lower {
    /// Reads the embedding and the first `blocks` blocks from `source` and puts them on the device.
    pub(crate) fn assemble(
        config: &Config,
        blocks: usize,
        device: &Device,
        dtype: DType,
        source: &mut Source<'_>,
    ) -> Result<Self> {
        Ok(Self {
            embed: matrix(&[EMBED.into()], config.hidden_size, device, dtype, source)?,
            blocks: (0..blocks)
                .map(|number| block(config, number, device, dtype, source))
                .collect::<Result<_>>()?,
        })
    }
}

impl Upper {
    /// Reads the blocks that `lower` lacks and what comes after them.
    pub(crate) fn assemble(
        config: &Config,
        lower: &Lower,
        device: &Device,
        dtype: DType,
        source: &mut Source<'_>,
    ) -> Result<Self> {
        Ok(Self {
            blocks: (lower.blocks.len()..config.num_layers)
                .map(|number| block(config, number, device, dtype, source))
                .collect::<Result<_>>()?,
            final_norm: vector(FINAL_NORM, device, source)?,
            head: if config.tie_word_embeddings {
                lower.embed.clone()
            } else {
                matrix(&[HEAD.into()], config.hidden_size, device, dtype, source)?
            },
        })
    }
}

fn block(
    config: &Config,
    number: usize,
    device: &Device,
    dtype: DType,
    source: &mut Source<'_>,
) -> Result<BlockWeights> {
    let d = config.hidden_size;
    let heads = config.num_heads * config.head_dim;
    let mut stack = |parts: &[&str], columns: usize| {
        let names: Vec<_> = parts.iter().map(|part| in_block(number, part)).collect();
        matrix(&names, columns, device, dtype, source)
    };
    let qkv = stack(&[Q, K, V], d)?;
    let output = stack(&[O], heads)?;
    let gate_up = stack(&[GATE, UP], d)?;
    let down = stack(&[DOWN], config.intermediate_size)?;
    let mut norm = |part: &str| vector(&in_block(number, part), device, source);
    Ok(BlockWeights {
        input_norm: norm(INPUT_NORM)?,
        qkv,
        output,
        post_attention_norm: norm(POST_ATTENTION_NORM)?,
        pre_ffn_norm: norm(PRE_FFN_NORM)?,
        gate_up,
        down,
        post_ffn_norm: norm(POST_FFN_NORM)?,
    })
}

/// The named tensors one below the other.
fn matrix(
    names: &[String],
    columns: usize,
    device: &Device,
    dtype: DType,
    source: &mut Source<'_>,
) -> Result<Tensor> {
    let mut data = vec![];
    for name in names {
        source(name, &mut data)?;
    }
    let shape = (data.len() / columns.max(1), columns);
    let matrix = Tensor::from_vec(data, shape, &Device::Cpu)?;
    Ok(matrix.to_dtype(dtype)?.to_device(device)?)
}

/// A norm's weights, in f32 whatever the rest is in.
fn vector(name: &str, device: &Device, source: &mut Source<'_>) -> Result<Tensor> {
    let mut data = vec![];
    source(name, &mut data)?;
    let length = data.len();
    Ok(Tensor::from_vec(data, length, &Device::Cpu)?.to_device(device)?)
}
