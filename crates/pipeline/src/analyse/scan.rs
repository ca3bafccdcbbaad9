//! One pass over every collected token: Latent Scaling and statistics.

use std::collections::BTreeSet;

use api::LatentRow;
use crosscoder::{Active, Crosscoder};
use diffing::{Baseline, Decoder, LatentStatistics, ScalingSums};
use serde::{Deserialize, Serialize};
use store::{HistogramRecord, PartRecord, ShareRecord};

use super::checkpoint::Pass;
use super::chunks::{Chunk, Tokens};
use super::{Context, Step, scaling};
use crate::{Error, Result};

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

/// Reads the tokens of this run and gathers what the steps ask for; `None` if that is nothing.
pub(super) fn scan(context: &Context<'_>, steps: &BTreeSet<Step>) -> Result<Option<Sums>> {
    let reading = [Step::Scaling, Step::Baselines, Step::Statistics];
    if context.collection.is_none() || !reading.iter().any(|step| steps.contains(step)) {
        return Ok(None);
    }
    let plan = Plan::of(context, steps)?;
    let tokens = Tokens {
        context,
        steps,
        pass: Pass::Scan,
        more: &plan.least,
        compared: plan.scale || !plan.baselines.is_empty(),
    };
    let empty = plan.sums();
    let parts = tokens.gather(&empty, |part, chunk, t, error| {
        plan.add(part, chunk, t, error)
    })?;
    let mut all = empty;
    for part in &parts {
        all.merge(part)?;
    }
    Ok(Some(all))
}

impl<'a> Plan<'a> {
    fn of(context: &'a Context<'_>, steps: &BTreeSet<Step>) -> Result<Self> {
        let crosscoder = &context.crosscoder;
        Ok(Self {
            crosscoder,
            decoder: crosscoder.decoder()?,
            baselines: if steps.contains(&Step::Baselines) {
                scaling::baselines(context)?
            } else {
                Vec::new()
            },
            least: least_counted(context)?,
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

    /// Adds token t; `error` is room for its errors.
    fn add(
        &self,
        part: &mut Sums,
        chunk: &Chunk<'_>,
        t: usize,
        error: &mut Vec<f32>,
    ) -> Result<()> {
        let active = chunk.active(t);
        part.tokens += 1;
        if let (Some(statistics), Some(place)) = (&mut part.statistics, chunk.place(t)) {
            statistics.add_token(place, active.iter().map(|a| (a.id, a.v)))?;
        }
        if part.scaling.is_none() && part.baselines.is_none() {
            return Ok(());
        }
        let token = chunk.compared(t, &self.decoder, error)?;
        // With one code per model, the chat model's is the one that goes with its decoder row.
        let codes: Vec<(u32, f32)> = active
            .iter()
            .filter(|a| a.f[1] != 0.0 && counts(self.least.as_deref(), a))
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
}

/// Whether Latent Scaling counts an activation, by the least v of every latent.
pub(super) fn counts(least: Option<&[f32]>, active: &Active) -> bool {
    let least = least.and_then(|least| least.get(active.id as usize));
    least.is_none_or(|&least| active.v >= least)
}

/// Least v of every latent that Latent Scaling counts; `None` for any.
pub(super) fn least_counted(context: &Context<'_>) -> Result<Option<Vec<f32>>> {
    let share = context.options.jump_threshold;
    share.map(|share| least(context, share)).transpose()
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
