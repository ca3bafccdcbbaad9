//! A second pass over every collected token, for what starts from the numbers of the first: how Latent Scaling's coefficients fit strong and
//! weak activations, and how pairs of latents fire on the same tokens.

use std::collections::BTreeSet;

use api::{Class, LatentRow};
use diffing::{
    Decoder, JointSums, Pairs, Partner, VERIFICATION_BUCKETS, Verification, VerificationSums,
    bucket_edges,
};
use serde::{Deserialize, Serialize};

use super::checkpoint::Pass;
use super::chunks::{Chunk, Tokens};
use super::{Context, Step, neighbours, scaling, scan};
use crate::Result;
use crate::files::fingerprint;

/// What the pass gathers, as far as the steps ask for it; mergeable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Second {
    pub(super) verification: Option<VerificationSums>,
    pub(super) joint: Option<JointSums>,
}

impl Second {
    /// Adds another share, which must be of the same steps.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        if let (Some(here), Some(there)) = (&mut self.verification, &other.verification) {
            here.merge(there)?;
        }
        if let (Some(here), Some(there)) = (&mut self.joint, &other.joint) {
            here.merge(there)?;
        }
        Ok(())
    }
}

/// What the pass compares tokens with.
struct Plan<'a> {
    decoder: Decoder<'a>,
    verification: Option<Verification>,
    /// Least v of every latent that Latent Scaling counts.
    least: Option<Vec<f32>>,
    pairs: Option<Pairs>,
}

/// Reads the tokens of this run; `None` if the steps ask for nothing of this. `rows` have coefficients and maxima over all activations,
/// `partners` the latents that fire together, where this run knows them.
pub(super) fn second(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    rows: &[LatentRow],
    partners: Option<&[(u32, Vec<Partner>)]>,
) -> Result<Option<Second>> {
    let wanted = [Step::Verification, Step::Joint];
    if context.collection.is_none() || !wanted.iter().any(|step| steps.contains(step)) {
        return Ok(None);
    }
    let plan = Plan {
        decoder: context.crosscoder.decoder()?,
        verification: steps
            .contains(&Step::Verification)
            .then(|| verification(context, rows))
            .transpose()?,
        least: scan::least_counted(context)?,
        pairs: if steps.contains(&Step::Joint) {
            Some(pairs(context, rows, partners)?)
        } else {
            None
        },
    };
    let more = (
        fingerprint(&rows),
        plan.pairs.as_ref().map(Pairs::pairs),
        &plan.least,
    );
    let tokens = Tokens {
        context,
        steps,
        pass: Pass::Second,
        more: &more,
        compared: plan.verification.is_some(),
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

/// The latents whose coefficients are verified, with those and their maxima. By default the chat-only ones and as many shared ones, not all:
/// a latent has four targets of two models in every bucket, which for all would be several times everything else that is stored.
fn verification(context: &Context<'_>, rows: &[LatentRow]) -> Result<Verification> {
    let chosen = scaling::chosen(context)?;
    let chosen = chosen.unwrap_or_else(|| diffing::compared(rows).into_iter().collect());
    let known = rows
        .iter()
        .filter(|row| chosen.contains(&row.id) && row.betas.beta_activation_chat.is_some());
    Ok(Verification::new(
        rows.len(),
        known.map(|row| (row.id, &row.betas, maximum(row))),
        bucket_edges(VERIFICATION_BUCKETS, context.options.noise_bucket),
    ))
}

/// Twins, and every chat-only latent with the one that fires most closely with it.
fn pairs(
    context: &Context<'_>,
    rows: &[LatentRow],
    partners: Option<&[(u32, Vec<Partner>)]>,
) -> Result<Pairs> {
    let twins = neighbours::twins(context, rows)?;
    let twins = twins.iter().map(|twin| (twin.chat, twin.base));
    let closest: Vec<(u32, u32)> = match partners {
        Some(partners) => partners
            .iter()
            .filter_map(|(latent, partners)| Some((*latent, partners.first()?.id)))
            .collect(),
        None => context.closest_partners()?,
    };
    let chat_only = |latent: u32| {
        let row = rows.get(latent as usize);
        row.is_some_and(|row| row.class == Class::ChatOnly)
    };
    let closest = closest.into_iter().filter(|pair| chat_only(pair.0));
    Ok(Pairs::new(
        rows.iter().map(maximum).collect(),
        twins.chain(closest),
    ))
}

fn maximum(row: &LatentRow) -> f32 {
    row.max_activation.unwrap_or(0.0) as f32
}

impl Plan<'_> {
    /// Nothing gathered yet.
    fn sums(&self) -> Second {
        Second {
            verification: self.verification.as_ref().map(Verification::sums),
            joint: self.pairs.as_ref().map(Pairs::sums),
        }
    }

    /// Adds token t; `error` is room for its errors.
    fn add(
        &self,
        part: &mut Second,
        chunk: &Chunk<'_>,
        t: usize,
        error: &mut Vec<f32>,
    ) -> Result<()> {
        let active = chunk.active(t);
        if let (Some(pairs), Some(sums)) = (&self.pairs, &mut part.joint) {
            let active: Vec<(u32, f32)> = active.iter().map(|a| (a.id, a.v)).collect();
            pairs.add(sums, &active);
        }
        let (Some(verification), Some(sums)) = (&self.verification, &mut part.verification) else {
            return Ok(());
        };
        // With one code per model, the chat model's is the one that goes with its decoder row.
        let counted: Vec<(u32, f32, f32)> = active
            .iter()
            .filter(|a| verification.has(a.id) && a.f[1] != 0.0)
            .filter(|a| scan::counts(self.least.as_deref(), a))
            .map(|a| (a.id, a.f[1], a.v))
            .collect();
        if counted.is_empty() {
            return Ok(());
        }
        let token = chunk.compared(t, &self.decoder, error)?;
        verification.add(sums, &token, counted, &self.decoder)?;
        Ok(())
    }
}
