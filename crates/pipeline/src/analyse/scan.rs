//! One pass over every collected token: Latent Scaling and statistics.

use std::collections::BTreeSet;

use api::LatentRow;
use candle_core::{Device, Tensor};
use crosscoder::{Active, Codes, Crosscoder};
use diffing::{Baseline, Decoder, LatentStatistics, Place, ScalingSums, ScalingToken};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use store::{HistogramRecord, PartRecord, ShareRecord};

use super::checkpoint::{Checkpoint, Pass};
use super::{Context, Step, reading, scaling};
use crate::{Error, Result};

/// Most numbers of the dense code that are in memory at once.
const CODE_NUMBERS: usize = 1 << 24;
/// Numbers that the allocator keeps from chunk to chunk; larger blocks come fresh from the system every time.
const KEPT_NUMBERS: usize = 1 << 22;
/// Tokens over which the encoder is read once, whatever that takes up to [`CODE_NUMBERS`].
const FEW_TOKENS: usize = 256;
/// Most tokens encoded at once.
const MOST_TOKENS: usize = 4096;
/// Parts that gather side by side; token t of N in a chunk belongs to part t·PARTS/N. Their number does not follow the machine's, so that sums are the same everywhere.
const PARTS: usize = 8;

/// How many tokens to encode at once with a dictionary of this size.
pub(crate) fn chunk_tokens(latents: usize) -> usize {
    let latents = latents.max(1);
    (KEPT_NUMBERS / latents)
        .max(FEW_TOKENS)
        .min(CODE_NUMBERS / latents)
        .clamp(1, MOST_TOKENS)
}

/// What one pass gathers over some of the tokens; mergeable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// Tokens read.
    pub(crate) tokens: u64,
    pub(crate) scaling: Option<ScalingSums>,
    /// One for each of the random directions.
    pub(crate) baselines: Option<Vec<ScalingSums>>,
    pub(crate) statistics: Option<LatentStatistics>,
}

impl Sums {
    /// Adds another part's sums, which must be of the same steps.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        self.tokens += other.tokens;
        if let (Some(sums), Some(more)) = (&mut self.scaling, &other.scaling) {
            sums.merge(more)?;
        }
        if let (Some(sums), Some(more)) = (&mut self.baselines, &other.baselines) {
            for (sums, more) in sums.iter_mut().zip(more) {
                sums.merge(more)?;
            }
        }
        if let (Some(sums), Some(more)) = (&mut self.statistics, &other.statistics) {
            sums.merge(more)?;
        }
        Ok(())
    }
}

/// What the pass compares tokens with.
struct Plan<'a> {
    crosscoder: &'a Crosscoder,
    decoder: Decoder<'a>,
    baselines: Vec<Baseline>,
    /// Least v of every latent that Latent Scaling counts.
    least: Option<Vec<f32>>,
    /// Latents that Latent Scaling is computed for; none for all.
    chosen: Option<BTreeSet<u32>>,
    scale: bool,
    count: bool,
    /// How many corpora the statistics tell apart.
    corpora: usize,
}

/// A run of tokens with their codes.
struct Chunk<'a> {
    /// What the decoder is compared with, [N, 2, D]; empty unless Latent Scaling runs.
    inputs: Vec<f32>,
    codes: Codes,
    places: &'a [Place],
}

