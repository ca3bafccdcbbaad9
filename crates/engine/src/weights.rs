//! What a dictionary's weights alone say of its latents: norms, Δ_norm, class, cosine.

use std::path::Path;

use api::{ClassCuts, DecoderRows, LatentRow};
use candle_core::Device;
use crosscoder::{Crosscoder, Residence};
use rayon::prelude::*;

use crate::Result;

/// A latent's decoder rows, out of the dictionary in `dir`.
///
/// # Errors
/// A sentence naming the file or tensor at fault, or a latent outside the dictionary.
pub fn decoder_rows(dir: &Path, latent: u32) -> Result<DecoderRows> {
    let [base, chat] = crosscoder::decoder_rows(dir, latent)?;
    Ok(DecoderRows {
        id: latent,
        base,
        chat,
    })
}

/// One row per latent of the dictionary in `dir`, with what needs no analysis; the rest is unknown.
///
/// # Errors
/// A sentence naming the file or tensor at fault.
pub fn weight_rows(dir: &Path, cuts: &ClassCuts) -> Result<Vec<LatentRow>> {
    let crosscoder = Crosscoder::load_to(dir, &Device::Cpu, Residence::Automatic)?;
    let norms = crosscoder.norms(0).par_iter().zip(crosscoder.norms(1));
    Ok(norms
        .enumerate()
        .map(|(j, (&base, &chat))| {
            let id = j as u32;
            let rows = [0, 1].map(|model| crosscoder.decoder_row(model, id));
            let rows = [&*rows[0], &*rows[1]];
            diffing::weight_row(id, [base, chat], rows, cuts)
        })
        .collect())
}
