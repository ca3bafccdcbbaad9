//! What a dictionary's weights alone say of its latents: norms, Δ_norm, class, cosine.

use std::path::Path;

use api::{ClassCuts, LatentRow};
use candle_core::Device;
use crosscoder::{Crosscoder, Residence};
use rayon::prelude::*;

use crate::Result;

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
