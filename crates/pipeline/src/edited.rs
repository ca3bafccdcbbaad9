//! The residual after edits by a dictionary's latents: what causal effects and steered answers read.

use candle_core::Tensor;
use crosscoder::{Active, Codes, Crosscoder, Edit, Unedited};
use gemma::TokenKind;
use rayon::prelude::*;

use crate::Result;
use crate::analyse::chunk_tokens;

/// Where an edit acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At every token.
    Everywhere,
    /// At template tokens.
    Template,
}

/// What edits read of a few tokens: residuals [T, D] of base and chat, one of which may be missing where no edit needs it, and the codes
/// of the pair.
pub(crate) struct Residuals {
    tensors: [Option<Tensor>; 2],
    /// The same on the host.
    rows: [Option<Vec<f32>>; 2],
    /// Codes of the unedited pair, so many tokens each.
    codes: Vec<Codes>,
    chunk: usize,
}

impl Residuals {
    /// Residuals in f32; codes are computed where both are there.
    pub(crate) fn new(crosscoder: &Crosscoder, tensors: [Option<Tensor>; 2]) -> Result<Self> {
        let chunk = chunk_tokens(crosscoder.dict_size());
        let codes = match &tensors {
            [Some(base), Some(chat)] => {
                let x = Tensor::stack(&[base, chat], 1)?;
                let tokens = x.dim(0)?;
                (0..tokens)
                    .step_by(chunk)
                    .map(|from| {
                        let count = chunk.min(tokens - from);
                        Ok(crosscoder.codes(&x.narrow(0, from, count)?)?)
                    })
                    .collect::<Result<_>>()?
            }
            _ => Vec::new(),
        };
        let host = |tensor: &Option<Tensor>| -> Result<Option<Vec<f32>>> {
            let rows = tensor.as_ref().map(|t| t.flatten_all()?.to_vec1());
            Ok(rows.transpose()?)
        };
        Ok(Self {
            rows: [host(&tensors[0])?, host(&tensors[1])?],
            tensors,
            codes,
            chunk,
        })
    }

    /// Active latents at a token.
    fn active(&self, t: usize) -> &[Active] {
        let codes = self.codes.get(t / self.chunk);
        codes.map_or(&[], |codes| codes.token(t % self.chunk))
    }

    /// A model's residual after edits, in their order, at tokens of these kinds.
    pub(crate) fn edited(
        &self,
        crosscoder: &Crosscoder,
        model: usize,
        edits: &[(Edit, At)],
        kinds: &[TokenKind],
    ) -> Result<Tensor> {
        let (Some(own), Some(rows)) = (&self.tensors[model], &self.rows[model]) else {
            return Err(candle_core::Error::Msg("a residual is missing".into()).into());
        };
        if edits.is_empty() {
            return Ok(own.clone());
        }
        let width = crosscoder.activation_dim();
        let mut h = rows.clone();
        h.par_chunks_exact_mut(width)
            .zip(kinds)
            .enumerate()
            .for_each(|(t, (row, &kind))| {
                let of = |model: usize| -> Option<&[f32]> {
                    let rows = self.rows[model].as_ref()?;
                    rows.get(t * width..(t + 1) * width)
                };
                let token = Unedited {
                    residual: [of(0), of(1)],
                    active: self.active(t),
                };
                let acts = |at: At| at == At::Everywhere || kind == TokenKind::Template;
                let edits = edits.iter().filter(|(_, at)| acts(*at));
                crosscoder.edit(edits.map(|(edit, _)| edit), &token, row);
            });
        Ok(Tensor::from_vec(h, own.shape(), own.device())?)
    }
}
