//! The logit lens: which tokens a decoder row promotes and suppresses.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{LensToken, LogitLens, ModelName};
use gemma::Model;
use rayon::prelude::*;
use store::LensRecord;

use super::Context;
use crate::Result;

/// Both decoders of every latent, each through its own model's head; adds the tokens named to `tokens`.
pub(super) fn lenses(context: &Context<'_>, tokens: &mut BTreeSet<u32>) -> Result<Vec<LensRecord>> {
    let Some(models) = context.models()? else {
        return Ok(Vec::new());
    };
    let latents = context.crosscoder.dict_size() as u32;
    context
        .progress
        .start("logit lens", "rows", 2 * u64::from(latents));
    let done = AtomicU64::new(0);
    let jobs: Vec<(u32, ModelName)> = (0..latents)
        .flat_map(|latent| ModelName::BOTH.map(|model| (latent, model)))
        .collect();
    let records: Vec<LensRecord> = jobs
        .into_par_iter()
        .map(|(latent, model)| {
            let record = lens(context, &models, latent, model)?;
            context
                .progress
                .advance(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(record)
        })
        .collect::<Result<_>>()?;
    context.progress.finish();
    for record in &records {
        let named = record.lens.top.iter().chain(&record.lens.bottom);
        tokens.extend(named.map(|token| token.id));
    }
    Ok(records)
}

fn lens(
    context: &Context<'_>,
    models: &[Model; 2],
    latent: u32,
    model: ModelName,
) -> Result<LensRecord> {
    let row = context.crosscoder.residual_row(model.index(), latent);
    let mut lens = LogitLens::default();
    // A zero row writes nothing.
    if row.iter().any(|&x| x != 0.0) {
        let effects = match model {
            ModelName::Base => models[0].unembed_direction(&row)?,
            ModelName::Chat => models[1].unembed_direction(&row)?,
        };
        lens.top = extremes(&effects, context.options.lens_tokens, 1.0);
        lens.bottom = extremes(&effects, context.options.lens_tokens, -1.0);
    }
    Ok(LensRecord {
        latent,
        model,
        lens,
    })
}

/// The largest values for `sign` 1, the smallest for −1, strongest first; equal ones by id.
fn extremes(values: &[f32], wanted: usize, sign: f32) -> Vec<LensToken> {
    let mut order: Vec<(u32, f32)> = (0u32..).zip(values.iter().copied()).collect();
    let compare =
        |a: &(u32, f32), b: &(u32, f32)| (sign * b.1).total_cmp(&(sign * a.1)).then(a.0.cmp(&b.0));
    if wanted < order.len() {
        order.select_nth_unstable_by(wanted, compare);
        order.truncate(wanted);
    }
    order.sort_unstable_by(compare);
    order
        .into_iter()
        .map(|(id, value)| LensToken {
            id,
            text: String::new(),
            value: f64::from(value),
        })
        .collect()
}
