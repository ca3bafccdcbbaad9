//! One latent's decoder rows out of a dictionary's file, without the rest of it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::file::TensorFile;
use crate::header::{MODELS, WEIGHTS, read_header};
use crate::normalizer::Normalizer;

/// Decoder rows of a latent as they act on the residual streams of base and chat, [D] each: as
/// [`Crosscoder::residual_row`](crate::Crosscoder::residual_row) gives them.
///
/// # Errors
/// As [`crate::open`]; also for a latent outside the dictionary.
pub fn decoder_rows(dir: impl AsRef<Path>, latent: u32) -> Result<[Vec<f32>; MODELS]> {
    let dir = dir.as_ref();
    let file = TensorFile::open(&dir.join(WEIGHTS))?;
    let header = read_header(dir, &file)?;
    let (latents, dim) = (header.dict_size, header.activation_dim);
    let latent = latent as usize;
    if latent >= latents {
        return Err(Error::Input {
            what: "a latent's id",
            expected: format!("below {latents}"),
            found: latent.to_string(),
        });
    }
    let normalizer = if header.normalized {
        Some(Normalizer::read(&file)?)
    } else {
        None
    };
    let row = |model: usize| -> Result<Vec<f32>> {
        let first = (model * latents + latent) * dim;
        let mut row = file.part("decoder.weight", first..first + dim)?;
        if let Some(normalizer) = &normalizer {
            let divisor = normalizer.divisor(model);
            for x in &mut row {
                *x /= divisor;
            }
        }
        Ok(row)
    };
    Ok([row(0)?, row(1)?])
}
