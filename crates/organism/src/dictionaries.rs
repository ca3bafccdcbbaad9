//! The study's dictionaries: BatchTopK, and beside it one with the L1 penalty at the same number of active latents.

use std::path::{Path, PathBuf};

use pipeline::{
    AnalyseOptions, DeviceChoice, Kind, Manifest, ModelRef, Progress, Settings, Step, TrainOptions,
    TrainingSummary, WeightFormat, analyse, train,
};

use crate::error::Result;
use crate::files;
use crate::pair::Places;
use crate::preset::{Dictionary, Recipe};

/// Slug of the BatchTopK dictionary, which the report is about.
pub const DICTIONARY: &str = "batchtopk";
/// Slug of the dictionary with the L1 penalty.
const L1: &str = "l1";
/// The study's folder of collected activations.
pub(crate) const ACTIVATIONS: &str = "activations";
/// Steps between two lines of the dictionary's metrics.
const LOG_EVERY: u64 = 50;
/// Steps between two validations.
const VALIDATE_EVERY: u64 = 500;
/// Share of the collected sequences held out for the dictionary's numbers.
const VALIDATION: f64 = 0.15;

/// A dictionary to be trained.
pub(crate) struct Planned {
    pub(crate) slug: &'static str,
    settings: Settings,
    note: String,
}

/// The recipe's dictionaries, BatchTopK first.
pub(crate) fn planned(recipe: &Recipe, seed: u64) -> Vec<Planned> {
    let penalised = recipe.dictionary.penalty.map(|penalty| Planned {
        slug: L1,
        settings: Settings {
            kind: Kind::L1,
            l1_penalty: penalty,
            ..settings(recipe, seed)
        },
        note: format!("penalty {penalty}, {} steps", recipe.dictionary.steps),
    });
    std::iter::once(top_k(recipe, seed))
        .chain(penalised)
        .collect()
}

/// What the dictionaries have in common.
fn settings(recipe: &Recipe, seed: u64) -> Settings {
    let plan = &recipe.dictionary;
    let steps = plan.steps as u64;
    Settings {
        steps,
        lr: Some(plan.rate),
        warmup_steps: 100,
        decay_start: Some(steps * 7 / 10),
        norm_init_scale: Some(plan.initial_norm),
        seed,
        ..Settings::default()
    }
}

fn top_k(recipe: &Recipe, seed: u64) -> Planned {
    let plan = &recipe.dictionary;
    let steps = plan.steps as u64;
    Planned {
        slug: DICTIONARY,
        settings: Settings {
            k: plan.k,
            top_k_aux: Some(64),
            dead_after_tokens: 100 * plan.batch as u64,
            threshold_start_step: steps / 4,
            threshold_beta: 0.99,
            ..settings(recipe, seed)
        },
        note: format!("k = {}, {steps} steps", plan.k),
    }
}

/// Trains and analyses one dictionary; gives its numbers on held-out tokens.
pub(crate) fn make(
    study: &Path,
    planned: Planned,
    recipe: &Recipe,
    seed: u64,
    progress: &dyn Progress,
) -> Result<TrainingSummary> {
    let slug = planned.slug;
    let steps = steps(planned.settings.kind);
    let training = trained(study, planned, recipe, progress)?;
    analyse(
        &AnalyseOptions {
            study: study.to_owned(),
            dictionary: slug.to_owned(),
            examples_per_group: recipe.examples,
            steps,
            seed,
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        },
        progress,
    )?;
    Ok(training)
}

/// Steps that a dictionary is analysed by; none stands for all. L1 calls so many latents chat-only that what these two steps write of each
/// would not fit the size that the demo study may have.
fn steps(kind: Kind) -> Vec<Step> {
    let large = [Step::Verification, Step::Joint];
    match kind {
        Kind::BatchTopK => Vec::new(),
        Kind::L1 => {
            let fits = |step: &Step| !large.contains(step);
            Step::ALL.into_iter().filter(fits).collect()
        }
    }
}

/// Finds every latent's nearest of the study's other dictionaries, once all of them are there.
pub(crate) fn match_all(study: &Path, seed: u64, progress: &dyn Progress) -> Result<()> {
    let manifest = Manifest::read(study).map_err(pipeline::Error::from)?;
    for dictionary in manifest.dictionaries {
        let options = AnalyseOptions {
            study: study.to_owned(),
            dictionary: dictionary.slug,
            steps: vec![Step::Matches],
            seed,
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        };
        analyse(&options, progress)?;
    }
    Ok(())
}

fn trained(
    study: &Path,
    planned: Planned,
    recipe: &Recipe,
    progress: &dyn Progress,
) -> Result<TrainingSummary> {
    let Dictionary { latents, batch, .. } = recipe.dictionary;
    let trained = train(
        &TrainOptions {
            study: study.to_owned(),
            slug: planned.slug.to_owned(),
            dict_size: Some(latents),
            settings: planned.settings,
            batch,
            validation: VALIDATION,
            target_rms: Some(1.0),
            checkpoint_every: 0,
            log_every: LOG_EVERY,
            // The metrics travel with the program.
            threshold_every: 0,
            validate_every: VALIDATE_EVERY,
            // Two dictionaries have to travel with the program.
            save_format: WeightFormat::F16,
            force: true,
            note: Some(planned.note),
            ..TrainOptions::default()
        },
        progress,
    )?;
    Ok(trained.training)
}

/// A dictionary in a study of its own that will be deleted: its latents are counted and scored, never shown.
pub(crate) struct Scratch {
    /// The study.
    pub(crate) study: PathBuf,
    /// The dictionary's slug in it.
    pub(crate) slug: String,
    /// Its numbers on held-out tokens.
    pub(crate) training: TrainingSummary,
}

impl Scratch {
    /// Deletes the study.
    pub(crate) fn delete(self) -> Result<()> {
        files::remove_folder(&self.study)
    }
}

/// The BatchTopK dictionary once more from another seed, on the activations of the study being built.
pub(crate) fn scratch(
    places: &Places,
    recipe: &Recipe,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Scratch> {
    let study = places.progress().join(format!("seed-{seed}"));
    files::remove_folder(&study)?;
    files::make_folder(&study)?;
    let manifest = Manifest::read(&places.out).map_err(pipeline::Error::from)?;
    let scratch = Manifest {
        base: Some(ModelRef::folder("../../base")),
        chat: Some(ModelRef::folder("../../chat")),
        classes: manifest.classes,
        ..Manifest::new(manifest.name, manifest.layer)
    };
    scratch.write(&study).map_err(pipeline::Error::from)?;
    files::link_folder(&places.out.join(ACTIVATIONS), &study.join(ACTIVATIONS))?;
    let planned = top_k(recipe, seed);
    let slug = planned.slug.to_owned();
    let training = trained(&study, planned, recipe, progress)?;
    analyse(
        &AnalyseOptions {
            study: study.clone(),
            dictionary: slug.clone(),
            // Which latents are dead, and their maxima.
            steps: vec![Step::Statistics],
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        },
        progress,
    )?;
    Ok(Scratch {
        study,
        slug,
        training,
    })
}
