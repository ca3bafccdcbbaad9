//! One block of the fast path, and the constants that all blocks share.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::kernels::{
    Masks, Packed, Rotation, Span, add_rms_norm, attend, attention_probabilities, geglu,
    join_heads, packed_attention, product, rms_norm, split_heads,
};
use crate::rotary::Tables;
use crate::weights::{BlockWeights, Company};
use crate::{Config, KvCache, Logits, Result};

/// What every block of one call needs besides its weights.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a Config,
    pub(crate) tables: &'a Arc<Tables>,
    /// Position of every sequence's first token in this call.
    pub(crate) past: usize,
    /// Sequences whose tokens stand one behind the other in the call's rows, equally many of each.
    pub(crate) sequences: usize,
    pub(crate) masks: Masks,
}

impl Pass<'_> {
    /// Runs a block on `[sequences·T, D]`, appending its keys and values to the cache; gives the wanted rows of its output.
    pub(crate) fn block(
        &self,
        block: usize,
        weights: &BlockWeights,
        x: &Tensor,
        cache: &mut KvCache,
        wanted: Logits<'_>,
    ) -> Result<Tensor> {
        let company = self.company(x)?;
        let normed = before_attention(self.config, weights, x)?;
        let mixed = self.attention(block, weights, &normed, cache)?;
        let (x, mixed) = (wanted.rows(x)?, wanted.rows(&mixed)?);
        after_attention(self.config, weights, &x, &mixed, company)
    }

    /// One token of every sequence: then none of them may feel the others.
    fn company(&self, x: &Tensor) -> Result<Company> {
        Ok(if x.dim(0)? == self.sequences {
            Company::Apart
        } else {
            Company::Together
        })
    }

    /// From normed rows the values that each head mixes, `[sequences·T, heads·head_dim]`.
    fn attention(
        &self,
        block: usize,
        weights: &BlockWeights,
        x: &Tensor,
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let config = self.config;
        let (heads, kv_heads, head_dim) = (config.num_heads, config.num_kv_heads, config.head_dim);
        let (sequences, company) = (self.sequences, self.company(x)?);
        let tokens = x.dim(0)? / sequences.max(1);
        let span = Span::new(tokens, self.past, config.window(block));
        let rotation = Rotation {
            tables: self.tables.clone(),
            first: self.past,
        };
        let qkv = weights.qkv.product(x, company)?;
        let part = |from: usize, heads: usize, rotation: Option<&Rotation>, scale: f32| {
            let columns = qkv.narrow(1, from * head_dim, heads * head_dim)?;
            split_heads(&columns, sequences, heads, rotation, scale)?.flatten_to(1)
        };
        let queries = part(0, heads, Some(&rotation), query_scale(config))?;
        let keys = part(heads, kv_heads, Some(&rotation), 1.0)?;
        let values = part(heads + kv_heads, kv_heads, None, 1.0)?;
        let (keys, values) = cache.append(block, &keys, &values, span.first_key)?;
        let cap = config.attn_softcap;
        let mixed = attend(&queries, (&keys, &values), cap, span, &self.masks)?;
        Ok(join_heads(
            &mixed.reshape((sequences, heads, tokens, head_dim))?,
        )?)
    }

    /// Runs a block on `[N, D]`: N alternatives for the one token after those that the cache holds, which stays as it is.
    pub(crate) fn alternatives(
        &self,
        block: usize,
        weights: &BlockWeights,
        x: &Tensor,
        cache: &KvCache,
    ) -> Result<Tensor> {
        let normed = before_attention(self.config, weights, x)?;
        let mixed = self.attend_alone(block, weights, &normed, cache)?;
        after_attention(self.config, weights, x, &mixed, Company::Together)
    }

    /// Attention of N tokens at one position, each of which sees the cache and itself.
    fn attend_alone(
        &self,
        block: usize,
        weights: &BlockWeights,
        x: &Tensor,
        cache: &KvCache,
    ) -> Result<Tensor> {
        let config = self.config;
        let (heads, kv_heads, head_dim) = (config.num_heads, config.num_kv_heads, config.head_dim);
        let (count, group) = (x.dim(0)?, heads / kv_heads);
        let span = Span::new(1, self.past, config.window(block));
        let rotation = Rotation {
            tables: self.tables.clone(),
            first: self.past,
        };
        let qkv = weights.qkv.product(x, Company::Together)?;
        // `[kv_heads, N, heads per kv head, head_dim]`
        let part = |from: usize, heads: usize, rotation: Option<&Rotation>, scale: f32| {
            let columns = qkv.narrow(1, from * head_dim, heads * head_dim)?;
            split_heads(&columns, count, heads, rotation, scale)?
                .reshape((count, kv_heads, heads / kv_heads, head_dim))?
                .transpose(0, 1)?
                .contiguous()
        };
        let queries = part(0, heads, Some(&rotation), query_scale(config))?;
        let keys = part(heads, kv_heads, Some(&rotation), 1.0)?;
        let values = part(heads + kv_heads, kv_heads, None, 1.0)?;
        let rows = (kv_heads, count * group);
        // Sums in half precision would lose what the products of whole matrices keep.
        let wide = |x: &Tensor| x.to_dtype(DType::F32);
        let own = wide(&queries)?
            .broadcast_mul(&wide(&keys)?)?
            .sum(3)?
            .reshape((rows.0, rows.1, 1))?
            .to_dtype(x.dtype())?;
        let queries = queries.reshape((rows.0, rows.1, head_dim))?;
        let weighted = |probabilities: &Tensor| -> candle_core::Result<Tensor> {
            probabilities
                .reshape((kv_heads, count, group, 1))?
                .broadcast_mul(&values)?
                .reshape((rows.0, rows.1, head_dim))
        };
        let mixed = match cache.held(block, span.first_key)? {
            None => weighted(&own.ones_like()?)?,
            Some((past_keys, past_values)) => {
                let scores = product(&queries, &past_keys.t()?)?;
                let scores = Tensor::cat(&[scores, own], 2)?;
                let probabilities =
                    attention_probabilities(&scores, config.attn_softcap, span, &self.masks)?;
                let past = span.keys() - 1;
                let seen = probabilities.narrow(2, 0, past)?.contiguous()?;
                (product(&seen, &past_values)? + weighted(&probabilities.narrow(2, past, 1)?)?)?
            }
        };
        Ok(mixed
            .reshape((kv_heads, count, group * head_dim))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((count, heads * head_dim))?)
    }
}

