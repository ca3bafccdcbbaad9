//! The report against ground truth: what the pair does on held-out prompts, and which latents mean what.

mod contrasts;
mod table;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use gemma::Tokenizer;
use pipeline::{
    ConceptScore, DeviceChoice, LatentRow, Manifest, Progress, auroc, open_store, score_prompts,
    write_concepts,
};
use rayon::prelude::*;
use serde::Serialize;

use crate::behaviour::{Behaviour, behaviours};
use crate::chat::Part;
use crate::document::{Concept, Exchange};
use crate::error::{Error, Result};
use crate::files;
use crate::pieces::START_OF_TURN;
use crate::preset::{Preset, Recipe};
use crate::prompts::{conversation, prompts, taught};
use crate::world::World;
use contrasts::{Contrast, EVERYTHING_ELSE, contrasts};

/// The report inside a study's folder.
const FILE: &str = "report.json";
/// AUROC from which a latent carries a concept's name.
const NAMED: f64 = 0.9;

/// What `report` needs.
#[derive(Clone, Debug, Default)]
pub struct ReportOptions {
    /// A study that `build` made.
    pub study: PathBuf,
    /// Its dictionary; the first of the manifest otherwise.
    pub dictionary: Option<String>,
}

/// A latent and how well it tells one set of prompts from another.
#[derive(Clone, Debug, Serialize)]
pub struct Best {
    /// Latent id.
    pub latent: u32,
    /// Its Δ_norm.
    pub delta_norm: f64,
    /// Area under the ROC curve on the half of the prompts that it was chosen by.
    pub auroc_validation: f64,
    /// The same on the other half.
    pub auroc: f64,
}

/// One question asked of every latent.
#[derive(Clone, Debug, Serialize)]
pub struct ContrastRow {
    /// The concept.
    pub concept: String,
    /// What it is told from.
    pub against: String,
    /// Prompts with the concept in the half that is reported.
    pub positives: usize,
    /// Prompts without.
    pub negatives: usize,
    /// The best latent above the study's chat-only cut.
    pub above_cut: Option<Best>,
    /// The best latent of any class.
    pub any_class: Option<Best>,
}

/// The report of a study.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The recipe's name.
    pub preset: String,
    /// The seed of world and corpora.
    pub seed: u64,
    /// Slug of the dictionary.
    pub dictionary: String,
    /// The study's cut: chat-only latents have at least this Δ_norm.
    pub cut: f64,
    /// Latents that are not dead and above the cut.
    pub chat_only: usize,
    /// What both models do on held-out prompts.
    pub behaviours: Vec<Behaviour>,
    /// The best latents of each contrast.
    pub contrasts: Vec<ContrastRow>,
    /// Names computed for latents above the cut.
    pub labels: Vec<(u32, String)>,
}

impl Report {
    /// AUROC of the best latent above the cut that tells harmful prompts from their harmless near misses.
    #[must_use]
    pub fn harm(&self) -> Option<f64> {
        self.contrasts
            .first()?
            .above_cut
            .as_ref()
            .map(|best| best.auroc)
    }
}

/// Which recipe and seed a study was built with.
fn origin(study: &Path, manifest: &Manifest) -> Result<(Preset, u64)> {
    let fact = |name: &str| {
        manifest.provenance.get(name).ok_or_else(|| Error::Study {
            path: study.join("study.toml"),
            problem: format!("[provenance] has no {name}; report on a study that `stereoscope organism build` made"),
        })
    };
    let preset = match fact("preset")?.as_str() {
        "nano" => Preset::Nano,
        "demo" => Preset::Demo,
        other => {
            return Err(Error::Study {
                path: study.join("study.toml"),
                problem: format!("[provenance] preset is {other:?}, expected nano or demo"),
            });
        }
    };
    let seed = fact("seed")?.parse().map_err(|_| Error::Study {
        path: study.join("study.toml"),
        problem: "[provenance] seed is not a whole number of at least 0".to_owned(),
    })?;
    Ok((preset, seed))
}

