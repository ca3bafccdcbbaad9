//! The dictionary from other seeds: how far its scores depend on chance.

use std::path::Path;

use pipeline::{
    ConceptTruth, Progress, SeedDictionary, SeedLatent, SeedScore, open_store, read_truth,
};
use serde::{Deserialize, Serialize};

use super::cases::{cases, scores};
use super::contrasts::contrasts;
use super::tell::{Scored, live};
use crate::dictionaries::{self, Scratch};
use crate::error::Result;
use crate::files;
use crate::pair::Places;
use crate::preset::Recipe;
use crate::world::World;

/// A dictionary from another seed and its best latents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seeded {
    dictionary: SeedDictionary,
    best: Vec<SeededBest>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SeededBest {
    concept: String,
    against: String,
    above_cut: Option<SeedLatent>,
    any_class: Option<SeedLatent>,
}

/// Trains the recipe's dictionary from as many further seeds as it asks for, scores their latents and deletes them. What an earlier call
/// did is not done again.
pub(crate) fn further(
    places: &Places,
    recipe: &Recipe,
    world: &World,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Seeded>> {
    (1..=recipe.dictionary.further_seeds)
        .map(|further| {
            let other = seed + further;
            let done = places.progress().join(format!("seed-{other}.json"));
            if done.is_file() {
                return files::read_json(&done);
            }
            let scratch = dictionaries::scratch(places, recipe, other, progress)?;
            let seeded = score(&scratch, recipe, world, [seed, other], progress)?;
            files::write_json(&done, &seeded)?;
            scratch.delete()?;
            Ok(seeded)
        })
        .collect()
}

/// The best latents of a scratch dictionary on the prompts of `seed`.
fn score(
    scratch: &Scratch,
    recipe: &Recipe,
    world: &World,
    [seed, other]: [u64; 2],
    progress: &dyn Progress,
) -> Result<Seeded> {
    let rows = rows(&scratch.study, &scratch.slug)?;
    let cases = cases(world, recipe, seed);
    let scores = scores(&scratch.study, &scratch.slug, &cases, progress)?;
    let scored = Scored {
        cases: &cases,
        scores: &scores,
        rows: &rows,
    };
    let (live, chat_only) = live(&rows);
    let best = contrasts(world, &cases)
        .iter()
        .map(|contrast| {
            let best = |latents: &[u32]| {
                let found = scored.best(contrast, latents, &[])?;
                Some(SeedLatent {
                    delta_norm: found.delta_norm,
                    auroc: found.auroc,
                    precision: found.precision,
                })
            };
            SeededBest {
                concept: contrast.concept.to_owned(),
                against: contrast.against.to_owned(),
                above_cut: best(&chat_only),
                any_class: best(&live),
            }
        })
        .collect();
    Ok(Seeded {
        dictionary: SeedDictionary {
            seed: other,
            chat_only: chat_only.len() as u64,
            fve: scratch.training.fve.unwrap_or_default(),
        },
        best,
    })
}

/// The table of a dictionary's latents.
pub(super) fn rows(study: &Path, slug: &str) -> Result<Vec<pipeline::LatentRow>> {
    let store = open_store(study)?;
    Ok(store.rows(slug).map_err(pipeline::Error::from)?.to_vec())
}

/// The dictionaries of these seeds.
pub(super) fn dictionaries(seeds: &[Seeded]) -> Vec<SeedDictionary> {
    seeds
        .iter()
        .map(|seeded| seeded.dictionary.clone())
        .collect()
}

/// What the seeds say of one contrast.
pub(super) fn of(seeds: &[Seeded], concept: &str, against: &str) -> Vec<SeedScore> {
    let one = |seeded: &Seeded| {
        let mut all = seeded.best.iter();
        let best = all.find(|best| best.concept == concept && best.against == against)?;
        Some(SeedScore {
            seed: seeded.dictionary.seed,
            above_cut: best.above_cut,
            any_class: best.any_class,
        })
    };
    seeds.iter().filter_map(one).collect()
}

/// The seeds that an earlier report told of, as it told them.
pub(super) fn kept(study: &Path, slug: &str) -> Result<Vec<Seeded>> {
    let Some(truth) = read_truth(study, slug)? else {
        return Ok(Vec::new());
    };
    let best = |dictionary: &SeedDictionary| {
        let of = |concept: &ConceptTruth| {
            let score = concept
                .seeds
                .iter()
                .find(|score| score.seed == dictionary.seed)?;
            Some(SeededBest {
                concept: concept.concept.clone(),
                against: concept.against.clone(),
                above_cut: score.above_cut,
                any_class: score.any_class,
            })
        };
        truth.concepts.iter().filter_map(of).collect()
    };
    Ok(truth
        .seeds
        .iter()
        .map(|dictionary| Seeded {
            dictionary: dictionary.clone(),
            best: best(dictionary),
        })
        .collect())
}
