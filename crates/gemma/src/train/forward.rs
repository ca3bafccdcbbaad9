//! The forward pass over a batch, keeping what a reverse pass needs.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::Trainable;
use crate::kernels::{
    Masks, Rotation, Span, add_rms_norm, attention_probabilities, gather_rows, geglu, join_heads,
    linear, product, rms_norm, split_heads,
};
use crate::model::embedding_scale;
use crate::parameters::{
    DOWN, EMBED, FINAL_NORM, GATE, HEAD, INPUT_NORM, K, O, POST_ATTENTION_NORM, POST_FFN_NORM,
    PRE_FFN_NORM, Q, UP, V, in_block,
};
use crate::{Error, Result};

/// One batch on its way through the model.
pub(super) struct Pass<'a> {
    pub(super) model: &'a Trainable,
    /// The batch's ids, row by row.
    pub(super) ids: Vec<u32>,
    pub(super) batch: usize,
    pub(super) tokens: usize,
    /// Whether the tensor library records the computation for its own reverse pass.
    tracked: bool,
}

/// A block's input and what it computed from it. All but the attention's are `[B·T, width]`.
pub(super) struct Block {
    pub(super) x: Tensor,
    pub(super) normed: Tensor,
    /// `[B·kv_heads, G·T, head_dim]`, rotated and scaled
    pub(super) queries: Tensor,
    /// `[B·kv_heads, T, head_dim]`, rotated
    pub(super) keys: Tensor,
    /// `[B·kv_heads, T, head_dim]`
    pub(super) values: Tensor,
    /// `[B·kv_heads, G·T, T]`
    pub(super) scores: Tensor,
    /// `[B·kv_heads, G·T, T]`
    pub(super) probabilities: Tensor,
    pub(super) joined: Tensor,
    pub(super) attended: Tensor,
    pub(super) middle: Tensor,
    pub(super) normed_middle: Tensor,
    pub(super) gate: Tensor,
    pub(super) up: Tensor,
    pub(super) gated: Tensor,
    pub(super) fed: Tensor,
    pub(super) output: Tensor,
}

/// The final norm `[N, D]` and the logits `[N, V]` before their soft cap.
pub(super) struct Head {
    pub(super) normed: Tensor,
    pub(super) logits: Tensor,
}

impl<'a> Pass<'a> {
    /// Takes ids `[B, T]`.
    pub(super) fn new(model: &'a Trainable, ids: &Tensor, tracked: bool) -> Result<Self> {
        let (batch, tokens) = ids.dims2()?;
        if batch * tokens == 0 {
            return Err(Error::Empty);
        }
        if tokens > model.tables.positions() {
            return Err(Error::TooLong {
                wanted: tokens,
                limit: model.tables.positions(),
                what: "model's max_position_embeddings",
            });
        }
        Ok(Self {
            model,
            ids: ids.flatten_all()?.to_vec1()?,
            batch,
            tokens,
            tracked,
        })
    }

    pub(super) fn weight(&self, name: &str) -> Result<Tensor> {
        let var = self.model.var(name)?;
        Ok(if self.tracked {
            var.as_tensor().clone()
        } else {
            var.as_detached_tensor()
        })
    }

    pub(super) fn embedding_scale(&self) -> f64 {
        embedding_scale(self.model.config.hidden_size, DType::F32)
    }

    /// Scaled embeddings `[B·T, D]`.
    pub(super) fn embed(&self) -> Result<Tensor> {
        Ok(gather_rows(
            &self.weight(EMBED)?,
            &self.ids,
            self.embedding_scale(),
        )?)
    }

    /// The last block's output `[B·T, D]`.
    pub(super) fn residual(&self) -> Result<Tensor> {
        let mut x = self.embed()?;
        for block in 0..self.model.config.num_layers {
            x = self.block(block, x)?.output;
        }
        Ok(x)
    }

    pub(super) fn head_name(&self) -> &'static str {
        if self.model.config.tie_word_embeddings {
            EMBED
        } else {
            HEAD
        }
    }

    /// Logits from residuals `[N, D]`.
    pub(super) fn head(&self, x: &Tensor) -> Result<Head> {
        let normed = rms_norm(x, &self.weight(FINAL_NORM)?, self.model.config.rms_norm_eps)?;
        let logits = linear(&normed, &self.weight(self.head_name())?)?;
        Ok(Head { normed, logits })
    }

    /// The keys that queries see.
    pub(super) fn span(&self, block: usize) -> Span {
        Span::new(self.tokens, 0, self.model.config.window(block))
    }

    pub(super) fn rotation(&self) -> Rotation {
        Rotation {
            tables: Arc::clone(&self.model.tables),
            first: 0,
        }
    }

    pub(super) fn query_scale(&self) -> f32 {
        self.model.config.query_pre_attn_scalar.sqrt().recip() as f32
    }

    pub(super) fn block(&self, block: usize, x: Tensor) -> Result<Block> {
        let config = &self.model.config;
        let eps = config.rms_norm_eps;
        let (heads, kv_heads, head_dim) = (config.num_heads, config.num_kv_heads, config.head_dim);
        let weight = |part: &str| self.weight(&in_block(block, part));
        let project = |x: &Tensor, part: &str| -> Result<Tensor> { Ok(linear(x, &weight(part)?)?) };

        let normed = rms_norm(&x, &weight(INPUT_NORM)?, eps)?;
        let rotation = self.rotation();
        let split =
            |part: &str, heads: usize, rotation: Option<&Rotation>, scale: f32| -> Result<Tensor> {
                let split =
                    split_heads(&project(&normed, part)?, self.batch, heads, rotation, scale)?;
                let shape = (
                    self.batch * kv_heads,
                    heads / kv_heads * self.tokens,
                    head_dim,
                );
                Ok(split.reshape(shape)?)
            };
        let queries = split(Q, heads, Some(&rotation), self.query_scale())?;
        let keys = split(K, kv_heads, Some(&rotation), 1.0)?;
        let values = split(V, kv_heads, None, 1.0)?;
        let scores = product(&queries, &keys.t()?)?;
        let (cap, span) = (config.attn_softcap, self.span(block));
        let probabilities = attention_probabilities(&scores, cap, span, &Masks::default())?;
        let mixed = product(&probabilities, &values)?;
        let joined = join_heads(&mixed.reshape((self.batch, heads, self.tokens, head_dim))?)?;
        let attended = project(&joined, O)?;
        let middle = add_rms_norm(&x, &attended, &weight(POST_ATTENTION_NORM)?, eps)?;

        let normed_middle = rms_norm(&middle, &weight(PRE_FFN_NORM)?, eps)?;
        let gate = project(&normed_middle, GATE)?;
        let up = project(&normed_middle, UP)?;
        let gated = geglu(&gate, &up)?;
        let fed = project(&gated, DOWN)?;
        let output = add_rms_norm(&middle, &fed, &weight(POST_FFN_NORM)?, eps)?;
        Ok(Block {
            x,
            normed,
            queries,
            keys,
            values,
            scores,
            probabilities,
            joined,
            attended,
            middle,
            normed_middle,
            gate,
            up,
            gated,
            fed,
            output,
        })
    }
}
