//! Codes of a few latents without those of all others: what an edit of a few latents reads.

use crate::codes::Active;
use crate::crosscoder::Crosscoder;
use crate::encode::{Gate, host};
use crate::error::Result;
use crate::header::MODELS;

/// A few latents' part of the encoder, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Few {
    /// By rising id.
    latents: Vec<(u32, Gate)>,
    /// [J, 2·D]
    columns: Vec<f32>,
}

impl Crosscoder {
    /// The part of the encoder that these latents need.
    ///
    /// # Errors
    /// If an id is outside the dictionary, or the encoder's file was written to or cut.
    pub fn few(&self, ids: &[u32]) -> Result<Few> {
        self.check_file()?;
        self.check_ids(ids)?;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let columns = host(&self.encoder.columns(&ids)?.t()?.contiguous()?)?;
        let latents = ids.into_iter().map(|id| (id, self.gate(id))).collect();
        Ok(Few { latents, columns })
    }

    /// The residuals [D] of base and chat at one token as the encoder sees them, side by side, [2·D].
    pub fn seen(&self, residual: [&[f32]; MODELS]) -> Vec<f32> {
        let x = residual.concat();
        let Some(normalizer) = self.normalizer() else {
            return x;
        };
        let mut seen = vec![0.0; x.len()];
        normalizer.normalize_into(&x, &mut seen);
        seen
    }

    /// The active ones of a few latents, by id, at a token that the encoder sees as `x` ([`Crosscoder::seen`]). A latent's code does not
    /// depend on the others' and equals that of [`Crosscoder::codes`] but for rounding: its sums are taken in f64.
    pub fn codes_of_few(&self, few: &Few, x: &[f32]) -> Vec<Active> {
        let columns = few.columns.chunks_exact(x.len().max(1));
        let code = |((id, gate), column): (&(u32, Gate), &[f32])| {
            gate.active(*id, diffing::dot(x, column) as f32)
        };
        few.latents.iter().zip(columns).filter_map(code).collect()
    }
}
