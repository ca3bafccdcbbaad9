//! One Adam step of every parameter.

use rayon::prelude::*;

use super::backward::LATENTS;
use super::kernels::{AdamStep, BETA1, BETA2, adam, adam_without_gradient, vectorised};
use super::parameters::Parameters;

/// One Adam step; `step` counts from 1. Gradients are multiplied by `clip` first; those of latents that the batch does not touch
/// are zero.
pub(super) fn update(
    parameters: &mut Parameters,
    moments: &mut [Parameters; 2],
    gradients: &Parameters,
    touches: impl Fn(usize) -> bool + Sync,
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
                    if touches(task * LATENTS + i) {
                        vectorised(
                            #[inline(always)]
                            || adam(p, m, v, g, adam_step),
                        );
                    } else {
                        vectorised(
                            #[inline(always)]
                            || adam_without_gradient(p, m, v, adam_step),
                        );
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
