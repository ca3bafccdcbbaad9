//! Gradients of every parameter from the sparse codes, and the update.

use rayon::prelude::*;

use super::Settings;
use super::entries::ByLatent;
use super::kernels::{AdamStep, BETA1, BETA2, adam, adam_without_gradient, add_scaled, dot};
use super::parameters::{Parameters, Weight};
use crate::{CodeNormalization, Kind};

/// Latents per task.
const LATENTS: usize = 32;

/// What the gradients are made of.
pub(super) struct Inputs<'a> {
    pub(super) codes: &'a ByLatent,
    /// Activations, [B, 2·D].
    pub(super) x: &'a [f32],
    /// Gradient by the reconstruction, [B, 2·D].
    pub(super) main: &'a [f32],
    /// Gradient by the auxiliary reconstruction, [B, 2·D]; read for dead latents only.
    pub(super) auxiliary: &'a [f32],
    pub(super) dead: &'a [bool],
    pub(super) parameters: &'a Parameters,
    pub(super) weights: &'a [Weight],
    pub(super) settings: &'a Settings,
}

/// Fills encoder, encoder bias and decoder gradients of latents that have codes in the batch, and returns the sum of squares of
/// these. Rows of other latents are left as they were: [`update`] treats them as zero.
pub(super) fn gradients(inputs: &Inputs, out: &mut Parameters) -> f64 {
    let width = inputs.parameters.decoder_bias.len();
    let rows = inputs.x.len() / width.max(1);
    let squares: Vec<f64> = out
        .encoder
        .par_chunks_mut(LATENTS * width)
        .zip(out.decoder.par_chunks_mut(LATENTS * width))
        .zip(out.encoder_bias.par_chunks_mut(LATENTS))
        .enumerate()
        .map(|(task, ((encoder, decoder), bias))| {
            let latents = encoder
                .chunks_exact_mut(width)
                .zip(decoder.chunks_exact_mut(width))
                .zip(bias);
            let mut squares = 0.0;
            for (i, ((encoder, decoder), bias)) in latents.enumerate() {
                let j = task * LATENTS + i;
                *bias = 0.0;
                if inputs.codes.touches(j) {
                    squares += latent_gradient(inputs, j, rows, encoder, decoder, bias);
                }
            }
            squares
        })
        .collect();
    squares.iter().sum()
}

fn latent_gradient(
    inputs: &Inputs,
    j: usize,
    rows: usize,
    encoder: &mut [f32],
    decoder: &mut [f32],
    bias: &mut f32,
) -> f64 {
    let width = encoder.len();
    let dead = inputs.dead.get(j).copied().unwrap_or(false);
    let by_reconstruction = if dead { inputs.auxiliary } else { inputs.main };
    encoder.fill(0.0);
    decoder.fill(0.0);
    let mut sum = 0f32;
    let row_of = |buffer: &'_ [f32], row: usize| -> std::ops::Range<usize> {
        let start = row * width;
        if start + width <= buffer.len() {
            start..start + width
        } else {
            0..0
        }
    };
    for (row, f, df) in inputs.codes.latent(j) {
        let from_x = inputs.x.get(row_of(inputs.x, row)).unwrap_or_default();
        let from_g = by_reconstruction
            .get(row_of(by_reconstruction, row))
            .unwrap_or_default();
        add_scaled(encoder, df, from_x);
        add_scaled(decoder, f, from_g);
        *bias += df;
        sum += f;
    }
    if inputs.settings.kind == Kind::L1 {
        let factor = inputs.settings.l1_penalty as f32 * sum / rows as f32;
        let row = inputs
            .parameters
            .decoder
            .get(j * width..(j + 1) * width)
            .unwrap_or_default();
        let weight = inputs.weights.get(j).copied().unwrap_or_default();
        add_weight_gradient(
            inputs.settings.code_normalization,
            factor,
            row,
            weight,
            decoder,
        );
    }
    f64::from(dot(encoder, encoder)) + f64::from(dot(decoder, decoder)) + f64::from(*bias).powi(2)
}

/// out += factor·∂w/∂d for a decoder row d of both models; 0 for a zero norm.
fn add_weight_gradient(
    normalization: CodeNormalization,
    factor: f32,
    row: &[f32],
    weight: Weight,
    out: &mut [f32],
) {
    let [base, chat] = weight.norms;
    let both = (base * base + chat * chat).sqrt();
    let inverse = |x: f32| if x > 0.0 { 1.0 / x } else { 0.0 };
    let coefficient = |norm: f32| match normalization {
        CodeNormalization::Crosscoder => inverse(norm),
        CodeNormalization::Sae => inverse(both),
        CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } => alpha_sae as f32 * inverse(both) + alpha_cc as f32 * inverse(norm),
        CodeNormalization::None | CodeNormalization::Decoupled => 0.0,
    };
    let half = row.len() / 2;
    let models = out
        .chunks_exact_mut(half.max(1))
        .zip(row.chunks_exact(half.max(1)));
    for ((out, row), norm) in models.zip(weight.norms) {
        add_scaled(out, factor * coefficient(norm), row);
    }
}

/// One Adam step of every parameter; `step` counts from 1. Gradients are multiplied by `clip` first.
pub(super) fn update(
    parameters: &mut Parameters,
    moments: &mut [Parameters; 2],
    gradients: &Parameters,
    codes: &ByLatent,
    lr: f64,
    clip: f64,
    step: u64,
) {
    let width = parameters.decoder_bias.len();
    let power = step.min(i32::MAX as u64) as i32;
    let adam_step = AdamStep {
        gradient: clip as f32,
        rate: (lr / (1.0 - f64::from(BETA1).powi(power))) as f32,
        root: (1.0 / (1.0 - f64::from(BETA2).powi(power)).sqrt()) as f32,
    };
    let [first, second] = moments;
    let rows = |p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]| {
        let size = LATENTS * width;
        p.par_chunks_mut(size)
            .zip(m.par_chunks_mut(size))
            .zip(v.par_chunks_mut(size))
            .zip(g.par_chunks(size))
            .enumerate()
            .for_each(|(task, (((p, m), v), g))| {
                let latents = p
                    .chunks_exact_mut(width)
                    .zip(m.chunks_exact_mut(width))
                    .zip(v.chunks_exact_mut(width))
                    .zip(g.chunks_exact(width));
                for (i, (((p, m), v), g)) in latents.enumerate() {
                    if codes.touches(task * LATENTS + i) {
                        adam(p, m, v, g, adam_step);
                    } else {
                        adam_without_gradient(p, m, v, adam_step);
                    }
                }
            });
    };
    rows(
        &mut parameters.encoder,
        &mut first.encoder,
        &mut second.encoder,
        &gradients.encoder,
    );
    rows(
        &mut parameters.decoder,
        &mut first.decoder,
        &mut second.decoder,
        &gradients.decoder,
    );
    adam(
        &mut parameters.encoder_bias,
        &mut first.encoder_bias,
        &mut second.encoder_bias,
        &gradients.encoder_bias,
        adam_step,
    );
    adam(
        &mut parameters.decoder_bias,
        &mut first.decoder_bias,
        &mut second.decoder_bias,
        &gradients.decoder_bias,
        adam_step,
    );
}
