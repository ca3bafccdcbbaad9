//! Encoding: activations to codes, dense, for chosen latents, or sparse on the host.

use candle_core::{DType, Storage, Tensor};
use rayon::prelude::*;

use crate::codes::{Active, Codes, Halves};
use crate::crosscoder::Crosscoder;
use crate::error::Result;
use crate::header::MODELS;
use crate::resting::Encoder;

/// Pre-activations, or numbers of the encoder's columns, that are in memory at once: 128 MiB.
const NUMBERS: usize = 1 << 25;
/// Latents that are looked at together.
const BLOCK: usize = 16;
/// Relative error of a pre-activation's comparison, generously.
const SLACK: f32 = 1e-5;

/// One latent's part in the encoding of a pre-activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gate {
    bias: f32,
    /// Per model: weight of the activation and threshold. Equal unless DECOUPLED.
    models: [(f32, f32); 2],
    decoupled: bool,
}

/// All latents' gates, made once.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    all: Vec<Gate>,
    /// [`Gate::least`] of each.
    least: Vec<f32>,
}

impl Gates {
    /// In the order of latents.
    pub(crate) fn new(all: Vec<Gate>) -> Self {
        let least = all.iter().map(Gate::least).collect();
        Self { all, least }
    }
}

impl Gate {
    /// Code of base and chat from a pre-activation without bias.
    fn code(&self, pre: f32) -> [f32; 2] {
        let f = (pre + self.bias).max(0.0);
        self.models
            .map(|(w, threshold)| if f > 0.0 && f * w > threshold { f } else { 0.0 })
    }

    /// A pre-activation up to which the latent is surely inactive; a little above it, it may still be.
    fn least(&self) -> f32 {
        let least = |(w, threshold): (f32, f32)| {
            // v > threshold is f > threshold/w; f > 0 in any case.
            let f = if threshold > 0.0 { threshold / w } else { 0.0 };
            f - self.bias - SLACK * (f.abs() + self.bias.abs())
        };
        let [base, chat] = self.models.map(least);
        // An infinite one gives NaN: nothing is above it, and nothing fires.
        if base.is_nan() { chat } else { base.min(chat) }
    }

    pub(crate) fn active(&self, id: u32, pre: f32) -> Option<Active> {
        let f = self.code(pre);
        if f == [0.0, 0.0] {
            return None;
        }
        let [(base, _), (chat, _)] = self.models;
        let v = if self.decoupled {
            f[0] * base + f[1] * chat
        } else {
            f[1] * chat
        };
        Some(Active { id, f, v })
    }
}

impl Crosscoder {
    /// Every latent's gate, for the one place that makes them.
    pub(crate) fn make_gates(&self) -> Gates {
        Gates::new(self.gates_of(0..self.dict_size() as u32))
    }

    pub(crate) fn gate(&self, latent: u32) -> Gate {
        let j = latent as usize;
        let thresholds = self.header.thresholds.unwrap_or([f32::NEG_INFINITY; 2]);
        let decoupled = self.is_decoupled();
        let weights = if decoupled {
            [self.norm(0, j), self.norm(1, j)]
        } else {
            [self.weight(latent); 2]
        };
        Gate {
            bias: self.encoder_bias.get(j).copied().unwrap_or(0.0),
            models: [(weights[0], thresholds[0]), (weights[1], thresholds[1])],
            decoupled,
        }
    }

    fn gates_of(&self, ids: impl Iterator<Item = u32>) -> Vec<Gate> {
        ids.map(|id| self.gate(id)).collect()
    }

