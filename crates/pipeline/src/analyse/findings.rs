//! What the passes of an analysis find out; the findings in shares of the data add up to those of one run.

use std::collections::BTreeSet;

use api::{LatentRow, ScalingFit};
use serde::{Deserialize, Serialize};
use store::Scaled;

use super::correlated::Partners;
use super::examples::Gathered;
use super::scan::{Sums, fill_statistics, scan};
use super::second::{Second, second};
use super::{Context, Step, causal, examples, scaling, weights};
use crate::effects::MeasuredEffects;
use crate::{Error, Result};

/// What the passes found out, each as far as the steps ask for it; mergeable.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Findings {
    pub(super) sums: Option<Sums>,
    pub(super) gathered: Option<Gathered>,
    /// Latents that fire together, where one run has seen all tokens.
    pub(super) partners: Option<Partners>,
    pub(super) second: Option<Second>,
    pub(super) effects: Option<MeasuredEffects>,
}

/// A dictionary's rows as far as they are known, and the fits of the latents that were scaled just now.
pub(super) struct Known {
    pub(super) rows: Vec<LatentRow>,
    pub(super) fits: Option<Vec<(u32, Vec<ScalingFit>)>>,
    /// Latents that were scaled by this run or an earlier one.
    pub(super) scaled: Scaled,
}

impl Known {
    /// What the weights say, what earlier runs left, and what these sums add.
    pub(super) fn of(context: &Context<'_>, sums: Option<&Sums>) -> Result<Self> {
        let mut rows = weights::rows(&context.crosscoder, &context.manifest.classes);
        let mut scaled = Scaled::None;
        if let Some(earlier) = &context.earlier {
            weights::carry_over(&mut rows, &earlier.rows);
            scaled = earlier.scaled.clone();
        }
        let fits = match sums.and_then(|sums| sums.scaling.as_ref()) {
            Some(sums) => {
                let chosen = scaling::chosen(context)?;
                scaled = scaled.and(chosen.map_or(Scaled::All, Scaled::Only));
                Some(scaling::fill(context, &mut rows, sums)?)
            }
            None => None,
        };
        for row in rows.iter_mut().filter(|row| !scaled.has(row.id)) {
            row.verdict = None;
        }
        if let Some(statistics) = sums.and_then(|sums| sums.statistics.as_ref()) {
            fill_statistics(&mut rows, statistics);
        }
        Ok(Self { rows, fits, scaled })
    }
}

/// Puts two shares' findings of one pass together.
fn both<T>(
    here: &mut Option<T>,
    there: Option<T>,
    merge: impl FnOnce(&mut T, T) -> Result<()>,
) -> Result<()> {
    match (here, there) {
        (Some(here), Some(there)) => merge(here, there),
        (None, None) => Ok(()),
        _ => Err(Error::Mismatch(
            "some parts of an analysis lack what others have; run all shards again".into(),
        )),
    }
}

impl Findings {
    /// Makes the passes that the steps ask for over this run's share of the data. What cannot be measured is told in `skipped`.
    pub(super) fn measure(
        context: &Context<'_>,
        steps: &BTreeSet<Step>,
        skipped: &mut Vec<String>,
    ) -> Result<Self> {
        let sums = scan(context, steps)?;
        let Known { rows, .. } = Known::of(context, sums.as_ref())?;
        let effects = if steps.contains(&Step::Effects) {
            causal::measure(context, steps, &rows, skipped)?
        } else {
            None
        };
        let mut gathered = examples::gather(context, steps, &rows)?;
        let correlated = gathered
            .as_mut()
            .and_then(|g| g.correlated.take_if(|_| !context.sharded()));
        let partners = match correlated {
            Some(correlated) => correlated.partners(context)?,
            None => None,
        };
        let second = second(context, steps, &rows, partners.as_deref())?;
        Ok(Self {
            sums,
            gathered,
            partners,
            second,
            effects,
        })
    }

    /// Adds another share's findings, which must be of the same steps.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        both(&mut self.sums, other.sums, |here, there| here.merge(&there))?;
        both(&mut self.gathered, other.gathered, Gathered::merge)?;
        both(&mut self.second, other.second, |here, there| {
            here.merge(&there)
        })?;
        both(&mut self.effects, other.effects, |here, there| {
            here.merge(&there)
        })
    }
}