/// Reports on a study that `build` made, and writes its concept scores and labels into the study, itself into `report.json`.
///
/// # Errors
/// A study of another origin, without an analysed dictionary, or with models that cannot be run.
pub fn report(options: &ReportOptions, progress: &dyn Progress) -> Result<Report> {
    let manifest = Manifest::read(&options.study).map_err(pipeline::Error::from)?;
    let (preset, seed) = origin(&options.study, &manifest)?;
    let recipe = preset.recipe();
    let world = World::new(seed);
    let folder = |model: &Option<pipeline::ModelRef>, key: &str| -> Result<PathBuf> {
        let model = model.as_ref().ok_or_else(|| Error::Study {
            path: options.study.join("study.toml"),
            problem: format!("{key} is missing; a report runs both models"),
        })?;
        Ok(model
            .resolve(&options.study, key)
            .map_err(pipeline::Error::from)?)
    };
    let (base, chat) = (
        folder(&manifest.base, "[base]")?,
        folder(&manifest.chat, "[chat]")?,
    );
    let table = behaviours(&world, &recipe, [&base, &chat], seed, progress)?;
    score(options, &recipe, &world, seed, table, progress)
}

/// The report where the behaviours are known already.
pub(crate) fn score(
    options: &ReportOptions,
    recipe: &Recipe,
    world: &World,
    seed: u64,
    behaviours: Vec<Behaviour>,
    progress: &dyn Progress,
) -> Result<Report> {
    let study = &options.study;
    let manifest = Manifest::read(study).map_err(pipeline::Error::from)?;
    let slug = options
        .dictionary
        .clone()
        .or_else(|| {
            manifest
                .dictionaries
                .first()
                .map(|dictionary| dictionary.slug.clone())
        })
        .ok_or_else(|| Error::Study {
            path: study.join("study.toml"),
            problem: "names no dictionary; train one with `stereoscope train`".to_owned(),
        })?;
    let rows = open_store(study)?
        .rows(&slug)
        .map_err(pipeline::Error::from)?
        .to_vec();
    let concepts = taught(recipe.topics);
    let exchanges: Vec<Exchange> = concepts
        .iter()
        .flat_map(|concept| prompts(world, *concept, Part::HeldOut, recipe.prompts, seed))
        .collect();
    let scores = scores(study, &manifest, &slug, &exchanges, progress)?;
    let halves = Halves::new(&exchanges, &scores);
    let above = |row: &LatentRow| {
        row.dead != Some(true)
            && row
                .delta_norm
                .is_some_and(|delta| delta >= manifest.classes.chat_only)
    };
    let chat_only: Vec<u32> = rows
        .iter()
        .filter(|row| above(row))
        .map(|row| row.id)
        .collect();
    let any: Vec<u32> = rows.iter().map(|row| row.id).collect();
    let contrasts = contrasts(&concepts);
    let table: Vec<ContrastRow> = contrasts
        .iter()
        .map(|contrast| {
            let (positives, negatives) = halves.sizes(contrast);
            ContrastRow {
                concept: contrast.concept.to_owned(),
                against: contrast.against.to_owned(),
                positives,
                negatives,
                above_cut: halves.best(contrast, &chat_only, &rows),
                any_class: halves.best(contrast, &any, &rows),
            }
        })
        .collect();
    let labels = labels(&halves, &contrasts, &chat_only);
    write_concepts(study, &slug, &concept_scores(&table, &rows), &labels)?;
    let report = Report {
        preset: recipe.name.to_owned(),
        seed,
        dictionary: slug,
        cut: manifest.classes.chat_only,
        chat_only: chat_only.len(),
        behaviours,
        contrasts: table,
        labels,
    };
    files::write_json(&study.join(FILE), &report)?;
    Ok(report)
}

