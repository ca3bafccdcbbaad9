//! `init`, `collect`, `merge` and `analyse`: a study from two checkpoints and text.

use std::path::Path;

use hub::Content;
use pipeline::{
    AnalyseOptions, CollectOptions, Dictionaries, EffectOptions, InitOptions, MergeOptions,
    ModelRef, Precision, Progress, ShardOf, Wanted, reference,
};

use super::device;
use super::hub::Hub;
use crate::arguments::{Analyse, Collect, Format, Init, Merge};
use crate::failure::Failure;

/// Writes study.toml.
pub(crate) fn init(init: Init, offline: bool) -> Result<(), Failure> {
    let progress = init.printing.progress();
    let hub = Hub {
        offline,
        progress: progress.as_ref(),
    };
    for model in [&init.base, &init.chat] {
        hub.place(model, Content::Model)?;
    }
    for text in &init.dictionaries {
        let place = text.split_once('=').map_or("", |(_, place)| place);
        hub.place(place, Content::Dictionary)?;
    }
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

/// Fetches what a study's models and some of its dictionaries still lack.
fn bring(
    study: &Path,
    dictionaries: Dictionaries<'_>,
    offline: bool,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let wanted = Wanted {
        models: true,
        dictionaries,
    };
    Hub { offline, progress }.study(study, wanted)
}

/// Collects paired activations.
pub(crate) fn collect(collect: Collect, offline: bool) -> Result<(), Failure> {
    let progress = collect.printing.progress();
    bring(
        &collect.study,
        Dictionaries::None,
        offline,
        progress.as_ref(),
    )?;
    let options = CollectOptions {
        study: collect.study,
        corpora: collect.corpus,
        shares: collect.shares,
        tokens: collect.tokens,
        context: collect.context,
        skip_first: collect.skip_first,
        shard_tokens: collect.shard_tokens,
        shard: shard(collect.shard)?,
        precision: match collect.format {
            Format::F32 => Precision::F32,
            Format::Bf16 => Precision::Bf16,
            Format::F16 => Precision::F16,
        },
        device: device(&collect.device)?,
        memory: collect.memory.map(|size| size.0),
        force: collect.force,
    };
    let summary = pipeline::collect(&options, progress.as_ref())?;
    collect.printing.summary(&summary)
}

/// Puts together what several workers made.
pub(crate) fn merge(merge: Merge, offline: bool) -> Result<(), Failure> {
    let progress = merge.printing.progress();
    bring(&merge.study, Dictionaries::All, offline, progress.as_ref())?;
    let options = MergeOptions {
        study: merge.study,
        device: device(&merge.device)?,
    };
    let summary = pipeline::merge(&options, progress.as_ref())?;
    merge.printing.summary(&summary)
}

/// The share of the work that was asked for, else the one that a scheduler gives.
fn shard(given: Option<ShardOf>) -> Result<Option<ShardOf>, Failure> {
    match given {
        Some(shard) => Ok(Some(shard)),
        None => ShardOf::from_environment().map_err(Failure::new),
    }
}

/// Computes everything the explorer shows about a dictionary.
pub(crate) fn analyse(analyse: Analyse, offline: bool) -> Result<(), Failure> {
    let progress = analyse.printing.progress();
    bring(
        &analyse.study,
        Dictionaries::One(&analyse.dictionary),
        offline,
        progress.as_ref(),
    )?;
    let options = AnalyseOptions {
        study: analyse.study,
        dictionary: analyse.dictionary,
        steps: analyse.steps,
        shard: shard(analyse.shard)?,
        jump_threshold: analyse.jump_threshold,
        scaled: analyse.latents,
        noise_bucket: analyse.noise_bucket,
        examples_per_group: analyse.examples,
        correlated_sample: analyse.correlated_sample,
        checkpoint_seconds: analyse.checkpoint_seconds,
        effects: EffectOptions {
            dialogues: analyse.dialogues,
            most: analyse.most_dialogues,
            effective: analyse.effective,
            seeds: analyse.effect_seeds,
            additive: analyse.additive,
        },
        device: device(&analyse.device)?,
        memory: analyse.memory.map(|size| size.0),
        ..AnalyseOptions::default()
    };
    let summary = pipeline::analyse(&options, progress.as_ref())?;
    analyse.printing.summary(&summary)
}
