//! Decoding: codes to residuals, dense or sparse.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::codes::{Active, Codes};
use crate::crosscoder::Crosscoder;
use crate::encode::host;
use crate::error::{Error, Result};
use crate::header::MODELS;

impl Crosscoder {
    /// Residuals of both models rebuilt from unscaled codes, bias included, in residual space: [N, F] (or [N, 2, F], each model
    /// reading its own) to [N, 2, D].
    ///
    /// # Errors
    /// If `f` has another shape, or the device lacks memory.
    pub fn decode(&self, f: &Tensor) -> Result<Tensor> {
        let stored = self.decode_normalized(f)?;
        let Some(normalizer) = &self.normalizer else {
            return Ok(stored);
        };
        let dim = self.activation_dim();
        let mean = Tensor::from_slice(normalizer.mean(), (1, MODELS, dim), &self.device)?;
        let divisor = [normalizer.divisor(0), normalizer.divisor(1)];
        let divisor = Tensor::from_slice(&divisor, (1, MODELS, 1), &self.device)?;
        Ok(stored.broadcast_div(&divisor)?.broadcast_add(&mean)?)
    }

    /// As [`Crosscoder::decode`] in the space of the stored decoder, that is, not taken back from normalised activations.
    ///
    /// # Errors
    /// As [`Crosscoder::decode`].
    pub fn decode_normalized(&self, f: &Tensor) -> Result<Tensor> {
        let (latents, dim) = (self.dict_size(), self.activation_dim());
        let models = match f.dims() {
            &[_, width] if width == latents => 1,
            &[_, MODELS, width] if width == latents => MODELS,
            other => {
                return Err(Error::Input {
                    what: "shape of the codes",
                    expected: format!("[tokens, {latents}] or [tokens, 2, {latents}]"),
                    found: format!("{other:?}"),
                });
            }
        };
        let f = f.to_dtype(DType::F32)?;
        let tokens = f.dim(0)?;
        let codes = host(&f)?;
        let mut out = vec![0f32; tokens * MODELS * dim];
        out.par_chunks_mut(MODELS * dim)
            .zip(codes.par_chunks(models * latents))
            .for_each(|(out, code)| {
                for (m, out) in out.chunks_exact_mut(dim).enumerate() {
                    out.copy_from_slice(self.decoder_bias(m));
                    let start = m.min(models - 1) * latents;
                    let code = code.get(start..start + latents).unwrap_or_default();
                    for (j, &f) in (0u32..).zip(code).filter(|(_, f)| **f != 0.0) {
                        add_scaled(out, f, &self.decoder_row(m, j));
                    }
                }
            });
        Ok(Tensor::from_vec(out, (tokens, MODELS, dim), &self.device)?)
    }

    /// Rebuilds residuals from sparse codes, bias included, in the space of the stored decoder: [N, 2, D] row-major.
    pub fn reconstruct_normalized(&self, codes: &Codes) -> Vec<f32> {
        let dim = self.activation_dim();
        let mut out = vec![0f32; codes.tokens() * MODELS * dim];
        out.par_chunks_mut(MODELS * dim)
            .enumerate()
            .for_each(|(t, out)| self.reconstruct_token(codes.token(t), out));
        out
    }

    /// As [`Crosscoder::reconstruct_normalized`], one token into `out` [2, D]; a slice of another length is filled as far as it goes.
    pub fn reconstruct_token(&self, active: &[Active], out: &mut [f32]) {
        let rows = out.chunks_exact_mut(self.activation_dim());
        for (m, out) in rows.enumerate().take(MODELS) {
            out.copy_from_slice(self.decoder_bias(m));
            for a in active {
                add_scaled(out, model_code(a, m), &self.decoder_row(m, a.id));
            }
        }
    }

    /// Rebuilds one model's residual of one token from unscaled codes, bias included, in residual space, into `out` [D].
    pub(crate) fn reconstruct_row(
        &self,
        model: usize,
        codes: impl IntoIterator<Item = (u32, f32)>,
        out: &mut [f32],
    ) {
        let bias = self.decoder_bias(model);
        if bias.len() != out.len() {
            return;
        }
        out.copy_from_slice(bias);
        for (id, code) in codes {
            add_scaled(out, code, &self.decoder_row(model, id));
        }
        self.denormalize(model, out);
    }

    /// Rebuilds residuals from sparse codes in residual space: [N, 2, D] row-major.
    pub fn reconstruct(&self, codes: &Codes) -> Vec<f32> {
        let dim = self.activation_dim();
        let mut out = self.reconstruct_normalized(codes);
        for token in out.chunks_exact_mut(MODELS * dim) {
            for (m, row) in token.chunks_exact_mut(dim).enumerate() {
                self.denormalize(m, row);
            }
        }
        out
    }

    /// Moves latents from the other model to `to`, at one token: adds scale·Σ_j (f_j·d_j of model `to` − f_j·d_j of the other) to
    /// the residual `out` [D], over the active latents that are chosen; no bias. Rows act in residual space.
    pub fn add_difference(
        &self,
        active: &[Active],
        chosen: impl Fn(u32) -> bool,
        to: usize,
        scale: f32,
        out: &mut [f32],
    ) {
        for a in active.iter().filter(|a| chosen(a.id)) {
            for m in 0..MODELS {
                let sign = if m == to { scale } else { -scale };
                let divisor = self.normalizer.as_ref().map_or(1.0, |n| n.divisor(m));
                add_scaled(
                    out,
                    sign * model_code(a, m) / divisor,
                    &self.decoder_row(m, a.id),
                );
            }
        }
    }
}

fn model_code(active: &Active, model: usize) -> f32 {
    active.f.get(model).copied().unwrap_or(0.0)
}

/// out += c·row
fn add_scaled(out: &mut [f32], c: f32, row: &[f32]) {
    for (o, &x) in out.iter_mut().zip(row) {
        *o += c * x;
    }
}