    /// Activations as the encoder sees them, [N, 2, D]: normalised where the dictionary normalises.
    ///
    /// # Errors
    /// If `x` is not [N, 2, D].
    pub fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        self.check_input(x)?;
        let x = x.to_device(&self.device)?.to_dtype(DType::F32)?;
        let Some(normalizer) = &self.normalizer else {
            return Ok(x.contiguous()?);
        };
        let dim = self.activation_dim();
        let mean = Tensor::from_slice(normalizer.mean(), (1, MODELS, dim), &self.device)?;
        let scale = Tensor::from_slice(&normalizer.scale(), (1, MODELS, 1), &self.device)?;
        Ok(x.broadcast_sub(&mean)?.broadcast_mul(&scale)?)
    }

    /// Normalised activations with both models' side by side, [N, 2·D].
    fn beside(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.normalize(x)?;
        let tokens = x.dim(0)?;
        Ok(x.reshape((tokens, MODELS * self.activation_dim()))?)
    }

    /// Unscaled codes after ReLU and threshold: [N, F], for DECOUPLED [N, 2, F]. `x` is [N, 2, D] in residual space.
    ///
    /// # Errors
    /// If `x` has another shape, or the device lacks memory.
    pub fn encode(&self, x: &Tensor) -> Result<Tensor> {
        let pre = self.encoder.product(&self.beside(x)?)?;
        self.apply(&pre, &self.gates.all)
    }

    /// As [`Crosscoder::encode`], for chosen latents in the order given: [N, J], for DECOUPLED [N, 2, J].
    ///
    /// # Errors
    /// Also if an id is outside the dictionary.
    pub fn encode_latents(&self, x: &Tensor, ids: &[u32]) -> Result<Tensor> {
        self.check_ids(ids)?;
        let pre = self.beside(x)?.matmul(&self.encoder.columns(ids)?)?;
        self.apply(&pre, &self.gates_of(ids.iter().copied()))
    }

    fn apply(&self, pre: &Tensor, gates: &[Gate]) -> Result<Tensor> {
        let (tokens, width) = pre.dims2()?;
        let models = if self.is_decoupled() { MODELS } else { 1 };
        let mut codes = vec![0f32; tokens * models * width];
        let host = host(pre)?;
        if width > 0 {
            codes
                .par_chunks_mut(models * width)
                .zip(host.par_chunks(width))
                .for_each(|(out, row)| {
                    for (j, (gate, &pre)) in gates.iter().zip(row).enumerate() {
                        let code = gate.code(pre);
                        // Without DECOUPLED both are equal, so the last one is the code.
                        for (part, f) in out.chunks_exact_mut(width).zip(code) {
                            if let Some(slot) = part.get_mut(j) {
                                *slot = f;
                            }
                        }
                    }
                });
        }
        let shape = if self.is_decoupled() {
            vec![tokens, MODELS, width]
        } else {
            vec![tokens, width]
        };
        Ok(Tensor::from_vec(codes, shape, &self.device)?)
    }

    /// Active latents of every token of `x` ([N, 2, D], residual space), on the host.
    ///
    /// # Errors
    /// If `x` has another shape, or the device lacks memory.
    pub fn codes(&self, x: &Tensor) -> Result<Codes> {
        self.codes_by(x, Encoder::product)
    }

    /// As [`Crosscoder::codes`]; on the CPU a token's codes have the bits that they have alone.
    ///
    /// # Errors
    /// As [`Crosscoder::codes`].
    pub fn codes_apart(&self, x: &Tensor) -> Result<Codes> {
        self.codes_by(x, Encoder::product_apart)
    }

    fn codes_by(
        &self,
        x: &Tensor,
        product: impl Fn(&Encoder, &Tensor) -> Result<Tensor>,
    ) -> Result<Codes> {
        let tokens = self.check_input(x)?;
        let together = (NUMBERS / self.dict_size().max(1)).max(1);
        let mut codes = Codes {
            offsets: vec![0],
            active: Vec::new(),
        };
        for from in (0..tokens).step_by(together) {
            let some = x.narrow(0, from, together.min(tokens - from))?;
            let pre = product(&self.encoder, &self.beside(&some)?)?;
            for row in rows_of_active(&pre, &self.gates)? {
                codes.active.extend(row);
                codes.offsets.push(codes.active.len());
            }
        }
        Ok(codes)
    }

    /// Chosen latents' v at every token and what each model puts in, so that v = base + chat + w_j·b_j where active.
    ///
    /// # Errors
    /// If `x` is not [N, 2, D] or an id is outside the dictionary.
    pub fn halves(&self, x: &Tensor, ids: &[u32]) -> Result<Halves> {
        self.check_ids(ids)?;
        let x = self.normalize(x)?;
        let mut halves = Halves::default();
        let together = (NUMBERS / (MODELS * self.activation_dim()).max(1)).max(1);
        for ids in ids.chunks(together) {
            self.add_halves(&x, ids, &mut halves)?;
        }
        Ok(halves)
    }

    /// The halves of some latents behind those of others, from normalised activations.
    fn add_halves(&self, x: &Tensor, ids: &[u32], halves: &mut Halves) -> Result<()> {
        let (dim, tokens) = (self.activation_dim(), x.dim(0)?);
        let columns = self.encoder.columns(ids)?;
        let mut parts = [Vec::new(), Vec::new()];
        for (model, part) in parts.iter_mut().enumerate() {
            let x = x.narrow(1, model, 1)?.squeeze(1)?.contiguous()?;
            let half = x.matmul(&columns.narrow(0, model * dim, dim)?)?;
            *part = half.flatten_all()?.to_vec1::<f32>()?;
        }
        let [base, chat] = parts;
        for (j, &id) in ids.iter().enumerate() {
            let (gate, w) = (self.gate(id), self.weight(id));
            let column = |part: &[f32]| -> Vec<f32> {
                (0..tokens)
                    .map(|t| part.get(t * ids.len() + j).copied().unwrap_or(0.0))
                    .collect()
            };
            let (base, chat) = (column(&base), column(&chat));
            let v = base
                .iter()
                .zip(&chat)
                .map(|(b, c)| gate.active(id, b + c).map_or(0.0, |a| a.v));
            halves.values.push(v.collect());
            halves.base.push(base.iter().map(|b| b * w).collect());
            halves.chat.push(chat.iter().map(|c| c * w).collect());
        }
        Ok(())
    }
}

