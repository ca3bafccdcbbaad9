//! The prompts of the report, and every latent's score on each of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use gemma::Tokenizer;
use pipeline::{DeviceChoice, Manifest, Progress, score_prompts};

use crate::chat::Part;
use crate::document::{Concept, Exchange};
use crate::error::Result;
use crate::pieces::START_OF_TURN;
use crate::preset::Recipe;
use crate::prompts::{conversation, prompts, taught};
use crate::world::World;

/// Held-out prompts of a concept for each that the behaviour table asks: a half of them chooses latents, and both halves should be large
/// enough to say something.
const MORE: usize = 2;

/// A prompt whose concept is known.
pub(super) struct Case {
    pub(super) exchange: Exchange,
    pub(super) part: Part,
    /// True for the half that chooses; the other half is reported.
    pub(super) validation: bool,
}

/// Held-out prompts of every concept that was taught, and requests and statements about what tuning never saw. Every second prompt of
/// a kind belongs to the validation half.
pub(super) fn cases(world: &World, recipe: &Recipe, seed: u64) -> Vec<Case> {
    let concepts = taught(recipe.topics);
    let never_seen = concepts
        .iter()
        .filter(|concept| matches!(concept, Concept::Harm(_) | Concept::False | Concept::True))
        .map(|concept| (*concept, Part::NeverSeen));
    concepts
        .iter()
        .map(|concept| (*concept, Part::HeldOut))
        .chain(never_seen)
        .flat_map(|(concept, part)| {
            let found = prompts(world, concept, part, MORE * recipe.prompts, seed);
            found
                .into_iter()
                .enumerate()
                .map(move |(index, exchange)| Case {
                    exchange,
                    part,
                    validation: index % 2 == 0,
                })
        })
        .collect()
}

/// Token ids of a prompt that waits for its answer.
pub(super) fn ids(tokenizer: &Tokenizer, exchange: &Exchange) -> Result<Vec<u32>> {
    Ok(tokenizer.encode_messages(&conversation(exchange), true)?)
}

/// Largest v of every latent from the first user piece to the end of the generation prompt: \[cases\]\[latents\].
pub(super) fn scores(
    study: &Path,
    slug: &str,
    cases: &[Case],
    progress: &dyn Progress,
) -> Result<Vec<Vec<f32>>> {
    let tokenizer = tokenizer(study)?;
    let newline = tokenizer.id("\n");
    let mut prompts = Vec::new();
    let mut spans: Vec<Range<usize>> = Vec::new();
    for case in cases {
        let ids = ids(&tokenizer, &case.exchange)?;
        let turn = ids.iter().position(|id| *id == START_OF_TURN).unwrap_or(0);
        let role = ids
            .iter()
            .skip(turn)
            .position(|id| Some(*id) == newline)
            .unwrap_or(0);
        spans.push(turn + role + 1..ids.len());
        prompts.push(ids);
    }
    Ok(score_prompts(
        study,
        slug,
        &prompts,
        &spans,
        DeviceChoice::Cpu,
        progress,
    )?)
}

/// The tokenizer of a study's chat model.
pub(super) fn tokenizer(study: &Path) -> Result<Tokenizer> {
    let manifest = Manifest::read(study).map_err(pipeline::Error::from)?;
    let chat = manifest.chat.unwrap_or_default();
    let folder = chat
        .resolve(study, "[chat]")
        .map_err(pipeline::Error::from)?;
    Ok(Tokenizer::open(folder)?)
}

/// Up to `most` places of cases, taken from their concepts in turn.
pub(super) fn evenly(cases: &[Case], places: &[usize], most: usize) -> Vec<usize> {
    let mut by_concept: BTreeMap<Concept, Vec<usize>> = BTreeMap::new();
    for &place in places {
        if let Some(case) = cases.get(place) {
            by_concept
                .entry(case.exchange.concept)
                .or_default()
                .push(place);
        }
    }
    let longest = by_concept.values().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|turn| {
            by_concept
                .values()
                .filter_map(move |all| all.get(turn).copied())
        })
        .take(most)
        .collect()
}