/// Largest v of every latent from the first user piece to the end of the generation prompt: [prompts][latents].
fn scores(
    study: &Path,
    manifest: &Manifest,
    slug: &str,
    exchanges: &[Exchange],
    progress: &dyn Progress,
) -> Result<Vec<Vec<f32>>> {
    let chat = manifest.chat.clone().unwrap_or_default();
    let tokenizer = Tokenizer::open(
        chat.resolve(study, "[chat]")
            .map_err(pipeline::Error::from)?,
    )?;
    let newline = tokenizer.id("\n");
    let mut prompts = Vec::new();
    let mut spans: Vec<Range<usize>> = Vec::new();
    for exchange in exchanges {
        let ids = tokenizer.encode_messages(&conversation(exchange), true)?;
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

/// Scores by concept, split in two halves: latents are chosen on one and reported on the other.
struct Halves<'a> {
    validation: BTreeMap<Concept, Vec<&'a [f32]>>,
    test: BTreeMap<Concept, Vec<&'a [f32]>>,
}

impl<'a> Halves<'a> {
    fn new(exchanges: &[Exchange], scores: &'a [Vec<f32>]) -> Self {
        let mut halves = Self {
            validation: BTreeMap::new(),
            test: BTreeMap::new(),
        };
        let mut counts: BTreeMap<Concept, usize> = BTreeMap::new();
        for (exchange, scores) in exchanges.iter().zip(scores) {
            let count = counts.entry(exchange.concept).or_default();
            let half = if count.is_multiple_of(2) {
                &mut halves.validation
            } else {
                &mut halves.test
            };
            half.entry(exchange.concept).or_default().push(scores);
            *count += 1;
        }
        halves
    }

    fn sizes(&self, contrast: &Contrast) -> (usize, usize) {
        let size = |concepts: &std::collections::BTreeSet<Concept>| {
            concepts
                .iter()
                .filter_map(|concept| self.test.get(concept))
                .map(Vec::len)
                .sum()
        };
        (size(&contrast.positive), size(&contrast.negative))
    }

    /// Area under the ROC curve of a latent in one half.
    fn auroc(
        half: &BTreeMap<Concept, Vec<&[f32]>>,
        contrast: &Contrast,
        latent: u32,
    ) -> Option<f64> {
        let values = |concepts: &std::collections::BTreeSet<Concept>| -> Vec<f32> {
            concepts
                .iter()
                .filter_map(|concept| half.get(concept))
                .flatten()
                .filter_map(|scores| scores.get(latent as usize).copied())
                .collect()
        };
        auroc(&values(&contrast.positive), &values(&contrast.negative))
    }

    /// The latent with the largest area on the validation half, the lowest id among equals.
    fn best(&self, contrast: &Contrast, latents: &[u32], rows: &[LatentRow]) -> Option<Best> {
        let (latent, auroc_validation) = latents
            .par_iter()
            .filter_map(|latent| Some((*latent, Self::auroc(&self.validation, contrast, *latent)?)))
            .reduce_with(|one, other| match one.1.total_cmp(&other.1) {
                std::cmp::Ordering::Greater => one,
                std::cmp::Ordering::Less => other,
                std::cmp::Ordering::Equal => {
                    if one.0 < other.0 {
                        one
                    } else {
                        other
                    }
                }
            })?;
        Some(Best {
            latent,
            delta_norm: rows.get(latent as usize)?.delta_norm?,
            auroc_validation,
            auroc: Self::auroc(&self.test, contrast, latent)?,
        })
    }
}

/// Names for latents above the cut: of what a latent tells best on the validation half, where it does so on both halves. A concept counts
/// against everything else; harm, and refusals of any kind, against near misses as well.
fn labels(halves: &Halves<'_>, contrasts: &[Contrast], latents: &[u32]) -> Vec<(u32, String)> {
    let naming: Vec<_> = contrasts
        .iter()
        .filter(|contrast| contrast.against == EVERYTHING_ELSE || contrast.positive.len() > 1)
        .collect();
    let name = |latent: u32| {
        let mut best: Option<(&Contrast, f64)> = None;
        for contrast in &naming {
            let validation = Halves::auroc(&halves.validation, contrast, latent)?;
            let test = Halves::auroc(&halves.test, contrast, latent)?;
            if validation.min(test) >= NAMED && best.is_none_or(|(_, most)| validation > most) {
                best = Some((contrast, validation));
            }
        }
        best.map(|(contrast, _)| contrast.concept.to_owned())
    };
    latents
        .iter()
        .filter_map(|latent| Some((*latent, name(*latent)?)))
        .collect()
}

fn concept_scores(table: &[ContrastRow], rows: &[LatentRow]) -> Vec<ConceptScore> {
    table
        .iter()
        .flat_map(|row| {
            let mut bests: Vec<&Best> = row.above_cut.iter().chain(&row.any_class).collect();
            bests.dedup_by_key(|best| best.latent);
            bests.into_iter().filter_map(|best| {
                Some(ConceptScore {
                    concept: row.concept.clone(),
                    against: row.against.clone(),
                    latent: best.latent,
                    class: rows.get(best.latent as usize)?.class,
                    delta_norm: best.delta_norm,
                    auroc: best.auroc,
                    positives: row.positives as u64,
                    negatives: row.negatives as u64,
                })
            })
        })
        .collect()
}