/// Active latents of every row of pre-activations [N, F].
fn rows_of_active(pre: &Tensor, gates: &Gates) -> Result<Vec<Vec<Active>>> {
    let (storage, layout) = pre.storage_and_layout();
    let copy;
    // Millions of numbers, so where they are on the host already they are read in place.
    let numbers: &[f32] = if let (Storage::Cpu(storage), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    {
        storage.as_slice()?.get(from..to).unwrap_or_default()
    } else {
        copy = host(pre)?;
        &copy
    };
    Ok(numbers
        .par_chunks(gates.all.len().max(1))
        .map(|row| active(row, gates))
        .collect())
}

/// Active latents of one row of pre-activations.
fn active(row: &[f32], gates: &Gates) -> Vec<Active> {
    let mut found = Vec::new();
    let blocks = row.chunks(BLOCK).zip(gates.least.chunks(BLOCK));
    for (block, (row, least)) in blocks.enumerate() {
        // Most blocks have no active latent, and vector units see that at once.
        let above = row
            .iter()
            .zip(least)
            .fold(0, |above, (pre, least)| above + u32::from(pre > least));
        if above > 0 {
            let first = block * BLOCK;
            let gates = gates.all.get(first..).unwrap_or_default().iter().zip(row);
            found.extend(
                (first as u32..)
                    .zip(gates)
                    .filter_map(|(id, (gate, &pre))| gate.active(id, pre)),
            );
        }
    }
    found
}

/// A tensor's numbers on the host.
pub(crate) fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?)
}

#[cfg(test)]
mod tests {
    use super::Gate;

    #[test]
    fn no_active_latent_is_passed_over() {
        let values = [0.0f32, 1e-3, 0.37, 1.0, 2.5, 40.0, 1e6];
        let thresholds = [f32::NEG_INFINITY, -1.0, 0.0, 1e-3, 0.3, 7.7];
        let (mut active, mut passed) = (0, 0);
        for &w in &values {
            for &threshold in &thresholds {
                for bias in values.iter().flat_map(|&b| [b, -b]) {
                    for other in [(w, threshold), (0.0, 0.5), (1.0, 0.1)] {
                        let gate = Gate {
                            bias,
                            models: [(w, threshold), other],
                            decoupled: other != (w, threshold),
                        };
                        // Around the edge to the last bit, and far from it.
                        let edge = threshold.max(0.0) / w - bias;
                        let near = (-40..=40).map(|i| edge * (1.0 + i as f32 * f32::EPSILON));
                        let far = values.iter().flat_map(|&x| [x, -x, edge + x]);
                        for pre in near.chain(far) {
                            let fires = gate.active(0, pre).is_some();
                            active += usize::from(fires);
                            passed += usize::from(pre <= gate.least());
                            assert!(
                                !fires || pre > gate.least(),
                                "{pre}: bias {bias}, {:?}",
                                gate.models
                            );
                        }
                    }
                }
            }
        }
        assert!(active > 10_000 && passed > 10_000, "{active}, {passed}");
    }
}
