//! The reverse pass: gradients of the loss, each computed once and added in place.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};

use super::forward::{Block, Pass};
use super::{Trainable, Wanted};
use crate::kernels::{
    add_product, attention_probabilities_backward, cross_entropy_backward,
    cross_entropy_with_normalisers, gather_rows_backward, geglu_backward, rms_norm_backward,
    split_heads, split_heads_backward,
};
use crate::parameters::{
    DOWN, EMBED, FINAL_NORM, GATE, INPUT_NORM, K, O, POST_ATTENTION_NORM, POST_FFN_NORM,
    PRE_FFN_NORM, Q, UP, V, in_block,
};
use crate::{Error, Result};

/// The loss and the gradient of every variable, on the CPU.
pub(super) fn loss_and_gradients(
    model: &Trainable,
    ids: &Tensor,
    wanted: &Wanted,
) -> Result<(f32, GradStore)> {
    let pass = Pass::new(model, ids, false)?;
    let cap = model.config.final_softcap;
    let mut x = pass.embed()?;
    let mut blocks = Vec::with_capacity(model.config.num_layers);
    for block in 0..model.config.num_layers {
        let recorded = pass.block(block, x)?;
        x = recorded.output.clone();
        blocks.push(recorded);
    }
    let last = wanted.rows_of(&x)?;
    let head = pass.head(&last)?;
    let losses = cross_entropy_with_normalisers(&head.logits, &wanted.targets, cap)?;
    let shares = Tensor::new(wanted.shares.as_slice(), &Device::Cpu)?;
    let each = losses.narrow(0, 0, wanted.targets.len())?;
    let loss = (each * &shares)?.sum_all()?.to_scalar()?;

    let mut gradients = Gradients::new(&pass)?;
    let of_logits = cross_entropy_backward(&head.logits, &losses, &wanted.targets, cap, &shares)?;
    let of_normed = add_product(None, &of_logits, &pass.weight(pass.head_name())?)?;
    let of_head = add_product(None, &of_logits.t()?, &head.normed)?;
    let mut of_x = gradients.norm(FINAL_NORM, &last, &of_normed, None)?;
    if let Some(rows) = &wanted.rows {
        of_x = gather_rows_backward(&of_x, rows, 1.0, x.dim(0)?, None)?;
    }
    for (block, recorded) in blocks.iter().enumerate().rev() {
        of_x = gradients.block(block, recorded, &of_x)?;
    }
    let tied = pass.head_name() == EMBED;
    let sum = tied.then_some(&of_head);
    let (rows, scale) = (model.config.vocab_size, pass.embedding_scale());
    let of_embed = gather_rows_backward(&of_x, &pass.ids, scale, rows, sum)?;
    gradients.put(EMBED, of_embed)?;
    if !tied {
        gradients.put(pass.head_name(), of_head)?;
    }
    Ok((loss, gradients.store))
}

/// The gradients found so far.
struct Gradients<'a> {
    pass: &'a Pass<'a>,
    store: GradStore,
}

impl<'a> Gradients<'a> {
    fn new(pass: &'a Pass<'a>) -> Result<Self> {
        // The library makes stores only by a reverse pass; that of a constant is empty but for the constant itself.
        let constant = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        let mut store = constant.backward()?;
        store.remove(&constant);
        Ok(Self { pass, store })
    }

    fn put(&mut self, name: &str, gradient: Tensor) -> Result<()> {
        let var = self.pass.model.var(name)?;
        self.store.insert(var.as_tensor(), gradient);
        Ok(())
    }

    /// Through a norm of `x`: puts the weight's gradient and gives that of `x`, added to `sum`.
    fn norm(
        &mut self,
        name: &str,
        x: &Tensor,
        grad: &Tensor,
        sum: Option<&Tensor>,
    ) -> Result<Tensor> {
        let eps = self.pass.model.config.rms_norm_eps;
        let (of_x, of_weight) = rms_norm_backward(x, &self.pass.weight(name)?, grad, eps, sum)?;
        self.put(name, of_weight)?;
        Ok(of_x)
    }

    /// Through x·wᵀ: puts the weight's gradient and gives that of `x`, added to `sum`.
    fn linear(
        &mut self,
        name: &str,
        x: &Tensor,
        grad: &Tensor,
        sum: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.put(name, add_product(None, &grad.t()?, x)?)?;
        Ok(add_product(sum, grad, &self.pass.weight(name)?)?)
    }

    /// Through a block: gives its input's gradient.
    fn block(&mut self, block: usize, recorded: &Block, grad: &Tensor) -> Result<Tensor> {
        let name = |part: &str| in_block(block, part);
        let of_fed = self.norm(&name(POST_FFN_NORM), &recorded.fed, grad, None)?;
        let of_gated = self.linear(&name(DOWN), &recorded.gated, &of_fed, None)?;
        let (of_gate, of_up) = geglu_backward(&recorded.gate, &recorded.up, &of_gated)?;
        let normed = &recorded.normed_middle;
        let of_normed = self.linear(&name(GATE), normed, &of_gate, None)?;
        let of_normed = self.linear(&name(UP), normed, &of_up, Some(&of_normed))?;
        let of_middle = self.norm(
            &name(PRE_FFN_NORM),
            &recorded.middle,
            &of_normed,
            Some(grad),
        )?;

        let of_attended = self.norm(
            &name(POST_ATTENTION_NORM),
            &recorded.attended,
            &of_middle,
            None,
        )?;
        let of_joined = self.linear(&name(O), &recorded.joined, &of_attended, None)?;
        let of_normed = self.attention(block, recorded, &of_joined)?;
        self.norm(&name(INPUT_NORM), &recorded.x, &of_normed, Some(&of_middle))
    }

    /// Through the attention: gives the gradient of its normed input.
    fn attention(&mut self, block: usize, recorded: &Block, grad: &Tensor) -> Result<Tensor> {
        let pass = self.pass;
        let config = &pass.model.config;
        let Block {
            queries,
            keys,
            values,
            scores,
            probabilities,
            ..
        } = recorded;
        let of_mixed =
            split_heads(grad, pass.batch, config.num_heads, None, 1.0)?.reshape(queries.shape())?;
        let of_values = add_product(None, &probabilities.t()?, &of_mixed)?;
        let of_probabilities = add_product(None, &of_mixed, &values.t()?)?;
        let span = pass.span(block);
        let of_scores = attention_probabilities_backward(
            scores,
            probabilities,
            &of_probabilities,
            config.attn_softcap,
            span,
        )?;
        let of_queries = add_product(None, &of_scores, keys)?;
        let of_keys = add_product(None, &of_scores.t()?, queries)?;

        let rotation = pass.rotation();
        let parts = [
            (
                Q,
                of_queries,
                config.num_heads,
                Some(&rotation),
                pass.query_scale(),
            ),
            (K, of_keys, config.num_kv_heads, Some(&rotation), 1.0),
            (V, of_values, config.num_kv_heads, None, 1.0),
        ];
        let mut of_normed = None;
        for (part, grad, heads, rotation, scale) in parts {
            let grad = grad.reshape((pass.batch, heads, pass.tokens, config.head_dim))?;
            let of_columns = split_heads_backward(&grad, rotation, scale)?;
            let name = in_block(block, part);
            of_normed =
                Some(self.linear(&name, &recorded.normed, &of_columns, of_normed.as_ref())?);
        }
        of_normed.ok_or_else(|| {
            Error::Argument("an attention without projections has no gradient".into())
        })
    }
}
