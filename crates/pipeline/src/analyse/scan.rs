//! One pass over every collected token: Latent Scaling and statistics.

use std::collections::BTreeSet;

use api::{ClassCuts, LatentRow, TokenKind};
use candle_core::{Device, Tensor};
use crosscoder::{Codes, Crosscoder};
use diffing::{LatentStatistics, ScalingSums};
use rayon::prelude::*;
use store::HistogramRecord;

use super::{Context, Step};
use crate::Result;

/// Numbers of the dense code that are in memory at once.
const CODE_NUMBERS: usize = 1 << 24;
/// Most tokens encoded at once.
const MOST_TOKENS: usize = 4096;
/// Parts that gather side by side. Their number does not follow the machine's, so that sums are the same everywhere.
const PARTS: usize = 8;

/// How many tokens to encode at once with a dictionary of this size.
pub(crate) fn chunk_tokens(latents: usize) -> usize {
    (CODE_NUMBERS / latents.max(1)).clamp(1, MOST_TOKENS)
}

/// Sums over some of the tokens.
struct Part {
    scaling: Option<ScalingSums>,
    statistics: LatentStatistics,
}

/// A run of tokens with their codes.
struct Chunk<'a> {
    /// What the decoder is compared with, [N, 2, D].
    inputs: Vec<f32>,
    /// [N, 2, D], in the space of the stored decoder.
    reconstructions: Vec<f32>,
    codes: Codes,
    kinds: &'a [TokenKind],
}

/// Fills in the rows' columns of Latent Scaling and statistics, as far as asked for; gives the histograms with the statistics.
pub(super) fn scan(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    rows: &mut [LatentRow],
    cuts: &ClassCuts,
) -> Result<Option<Vec<HistogramRecord>>> {
    let (scale, count) = (
        steps.contains(&Step::Scaling),
        steps.contains(&Step::Statistics),
    );
    let Some(collection) = context.collection.as_ref().filter(|_| scale || count) else {
        return Ok(None);
    };
    let crosscoder = &context.crosscoder;
    let latents = crosscoder.dict_size();
    let mut parts: Vec<Part> = (0..PARTS)
        .map(|_| Part {
            scaling: scale.then(|| ScalingSums::new(latents)),
            statistics: LatentStatistics::new(latents),
        })
        .collect();
    let row = 2 * crosscoder.activation_dim();
    let tokens = chunk_tokens(latents);
    context.progress.start("scan", "tokens", collection.tokens);
    let mut done = 0;
    for entry in &collection.shards {
        let shard = collection.load(entry)?;
        let chunks = shard.activations.chunks(tokens * row);
        for (activations, kinds) in chunks.zip(shard.kinds.chunks(tokens)) {
            let chunk = encode(crosscoder, &context.device, activations, kinds, scale)?;
            gather(crosscoder, &chunk, &mut parts)?;
            done += kinds.len() as u64;
            context.progress.advance(done);
        }
    }
    context.progress.finish();

    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else {
        return Ok(None);
    };
    for part in parts {
        all.statistics.merge(&part.statistics)?;
        if let (Some(sums), Some(more)) = (&mut all.scaling, &part.scaling) {
            sums.merge(more)?;
        }
    }
    if let Some(sums) = &all.scaling {
        fill_scaling(rows, sums, crosscoder, cuts)?;
    }
    if !count {
        return Ok(None);
    }
    fill_statistics(rows, &all.statistics);
    Ok(Some(histograms(&all.statistics)))
}

fn encode<'a>(
    crosscoder: &Crosscoder,
    device: &Device,
    activations: &[f32],
    kinds: &'a [TokenKind],
    scale: bool,
) -> Result<Chunk<'a>> {
    let x = Tensor::from_slice(
        activations,
        (kinds.len(), 2, crosscoder.activation_dim()),
        device,
    )?;
    let codes = crosscoder.codes(&x)?;
    let (mut inputs, mut reconstructions) = (Vec::new(), Vec::new());
    if scale {
        // Latent Scaling compares in the space in which the decoder was trained.
        inputs = crosscoder.normalize(&x)?.flatten_all()?.to_vec1()?;
        reconstructions = crosscoder.reconstruct_normalized(&codes);
    }
    Ok(Chunk {
        inputs,
        reconstructions,
        codes,
        kinds,
    })
}

/// Token t belongs to part t·PARTS/N.
fn gather(crosscoder: &Crosscoder, chunk: &Chunk<'_>, parts: &mut [Part]) -> Result<()> {
    let count = chunk.kinds.len();
    let share = count.div_ceil(parts.len().max(1)).max(1);
    parts.par_iter_mut().enumerate().try_for_each(|(p, part)| {
        let from = (p * share).min(count);
        (from..(from + share).min(count)).try_for_each(|t| part.add(crosscoder, chunk, t))
    })
}

impl Part {
    fn add(&mut self, crosscoder: &Crosscoder, chunk: &Chunk<'_>, t: usize) -> Result<()> {
        let active = chunk.codes.token(t);
        if let Some(&kind) = chunk.kinds.get(t) {
            self.statistics
                .add_token(kind, active.iter().map(|a| (a.id, a.v)))?;
        }
        if let Some(sums) = &mut self.scaling {
            let dim = crosscoder.activation_dim();
            // With one code per model, the chat model's is the one that goes with its decoder row.
            let codes: Vec<(u32, f32)> = active.iter().map(|a| (a.id, a.f[1])).collect();
            sums.add_token(
                models(&chunk.inputs, t, dim),
                models(&chunk.reconstructions, t, dim),
                &codes,
                &crosscoder.decoder()?,
            )?;
        }
        Ok(())
    }
}

/// Token t's rows of base and chat out of [N, 2, D].
fn models(rows: &[f32], t: usize, dim: usize) -> [&[f32]; 2] {
    let row = |m: usize| {
        let start = (2 * t + m) * dim;
        rows.get(start..start + dim).unwrap_or_default()
    };
    [row(0), row(1)]
}

fn fill_scaling(
    rows: &mut [LatentRow],
    sums: &ScalingSums,
    crosscoder: &Crosscoder,
    cuts: &ClassCuts,
) -> Result<()> {
    let betas = sums.betas(&crosscoder.decoder()?)?;
    for (row, betas) in rows.iter_mut().zip(betas) {
        row.betas = betas;
        row.nu_epsilon = diffing::nu(betas.beta_error_base, betas.beta_error_chat);
        row.nu_r = diffing::nu(
            betas.beta_reconstruction_base,
            betas.beta_reconstruction_chat,
        );
        row.verdict = diffing::verdict(
            diffing::class(row.delta_norm, cuts),
            row.nu_epsilon,
            row.nu_r,
        );
    }
    Ok(())
}

fn fill_statistics(rows: &mut [LatentRow], statistics: &LatentStatistics) {
    for row in rows {
        if let Some(summary) = statistics.summary(row.id) {
            row.dead = summary.dead;
            row.frequency = summary.frequency;
            row.active_tokens = Some(summary.active_tokens);
            row.tokens = Some(summary.tokens);
            row.max_activation = Some(summary.max_activation);
            row.mean_activation = summary.mean_activation;
            row.template_share = summary.template_share;
        }
    }
}

fn histograms(statistics: &LatentStatistics) -> Vec<HistogramRecord> {
    (0..statistics.len() as u32)
        .filter_map(|latent| {
            let histogram = statistics.histogram(latent)?;
            Some(HistogramRecord { latent, histogram })
        })
        .collect()
}
