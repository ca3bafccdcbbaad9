//! The report against ground truth: what the pair does on held-out prompts, which latents mean what, and what steering by them does.

mod asked;
mod cases;
mod contrasts;
mod goals;
mod search;
mod seeds;
mod steering;
mod table;
mod tell;

use std::path::{Path, PathBuf};

use pipeline::{
    Bar, CausalEffects, ClassCounts, ConceptBehaviour, ConceptTruth, GroundTruth, Manifest,
    Progress, TrainingSummary, open_store, write_truth,
};
use serde::Serialize;

use crate::behaviour::behaviours;
use crate::error::{Error, Result};
use crate::files;
use crate::preset::{Preset, Recipe};
use crate::world::World;
use cases::{Case, cases, scores};
use contrasts::{Contrast, contrasts};
pub(crate) use seeds::{Seeded, further};
use tell::{Scored, live};

/// The report inside a study's folder.
const FILE: &str = "report.json";

/// What `report` needs.
#[derive(Clone, Debug, Default)]
pub struct ReportOptions {
    /// A study that `build` made.
    pub study: PathBuf,
}

/// The report of a study.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The recipe's name.
    pub preset: String,
    /// The seed of world and corpora.
    pub seed: u64,
    /// What both models do on held-out prompts.
    pub behaviours: Vec<ConceptBehaviour>,
    /// The study's dictionaries, the one that is steered first.
    pub dictionaries: Vec<DictionaryReport>,
}

/// What is known of one dictionary.
#[derive(Clone, Debug, Serialize)]
pub struct DictionaryReport {
    /// Its numbers on held-out tokens, if it was trained here.
    pub training: Option<TrainingSummary>,
    /// Latents per class, verdicts of the chat-only ones, dead ones.
    pub counts: ClassCounts,
    /// What moving sets of latents does to the chat model's predictions; without setups where that was not measured.
    pub effects: CausalEffects,
    /// The dictionary held against the truth.
    pub truth: GroundTruth,
    /// Names computed for latents above the cut.
    pub labels: Vec<(u32, String)>,
}

impl Report {
    /// AUROC of the first dictionary's best latent above the cut that tells harmful prompts from their harmless near misses.
    #[must_use]
    pub fn harm(&self) -> Option<f64> {
        let best = self.dictionaries.first()?.truth.concepts.first()?;
        best.above_cut.as_ref().map(|best| best.auroc)
    }