/// Reads the tokens of this run and gathers what the steps ask for; `None` if that is nothing.
pub(super) fn scan(context: &Context<'_>, steps: &BTreeSet<Step>) -> Result<Option<Sums>> {
    let reading = [Step::Scaling, Step::Baselines, Step::Statistics];
    let Some(collection) = &context.collection else {
        return Ok(None);
    };
    if !reading.iter().any(|step| steps.contains(step)) {
        return Ok(None);
    }
    let plan = Plan::of(context, steps)?;
    let mut checkpoint = Checkpoint::of(context, steps, Pass::Scan, &plan.least);
    let (before, mut parts) = checkpoint
        .load()
        .unwrap_or_else(|| (0, vec![plan.sums(); PARTS]));
    let crosscoder = &context.crosscoder;
    let row = 2 * crosscoder.activation_dim();
    let tokens = chunk_tokens(crosscoder.dict_size());
    let shards = context.shards();
    let total = shards.iter().map(|(entry, _)| entry.tokens).sum();
    context.progress.start(Pass::Scan.as_str(), "tokens", total);
    let mut done = 0;
    for (entry, _) in shards {
        if done + entry.tokens <= before {
            done += entry.tokens;
            continue;
        }
        let shard = collection.load(entry)?;
        let tokens_of = shard.kinds.iter().zip(&shard.roles);
        let places: Vec<Place> = tokens_of
            .map(|(&kind, &role)| Place {
                corpus: entry.corpus,
                kind,
                speaker: reading::speaker(role),
            })
            .collect();
        let chunks = shard.activations.chunks(tokens * row);
        for (activations, places) in chunks.zip(places.chunks(tokens)) {
            done += places.len() as u64;
            if done <= before {
                continue;
            }
            let chunk = plan.encode(&context.device, activations, places)?;
            plan.gather(&chunk, &mut parts)?;
            checkpoint.offer(done, &parts)?;
            context.progress.advance(done);
        }
    }
    context.progress.finish();
    let mut all = plan.sums();
    for part in &parts {
        all.merge(part)?;
    }
    Ok(Some(all))
}

impl<'a> Plan<'a> {
    fn of(context: &'a Context<'_>, steps: &BTreeSet<Step>) -> Result<Self> {
        let least = match context.options.jump_threshold {
            Some(share) => Some(least(context, share)?),
            None => None,
        };
        let crosscoder = &context.crosscoder;
        Ok(Self {
            crosscoder,
            decoder: crosscoder.decoder()?,
            baselines: if steps.contains(&Step::Baselines) {
                scaling::baselines(context)?
            } else {
                Vec::new()
            },
            least,
            chosen: scaling::chosen(context)?,
            scale: steps.contains(&Step::Scaling),
            count: steps.contains(&Step::Statistics),
            corpora: corpora(context).len(),
        })
    }

    /// Nothing gathered yet.
    fn sums(&self) -> Sums {
        let latents = self.crosscoder.dict_size();
        let baselines = || self.baselines.iter().map(Baseline::sums).collect();
        Sums {
            tokens: 0,
            scaling: self.scale.then(|| ScalingSums::new(latents)),
            baselines: (!self.baselines.is_empty()).then(baselines),
            statistics: self
                .count
                .then(|| LatentStatistics::new(latents, self.corpora)),
        }
    }

    fn encode<'k>(
        &self,
        device: &Device,
        activations: &[f32],
        places: &'k [Place],
    ) -> Result<Chunk<'k>> {
        let crosscoder = self.crosscoder;
        let shape = (places.len(), 2, crosscoder.activation_dim());
        let x = Tensor::from_slice(activations, shape, device)?;
        let codes = crosscoder.codes(&x)?;
        let mut inputs = Vec::new();
        if self.scale || !self.baselines.is_empty() {
            // Latent Scaling compares in the space in which the decoder was trained.
            inputs = crosscoder.normalize(&x)?.flatten_all()?.to_vec1()?;
        }
        Ok(Chunk {
            inputs,
            codes,
            places,
        })
    }

    /// Token t belongs to part t·PARTS/N.
    fn gather(&self, chunk: &Chunk<'_>, parts: &mut [Sums]) -> Result<()> {
        let count = chunk.places.len();
        let share = count.div_ceil(parts.len().max(1)).max(1);
        parts.par_iter_mut().enumerate().try_for_each(|(p, part)| {
            let from = (p * share).min(count);
            let mut error = vec![0f32; 2 * self.crosscoder.activation_dim()];
            (from..(from + share).min(count)).try_for_each(|t| self.add(part, chunk, t, &mut error))
        })
    }

    /// Adds token t; `error` is room for its errors, [2, D].
    fn add(&self, part: &mut Sums, chunk: &Chunk<'_>, t: usize, error: &mut [f32]) -> Result<()> {
        let active = chunk.codes.token(t);
        part.tokens += 1;
        if let (Some(statistics), Some(&place)) = (&mut part.statistics, chunk.places.get(t)) {
            statistics.add_token(place, active.iter().map(|a| (a.id, a.v)))?;
        }
        if part.scaling.is_none() && part.baselines.is_none() {
            return Ok(());
        }
        let dim = self.crosscoder.activation_dim();
        let row = 2 * dim;
        let x = chunk.inputs.get(t * row..(t + 1) * row).unwrap_or_default();
        // Rebuilt here and not for the whole chunk, so that the decoder rows are still at hand for the products.
        self.crosscoder.reconstruct_token(active, error);
        error.iter_mut().zip(x).for_each(|(e, x)| *e = x - *e);
        let token = ScalingToken::new(models(x, dim), models(error, dim), &self.decoder)?;
        // With one code per model, the chat model's is the one that goes with its decoder row.
        let codes: Vec<(u32, f32)> = active
            .iter()
            .filter(|a| a.f[1] != 0.0 && self.counts(a))
            .map(|a| (a.id, a.f[1]))
            .collect();
        if let Some(sums) = &mut part.scaling {
            match &self.chosen {
                None => sums.add(&token, &codes, &self.decoder)?,
                Some(chosen) => {
                    let codes = codes.iter().filter(|(id, _)| chosen.contains(id));
                    let codes: Vec<_> = codes.copied().collect();
                    sums.add(&token, &codes, &self.decoder)?;
                }
            }
        }
        for (baseline, sums) in self
            .baselines
            .iter()
            .zip(part.baselines.iter_mut().flatten())
        {
            baseline.add(sums, &token, &codes)?;
        }
        Ok(())
    }

    fn counts(&self, active: &Active) -> bool {
        let least = self.least.as_ref().and_then(|l| l.get(active.id as usize));
        least.is_none_or(|&least| active.v >= least)
    }
}

