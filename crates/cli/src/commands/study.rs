//! `init`, `collect`, `train` and `analyse`: a study from two checkpoints and text.

use pipeline::{
    AnalyseOptions, CollectOptions, EffectOptions, InitOptions, Kind, ModelRef, Precision,
    Settings, ShardOf, TrainOptions, reference,
};

use super::device;
use crate::arguments::{self, Analyse, Collect, Format, Init, Train};
use crate::failure::Failure;

/// Passes over the tokens, and norms at the start, of the paper's runs.
const EPOCHS: f64 = 2.0;
const INIT_NORM_L1: f64 = 0.005;
const INIT_NORM_BATCH_TOP_K: f64 = 1.0;

/// Writes study.toml.
pub(crate) fn init(init: Init) -> Result<(), Failure> {
    let dictionaries = init
        .dictionaries
        .iter()
        .map(|text| dictionary(text))
        .collect::<Result<_, _>>()?;
    let summary = pipeline::init(&InitOptions {
        study: init.study,
        base: reference(&init.base),
        chat: reference(&init.chat),
        layer: init.layer,
        dictionaries,
        name: init.name,
        force: init.force,
        ..InitOptions::default()
    })?;
    init.printing.summary(&summary)
}

fn dictionary(text: &str) -> Result<(String, ModelRef), Failure> {
    let (slug, place) = text
        .split_once('=')
        .ok_or_else(|| Failure::new(format!("--dictionary: {text:?} is not SLUG=FOLDER")))?;
    Ok((slug.to_owned(), reference(place)))
}

/// Collects paired activations.
pub(crate) fn collect(collect: Collect) -> Result<(), Failure> {
    let options = CollectOptions {
        study: collect.study,
        corpora: collect.corpus,
        tokens: collect.tokens,
        context: collect.context,
        precision: match collect.format {
            Format::F32 => Precision::F32,
            Format::Bf16 => Precision::Bf16,
            Format::F16 => Precision::F16,
        },
        device: device(&collect.device)?,
        force: collect.force,
        ..CollectOptions::default()
    };
    let summary = pipeline::collect(&options, collect.printing.progress().as_ref())?;
    collect.printing.summary(&summary)
}

/// Trains a crosscoder.
pub(crate) fn train(train: Train) -> Result<(), Failure> {
    let progress = train.printing.progress();
    let printing = train.printing;
    let summary = pipeline::train(&train_options(train), progress.as_ref())?;
    printing.summary(&summary)
}

fn train_options(train: Train) -> TrainOptions {
    let kind = match train.kind {
        arguments::Kind::L1 => Kind::L1,
        arguments::Kind::Batchtopk => Kind::BatchTopK,
    };
    let defaults = Settings::default();
    let settings = Settings {
        kind,
        steps: train.steps.unwrap_or(defaults.steps),
        k: train.k,
        l1_penalty: train.mu,
        lr: train.lr,
        warmup_steps: train.warmup.unwrap_or(defaults.warmup_steps),
        norm_init_scale: Some(train.init_norm.unwrap_or(match kind {
            Kind::L1 => INIT_NORM_L1,
            Kind::BatchTopK => INIT_NORM_BATCH_TOP_K,
        })),
        dead_after_tokens: train.dead_after,
        seed: train.seed,
        ..defaults
    };
    TrainOptions {
        study: train.study,
        slug: train.slug,
        dict_size: train.latents,
        settings,
        epochs: train
            .steps
            .is_none()
            .then(|| train.epochs.unwrap_or(EPOCHS)),
        decay: train.decay,
        batch: train.batch,
        validation: train.validation,
        target_rms: train.target_rms,
        resume: train.resume,
        force: train.force,
        note: train.note,
        ..TrainOptions::default()
    }
}

/// The share of the work that was asked for, else the one that a scheduler gives.
fn shard(given: Option<ShardOf>) -> Result<Option<ShardOf>, Failure> {
    match given {
        Some(shard) => Ok(Some(shard)),
        None => ShardOf::from_environment().map_err(Failure::new),
    }
}

/// Computes everything the explorer shows about a dictionary.
pub(crate) fn analyse(analyse: Analyse) -> Result<(), Failure> {
    let options = AnalyseOptions {
        study: analyse.study,
        dictionary: analyse.dictionary,
        steps: analyse.steps,
        shard: shard(analyse.shard)?,
        jump_threshold: analyse.jump_threshold,
        examples_per_group: analyse.examples,
        effects: EffectOptions {
            dialogues: analyse.dialogues,
            most: analyse.most_dialogues,
            effective: analyse.effective,
            seeds: analyse.effect_seeds,
            additive: analyse.additive,
        },
        device: device(&analyse.device)?,
        ..AnalyseOptions::default()
    };
    let summary = pipeline::analyse(&options, analyse.printing.progress().as_ref())?;
    analyse.printing.summary(&summary)
}
