//! The logit lens: which tokens a decoder row promotes and suppresses.

use std::collections::BTreeSet;

use api::{LensToken, LogitLens, ModelName};
use candle_core::Tensor;
use gemma::Model;
use rayon::prelude::*;
use store::LensRecord;

use super::Context;
use super::largest::largest;
use crate::Result;

/// Numbers of the matrix of effects, latents by vocabulary, that are in memory at once.
const BLOCK_NUMBERS: usize = 1 << 25;

/// Both decoders of every latent, each through its own model's head; adds the tokens named to `tokens`.
pub(super) fn lenses(context: &Context<'_>, tokens: &mut BTreeSet<u32>) -> Result<Vec<LensRecord>> {
    let Some(models) = context.models()? else {
        return Ok(Vec::new());
    };
    let latents = context.crosscoder.dict_size();
    context
        .progress
        .start("logit lens", "rows", 2 * latents as u64);
    let mut records = Vec::with_capacity(2 * latents);
    for (name, model) in ModelName::BOTH.into_iter().zip(&models) {
        let block = (BLOCK_NUMBERS / model.config().vocab_size.max(1)).max(1);
        for from in (0..latents).step_by(block) {
            let ids = from as u32..(from + block).min(latents) as u32;
            records.extend(block_lenses(context, model, name, ids)?);
            context.progress.advance(records.len() as u64);
        }
    }
    context.progress.finish();
    for record in &records {
        let named = record.lens.top.iter().chain(&record.lens.bottom);
        tokens.extend(named.map(|token| token.id));
    }
    Ok(records)
}

fn block_lenses(
    context: &Context<'_>,
    model: &Model,
    name: ModelName,
    ids: std::ops::Range<u32>,
) -> Result<Vec<LensRecord>> {
    let crosscoder = &context.crosscoder;
    let rows: Vec<Vec<f32>> = ids
        .clone()
        .map(|id| crosscoder.residual_row(name.index(), id))
        .collect();
    let shape = (rows.len(), crosscoder.activation_dim());
    let directions = Tensor::from_vec(rows.concat(), shape, &context.device)?;
    let effects = model.unembed_directions(&directions)?;
    let vocabulary = effects.dim(1)?;
    let effects: Vec<f32> = effects.flatten_all()?.to_vec1()?;
    let wanted = context.options.lens_tokens;
    Ok(rows
        .par_iter()
        .zip(effects.par_chunks(vocabulary.max(1)))
        .zip(ids.into_par_iter())
        .map(|((row, effects), latent)| {
            let mut lens = LogitLens::default();
            // A zero row writes nothing.
            if row.iter().any(|&x| x != 0.0) {
                lens.top = named(effects, wanted, 1.0);
                lens.bottom = named(effects, wanted, -1.0);
            }
            LensRecord {
                latent,
                model: name,
                lens,
            }
        })
        .collect())
}

/// The largest values for `sign` 1, the smallest for −1, strongest first.
fn named(effects: &[f32], wanted: usize, sign: f32) -> Vec<LensToken> {
    largest(effects.iter().map(|&effect| sign * effect), wanted, None)
        .into_iter()
        .map(|(id, value)| LensToken {
            id,
            text: String::new(),
            value: f64::from(sign * value),
        })
        .collect()
}