    /// Live latents of the first dictionary above the cut.
    #[must_use]
    pub fn chat_only(&self) -> u64 {
        let first = self.dictionaries.first();
        first.map_or(0, |dictionary| dictionary.truth.chat_only)
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

/// Reports on a study that `build` made, and writes what it finds into the study's database, itself into `report.json`.
///
/// The scores from other seeds are those of an earlier report: their dictionaries are not kept.
///
/// # Errors
/// A study of another origin, without an analysed dictionary, or with models that cannot be run.
pub fn report(options: &ReportOptions, progress: &dyn Progress) -> Result<Report> {
    let study = &options.study;
    let manifest = Manifest::read(study).map_err(pipeline::Error::from)?;
    let (preset, seed) = origin(study, &manifest)?;
    let recipe = preset.recipe();
    let world = World::new(seed);
    let folder = |model: &Option<pipeline::ModelRef>, key: &str| -> Result<PathBuf> {
        let model = model.as_ref().ok_or_else(|| Error::Study {
            path: study.join("study.toml"),
            problem: format!("{key} is missing; a report runs both models"),
        })?;
        Ok(model.resolve(study, key).map_err(pipeline::Error::from)?)
    };
    let (base, chat) = (
        folder(&manifest.base, "[base]")?,
        folder(&manifest.chat, "[chat]")?,
    );
    let known = Known {
        behaviours: behaviours(&world, &recipe, [&base, &chat], seed, progress)?,
        seeds: None,
    };
    score(study, &recipe, &world, seed, known, progress)
}

/// What a build knows already.
pub(crate) struct Known {
    /// What both models do.
    pub(crate) behaviours: Vec<ConceptBehaviour>,
    /// The first dictionary from other seeds; none keeps those of an earlier report.
    pub(crate) seeds: Option<Vec<Seeded>>,
}

/// The report where the behaviours are known already.
pub(crate) fn score(
    study: &Path,
    recipe: &Recipe,
    world: &World,
    seed: u64,
    known: Known,
    progress: &dyn Progress,
) -> Result<Report> {
    let manifest = Manifest::read(study).map_err(pipeline::Error::from)?;
    let Known { behaviours, seeds } = known;
    let first = manifest.dictionaries.first().ok_or_else(|| Error::Study {
        path: study.join("study.toml"),
        problem: "names no dictionary; train one with `stereoscope train`".to_owned(),
    })?;
    let seeds = match seeds {
        Some(seeds) => seeds,
        None => seeds::kept(study, &first.slug)?,
    };
    let cases = cases(world, recipe, seed);
    let asking = Asking {
        study,
        world,
        seed,
        cut: manifest.classes.chat_only,
        cases: &cases,
        contrasts: &contrasts(world, &cases),
    };
    let dictionaries = (0..)
        .zip(&manifest.dictionaries)
        .map(|(number, dictionary)| {
            // The others are there to be compared by what their latents tell; steering takes the longest.
            let first = number == 0;
            let seeds = if first { seeds.as_slice() } else { &[] };
            asking.dictionary(&dictionary.slug, first, seeds, &behaviours, progress)
        })
        .collect::<Result<Vec<_>>>()?;
    let report = Report {
        preset: recipe.name.to_owned(),
        seed,
        behaviours,
        dictionaries,
    };
    files::write_json(&study.join(FILE), &report)?;
    Ok(report)
}

/// What every dictionary of a study is asked.
struct Asking<'a> {
    study: &'a Path,
    world: &'a World,
    seed: u64,
    cut: f64,
    cases: &'a [Case],
    contrasts: &'a [Contrast],
}

impl Asking<'_> {
    fn dictionary(
        &self,
        slug: &str,
        steered: bool,
        seeds: &[Seeded],
        behaviours: &[ConceptBehaviour],
        progress: &dyn Progress,
    ) -> Result<DictionaryReport> {
        let study = self.study;
        let rows = seeds::rows(study, slug)?;
        let scores = scores(study, slug, self.cases, progress)?;
        let scored = Scored {
            cases: self.cases,
            scores: &scores,
            rows: &rows,
        };
        let (live, chat_only) = live(&rows);
        let labels = scored.labels(self.contrasts, &chat_only);
        let concepts = self.contrasts.iter().map(|contrast| ConceptTruth {
            concept: contrast.concept.to_owned(),
            against: contrast.against.to_owned(),
            positives: scored.reported(&contrast.positive),
            negatives: scored.reported(&contrast.negative),
            bar: contrast.bar.map(Bar::AtLeast),
            above_cut: scored.best(contrast, &chat_only, &labels),
            any_class: scored.best(contrast, &live, &labels),
            seeds: seeds::of(seeds, contrast.concept, contrast.against),
            prompt: self.shortest(&contrast.positive),
        });
        let concepts = concepts.collect();
        let steering = if steered {
            steering::tests(
                study,
                slug,
                self.world,
                &scored,
                self.contrasts,
                self.seed,
                progress,
            )?
        } else {
            Vec::new()
        };
        let truth = GroundTruth {
            dictionary: slug.to_owned(),
            cut: self.cut,
            chat_only: chat_only.len() as u64,
            behaviours: behaviours.to_vec(),
            concepts,
            steering,
            seeds: seeds::dictionaries(seeds),
        };
        write_truth(study, &truth, &labels)?;
        let store = open_store(study)?;
        let facts = store.dictionary(slug).map_err(pipeline::Error::from)?;
        Ok(DictionaryReport {
            training: facts.training.clone(),
            counts: facts.counts.clone(),
            effects: store.effects(slug).map_err(pipeline::Error::from)?,
            truth,
            labels,
        })
    }

    /// The shortest of some prompts of the reported half: good to try.
    fn shortest(&self, places: &[usize]) -> Option<String> {
        let cases = places.iter().filter_map(|&place| self.cases.get(place));
        let users = cases
            .filter(|case| !case.validation)
            .map(|case| &case.exchange.user.text);
        users.min_by_key(|user| user.len()).cloned()
    }
}
