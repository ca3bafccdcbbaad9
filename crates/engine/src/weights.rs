//! What a dictionary's weights alone say of its latents: norms, Δ_norm, class, cosine.

use std::path::Path;

use api::{Betas, ClassCuts, LatentRow};
use candle_core::Device;
use crosscoder::Crosscoder;
use rayon::prelude::*;

use crate::Result;

/// One row per latent of the dictionary in `dir`, with what needs no analysis; the rest is unknown.
///
/// # Errors
/// A sentence naming the file or tensor at fault.
pub fn weight_rows(dir: &Path, cuts: &ClassCuts) -> Result<Vec<LatentRow>> {
    let crosscoder = Crosscoder::load(dir, &Device::Cpu)?;
    let norms = crosscoder.norms(0).par_iter().zip(crosscoder.norms(1));
    Ok(norms
        .enumerate()
        .map(|(j, (&base, &chat))| {
            let id = j as u32;
            let delta_norm = diffing::delta_norm(base, chat);
            LatentRow {
                id,
                class: diffing::class(delta_norm, cuts),
                dead: None,
                label: None,
                verdict: None,
                delta_norm,
                norm_base: f64::from(base),
                norm_chat: f64::from(chat),
                decoder_cosine: diffing::cosine(
                    crosscoder.decoder_row(0, id),
                    crosscoder.decoder_row(1, id),
                ),
                nu_epsilon: None,
                nu_r: None,
                betas: Betas::default(),
                frequency: None,
                active_tokens: None,
                tokens: None,
                max_activation: None,
                mean_activation: None,
                template_share: None,
            }
        })
        .collect())
}
