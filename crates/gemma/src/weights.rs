//! The weights of the fast path, laid out for few matrix products: one matrix for queries, keys and values, one for gate and up.

use candle_core::{DType, Device, Tensor};

use crate::parameters::{
    DOWN, EMBED, FINAL_NORM, GATE, HEAD, INPUT_NORM, K, O, POST_ATTENTION_NORM, POST_FFN_NORM,
    PRE_FFN_NORM, Q, UP, V, in_block,
};
use crate::{Config, Result};

/// Appends the named tensor's elements, as f32.
pub(crate) type Source<'a> = dyn FnMut(&str, &mut Vec<f32>) -> Result<()> + 'a;

/// The weights of one model. Norm weights are f32, stored without the 1 that is added to them.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `[V, D]`
    pub(crate) embed: Tensor,
    /// `[V, D]`, the same storage as `embed` where tied.
    pub(crate) head: Tensor,
    /// `[D]`
    pub(crate) final_norm: Tensor,
    pub(crate) blocks: Vec<BlockWeights>,
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

impl Weights {
    /// Reads every tensor from `source` and puts it on the device.
    pub(crate) fn assemble(
        config: &Config,
        device: &Device,
        dtype: DType,
        source: &mut Source<'_>,
    ) -> Result<Self> {
        let d = config.hidden_size;
        let mut stack =
            |names: &[String], columns: Option<usize>, dtype: DType| -> Result<Tensor> {
                let mut data = vec![];
                for name in names {
                    source(name, &mut data)?;
                }
                let shape = columns.map_or_else(
                    || vec![data.len()],
                    |columns| vec![data.len() / columns.max(1), columns],
                );
                Ok(Tensor::from_vec(data, shape, &Device::Cpu)?
                    .to_dtype(dtype)?
                    .to_device(device)?)
            };
        let embed = stack(&[EMBED.into()], Some(d), dtype)?;
        let mut blocks = Vec::with_capacity(config.num_layers);
        for block in 0..config.num_layers {
            let name = |part: &str| in_block(block, part);
            blocks.push(BlockWeights {
                input_norm: stack(&[name(INPUT_NORM)], None, DType::F32)?,
                qkv: stack(&[name(Q), name(K), name(V)], Some(d), dtype)?,
                output: stack(&[name(O)], Some(config.num_heads * config.head_dim), dtype)?,
                post_attention_norm: stack(&[name(POST_ATTENTION_NORM)], None, DType::F32)?,
                pre_ffn_norm: stack(&[name(PRE_FFN_NORM)], None, DType::F32)?,
                gate_up: stack(&[name(GATE), name(UP)], Some(d), dtype)?,
                down: stack(&[name(DOWN)], Some(config.intermediate_size), dtype)?,
                post_ffn_norm: stack(&[name(POST_FFN_NORM)], None, DType::F32)?,
            });
        }
        let final_norm = stack(&[FINAL_NORM.into()], None, DType::F32)?;
        let head = if config.tie_word_embeddings {
            embed.clone()
        } else {
            stack(&[HEAD.into()], Some(d), dtype)?
        };
        Ok(Self {
            embed,
            head,
            final_norm,
            blocks,
        })
    }
}
