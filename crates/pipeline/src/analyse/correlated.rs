//! Latents that fire together: a sample of tokens, and where it does not hold them all, sums over every token for the pairs it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use diffing::{PairSums, Partner, TokenSample};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::checkpoint::Pass;
use super::reading::{self, Reading};
use super::{Context, Step, parts};
use crate::state::{read_state, write_state};
use crate::{Error, Result};

/// Candidates of every latent that are compared over all tokens, where the sample does not hold them all.
const CANDIDATES: usize = 32;
/// Partners told of every latent.
const PARTNERS: usize = 10;
/// File with the pairs that the merged sample names, until all shards have compared them.
const PAIRS: &str = "correlated-pairs";

/// Every latent with the others that fire together with it.
pub(super) type Partners = Vec<(u32, Vec<Partner>)>;

/// What a pass gathers to find latents that fire together; mergeable.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Correlated {
    /// A first look.
    Sample(TokenSample),
    /// The pairs that the first look named.
    Pairs(PairSums),
}

/// The pairs that a sample named, and what it was taken from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    facts: Vec<(String, String)>,
    sample: usize,
    pairs: Vec<(u32, u32)>,
}

fn path(context: &Context<'_>) -> PathBuf {
    parts::folder(&context.options.study, &context.options.dictionary).join(PAIRS)
}

impl Named {
    fn by(context: &Context<'_>, pairs: Vec<(u32, u32)>) -> Self {
        let facts = context.facts.iter();
        Self {
            facts: facts
                .map(|(key, value)| ((*key).into(), value.clone()))
                .collect(),
            sample: context.options.correlated_sample,
            pairs,
        }
    }
}

impl Correlated {
    /// Nothing seen yet. Where a merge named pairs of these activations, a shard compares those.
    pub(super) fn new(context: &Context<'_>) -> Self {
        let latents = context.crosscoder.dict_size();
        if context.sharded()
            && let Ok(found) = read_state::<Named>(&path(context), "")
        {
            let pairs = found.pairs.clone();
            if found == Named::by(context, pairs) {
                return Self::Pairs(PairSums::new(latents, found.pairs));
            }
        }
        let options = context.options;
        Self::Sample(TokenSample::new(
            latents,
            options.correlated_sample,
            options.seed,
        ))
    }

    /// Adds a sequence.
    pub(super) fn add(&mut self, sequence: &Reading<'_>) -> Result<()> {
        for (position, active) in (0u32..).zip(sequence.tokens()) {
            match self {
                Self::Sample(sample) => sample.offer(sequence.number, position, &active)?,
                Self::Pairs(sums) => sums.add_token(&active)?,
            }
        }
        Ok(())
    }

    /// Adds another share.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Sample(here), Self::Sample(there)) => here.merge(there)?,
            (Self::Pairs(here), Self::Pairs(there)) => here.merge(&there)?,
            _ => {
                return Err(Error::Mismatch(
                    "some shards looked for latents that fire together, others compared them already; run all shards with --steps \
                     correlated again"
                        .into(),
                ));
            }
        }
        Ok(())
    }

    /// How far the search is, for what determines a pass: a first look, or pairs named by one.
    pub(super) fn stage(&self) -> &'static str {
        match self {
            Self::Sample(_) => "sample",
            Self::Pairs(_) => "pairs",
        }
    }

    /// Whether the correlations at hand are over all tokens.
    fn is_final(&self) -> bool {
        match self {
            Self::Sample(sample) => sample.is_complete(),
            Self::Pairs(_) => true,
        }
    }

    /// The pairs that a sample names to be compared over all tokens.
    fn candidates(self) -> Vec<(u32, u32)> {
        let Self::Sample(sample) = self else {
            return Vec::new();
        };
        let found = search(sample, CANDIDATES).into_iter();
        found
            .flat_map(|(latent, partners)| {
                let ids = partners.into_iter().map(|partner| partner.id);
                ids.map(move |id| (latent, id))
            })
            .collect()
    }

    /// Compares what a sample names in another pass, where that is due and all activations are at hand.
    pub(super) fn completed(self, context: &Context<'_>, steps: &BTreeSet<Step>) -> Result<Self> {
        if self.is_final() || context.sharded() {
            return Ok(self);
        }
        let latents = context.crosscoder.dict_size();
        let mut all = Self::Pairs(PairSums::new(latents, self.candidates()));
        let pass = Pass::Correlations;
        reading::each(context, steps, pass, &(), &mut all, Self::add)?;
        Ok(all)
    }

    /// The most correlated partners of every latent, over all tokens. `None` where shards have to compare the pairs that the merged sample
    /// names: those are noted for them.
    pub(super) fn partners(self, context: &Context<'_>) -> Result<Option<Partners>> {
        if !self.is_final() {
            let note = Named::by(context, self.candidates());
            write_state(&path(context), &note)?;
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Sample(sample) => search(sample, PARTNERS),
            Self::Pairs(sums) => (0u32..).zip(sums.partners(PARTNERS)).collect(),
        }))
    }
}

/// Removes the note of pairs, once partners are written.
pub(super) fn forget_pairs(context: &Context<'_>) -> Result<()> {
    let path = path(context);
    if path.exists() {
        fs::remove_file(&path).map_err(Error::io("delete", &path))?;
    }
    Ok(())
}

/// The `wanted` most correlated partners of every latent over a sample.
fn search(sample: TokenSample, wanted: usize) -> Partners {
    let index = sample.index();
    // The index has all of it.
    drop(sample);
    (0..index.latents() as u32)
        .into_par_iter()
        .map_init(
            || index.scratch(),
            |scratch, latent| (latent, index.partners(latent, wanted, scratch)),
        )
        .collect()
}