/// Least v of every latent that Latent Scaling counts, at a share of its maximum.
fn least(context: &Context<'_>, share: f32) -> Result<Vec<f32>> {
    if !(0.0..1.0).contains(&share) {
        return Err(Error::Mismatch(format!(
            "the jump threshold is {share}; expected a share of the maximum, from 0 to below 1"
        )));
    }
    let maxima = context.maxima().ok_or_else(|| {
        Error::Mismatch(format!(
            "a jump threshold needs every latent's maximum; run `stereoscope analyse {} --dictionary {} --steps statistics` first",
            context.options.study.display(),
            context.options.dictionary
        ))
    })?;
    Ok(maxima.into_iter().map(|max| share * max).collect())
}

/// Rows of base and chat out of [2, D].
fn models(rows: &[f32], dim: usize) -> [&[f32]; 2] {
    let (base, chat) = rows.split_at(dim.min(rows.len()));
    [base, chat]
}

pub(super) fn fill_statistics(rows: &mut [LatentRow], statistics: &LatentStatistics) {
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

pub(super) fn histograms(statistics: &LatentStatistics) -> Vec<HistogramRecord> {
    (0..statistics.len() as u32)
        .filter_map(|latent| {
            let histogram = statistics.histogram(latent)?.clone();
            Some(HistogramRecord { latent, histogram })
        })
        .collect()
}

/// Names of the collection's corpora.
fn corpora<'a>(context: &'a Context<'_>) -> Vec<&'a str> {
    let identity = context.collection.iter().map(|c| &c.identity);
    let corpora = identity.flat_map(|identity| &identity.corpora);
    corpora.map(|corpus| corpus.name.as_str()).collect()
}

/// The parts that the statistics tell apart: corpora, then roles.
pub(super) fn parts(context: &Context<'_>, statistics: &LatentStatistics) -> Vec<PartRecord> {
    let corpora = corpora(context).into_iter().map(|name| ("corpus", name));
    let roles = diffing::ROLES.into_iter().map(|name| ("role", name));
    corpora
        .chain(roles)
        .zip(statistics.part_tokens())
        .map(|((by, name), &tokens)| PartRecord {
            by: by.into(),
            name: name.into(),
            tokens,
        })
        .collect()
}

/// Every latent's activity on every part where it has any.
pub(super) fn shares(statistics: &LatentStatistics) -> impl Iterator<Item = ShareRecord> {
    (0..statistics.len() as u32).flat_map(|latent| {
        let parts = (0u16..).zip(statistics.shares(latent));
        parts.filter_map(move |(part, share)| {
            Some(ShareRecord {
                latent,
                part,
                active_tokens: share.active_tokens,
                max: share.max_activation,
                mean: share.mean_activation?,
            })
        })
    })
}