/// Runs a block on rows `[N, D]` of whole sequences that stand one after the other, each from position 0.
pub(crate) fn packed_block(
    config: &Config,
    tables: &Arc<Tables>,
    sequences: &Arc<[Range<usize>]>,
    masks: &Masks,
    block: usize,
    weights: &BlockWeights,
    x: &Tensor,
) -> Result<Tensor> {
    let packed = Packed {
        sequences: sequences.clone(),
        tables: tables.clone(),
        heads: config.num_heads,
        kv_heads: config.num_kv_heads,
        head_dim: config.head_dim,
        scale: query_scale(config),
        cap: config.attn_softcap,
        window: config.window(block),
    };
    let company = Company::Together;
    let normed = before_attention(config, weights, x)?;
    let mixed = packed_attention(&weights.qkv.product(&normed, company)?, &packed, masks)?;
    after_attention(config, weights, x, &mixed, company)
}

/// The rows of a block's input that its attention reads.
fn before_attention(config: &Config, weights: &BlockWeights, x: &Tensor) -> Result<Tensor> {
    Ok(rms_norm(x, &weights.input_norm, config.rms_norm_eps)?)
}

/// The rest of a block, from rows of its input and the values that the heads mixed for them.
fn after_attention(
    config: &Config,
    weights: &BlockWeights,
    x: &Tensor,
    mixed: &Tensor,
    company: Company,
) -> Result<Tensor> {
    let eps = config.rms_norm_eps;
    let attended = weights.output.product(mixed, company)?;
    let x = add_rms_norm(x, &attended, &weights.post_attention_norm, eps)?;
    let normed = rms_norm(&x, &weights.pre_ffn_norm, eps)?;
    let width = config.intermediate_size;
    let gate_up = weights.gate_up.product(&normed, company)?;
    let gated = geglu(
        &gate_up.narrow(1, 0, width)?,
        &gate_up.narrow(1, width, width)?,
    )?;
    let fed = weights.down.product(&gated, company)?;
    Ok(add_rms_norm(&x, &fed, &weights.post_ffn_norm, eps)?)
}

/// What queries are multiplied by.
fn query_scale(config: &Config) -> f32 {
    config.query_pre_attn_scalar.sqrt().recip() as f32
}
