//! Parameters in the trainer's layout, by latent, and their initial draw.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::Settings;
use super::entries::Models;
use super::kernels::{dot, vectorised};
use crate::CodeNormalization;

/// A crosscoder's parameters, or their gradients or moments. A latent's row holds base, then chat: width 2·D.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameters {
    /// [F, 2·D]: the transpose of the file's encoder.weight.
    pub(super) encoder: Vec<f32>,
    /// [F]
    pub(super) encoder_bias: Vec<f32>,
    /// [F, 2·D]
    pub(super) decoder: Vec<f32>,
    /// [2·D]
    pub(super) decoder_bias: Vec<f32>,
}

impl Parameters {
    /// All zero.
    pub(super) fn zeros(dim: usize, latents: usize) -> Self {
        Self {
            encoder: vec![0.0; latents * 2 * dim],
            encoder_bias: vec![0.0; latents],
            decoder: vec![0.0; latents * 2 * dim],
            decoder_bias: vec![0.0; 2 * dim],
        }
    }

    /// The initial draw: Kaiming-uniform directions, biases zero.
    pub(super) fn draw(settings: &Settings, dim: usize, latents: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut parameters = Self::zeros(dim, latents);
        // The fan of PyTorch's kaiming_uniform_: sizes after the first of [D, F], or of [2, D, F].
        let encoder_fan = if settings.same_init_for_all_layers {
            latents
        } else {
            dim * latents
        };
        draw_rows(
            &mut parameters.encoder,
            dim,
            encoder_fan,
            settings,
            &mut rng,
        );
        if settings.init_with_transpose {
            parameters.decoder.clone_from(&parameters.encoder);
        } else {
            let fan = if settings.same_init_for_all_layers {
                dim
            } else {
                latents * dim
            };
            draw_rows(&mut parameters.decoder, dim, fan, settings, &mut rng);
        }
        parameters
    }

    /// Every tensor with its name, in a fixed order.
    pub(super) fn named(&self) -> [(&'static str, &[f32]); 4] {
        [
            ("encoder", &self.encoder),
            ("encoder_bias", &self.encoder_bias),
            ("decoder", &self.decoder),
            ("decoder_bias", &self.decoder_bias),
        ]
    }

    /// Every tensor with its name, in the order of [`Parameters::named`].
    pub(super) fn named_mut(&mut self) -> [(&'static str, &mut Vec<f32>); 4] {
        [
            ("encoder", &mut self.encoder),
            ("encoder_bias", &mut self.encoder_bias),
            ("decoder", &mut self.decoder),
            ("decoder_bias", &mut self.decoder_bias),
        ]
    }

    /// Decoder norms of both models and code weights w of every latent.
    pub(super) fn weigh(&self, normalization: CodeNormalization, weights: &mut [Weight]) {
        let width = self.decoder_bias.len();
        weights
            .par_iter_mut()
            .zip(self.decoder.par_chunks(width.max(1)))
            .for_each(|(weight, row)| {
                let norms = norms(row);
                *weight = Weight::new(normalization, norms);
            });
    }
}

/// Norms of a decoder row of both models.
fn norms(row: &[f32]) -> [f32; 2] {
    let (base, chat) = row.split_at(row.len() / 2);
    vectorised(
        #[inline(always)]
        || [dot(base, base).sqrt(), dot(chat, chat).sqrt()],
    )
}

/// A latent's decoder norms and its code weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weight {
    /// Base, chat.
    pub(super) norms: [f32; 2],
    /// w with v = f·w; for DECOUPLED the sum over models.
    pub(super) w: f32,
    /// What f is multiplied with before selection: w twice, or for DECOUPLED each model's own.
    pub(super) gates: [f32; 2],
}

impl Weight {
    pub(super) fn new(normalization: CodeNormalization, norms: [f32; 2]) -> Self {
        let w = normalization.weight(norms[0], norms[1]);
        let gates = match normalization {
            CodeNormalization::Decoupled => norms,
            _ => [w; 2],
        };
        Self { norms, w, gates }
    }

    /// v of a code of 1 that is active in some models.
    pub(super) fn of(&self, models: Models) -> f32 {
        match (models.has(0), models.has(1)) {
            (true, true) => self.w,
            (true, false) => self.gates[0],
            (false, true) => self.gates[1],
            (false, false) => 0.0,
        }
    }
}

fn draw_rows(rows: &mut [f32], dim: usize, fan: usize, settings: &Settings, rng: &mut ChaCha8Rng) {
    let bound = (6.0 / fan.max(1) as f64).sqrt() as f32;
    for row in rows.chunks_exact_mut(2 * dim) {
        let (base, chat) = row.split_at_mut(dim);
        draw_row(base, bound, settings.norm_init_scale, rng);
        if settings.same_init_for_all_layers {
            chat.copy_from_slice(base);
        } else {
            draw_row(chat, bound, settings.norm_init_scale, rng);
        }
    }
}

fn draw_row(row: &mut [f32], bound: f32, norm: Option<f64>, rng: &mut ChaCha8Rng) {
    for x in row.iter_mut() {
        *x = rng.random_range(-bound..=bound);
    }
    if let Some(norm) = norm {
        let found = diffing::norm(row);
        if found > 0.0 {
            let factor = norm as f32 / found;
            for x in row.iter_mut() {
                *x *= factor;
            }
        }
    }
}
