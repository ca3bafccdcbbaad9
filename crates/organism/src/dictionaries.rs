//! The study's dictionaries: BatchTopK, and beside it one with the L1 penalty at the same number of active latents.

use std::path::Path;

use pipeline::{
    AnalyseOptions, DeviceChoice, Kind, Progress, Settings, TrainOptions, TrainingSummary,
    WeightFormat, analyse, train,
};

use crate::error::Result;
use crate::preset::{Dictionary, Recipe};

/// Slug of the BatchTopK dictionary, which the report is about.
pub const DICTIONARY: &str = "batchtopk";
/// Slug of the dictionary with the L1 penalty.
const L1: &str = "l1";
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
    let plan = &recipe.dictionary;
    let steps = plan.steps as u64;
    let both = Settings {
        steps,
        lr: Some(plan.rate),
        warmup_steps: 100,
        decay_start: Some(steps * 7 / 10),
        norm_init_scale: Some(plan.initial_norm),
        seed,
        ..Settings::default()
    };
    let top_k = Planned {
        slug: DICTIONARY,
        settings: Settings {
            k: plan.k,
            top_k_aux: Some(64),
            dead_after_tokens: 100 * plan.batch as u64,
            threshold_start_step: steps / 4,
            threshold_beta: 0.99,
            ..both.clone()
        },
        note: format!("k = {}, {steps} steps", plan.k),
    };
    let penalised = plan.penalty.map(|penalty| Planned {
        slug: L1,
        settings: Settings {
            kind: Kind::L1,
            l1_penalty: penalty,
            ..both
        },
        note: format!("penalty {penalty}, {steps} steps"),
    });
    std::iter::once(top_k).chain(penalised).collect()
}

/// Trains and analyses one dictionary; gives its numbers on held-out tokens.
pub(crate) fn make(
    study: &Path,
    planned: Planned,
    recipe: &Recipe,
    seed: u64,
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
            validate_every: VALIDATE_EVERY,
            // Two dictionaries have to travel with the program.
            save_format: WeightFormat::F16,
            force: true,
            note: Some(planned.note),
            ..TrainOptions::default()
        },
        progress,
    )?;
    analyse(
        &AnalyseOptions {
            study: study.to_owned(),
            dictionary: planned.slug.to_owned(),
            examples_per_group: recipe.examples,
            seed,
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        },
        progress,
    )?;
    Ok(trained.training)
}
