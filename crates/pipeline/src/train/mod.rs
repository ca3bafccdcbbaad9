//! `train`: a crosscoder on the collected activations.

mod log;
mod options;

use std::fs;
use std::path::{Path, PathBuf};

use api::TrainingSummary;
use crosscoder::train::{Origin, Settings, Trainer, Validation};
use crosscoder::{Kind, Normalizer};
use serde::{Deserialize, Serialize};
use store::Writer;
use store::manifest::{DictionaryRef, Manifest, check_slug};

pub(crate) use self::log::curves;
use self::log::{Log, Point};
pub use self::options::{TrainOptions, TrainSummary};
use crate::batches::{Batches, validation_rows};
use crate::collection::Collection;
use crate::files::{read_json, write_json};
use crate::order::DataOrder;
use crate::{Error, Progress, Result};

/// Latents for every dimension of the residual stream, unless their number is given (the paper's expansion factor).
const EXPANSION: usize = 32;
/// The summary beside a trained dictionary.
pub(crate) const SUMMARY: &str = "training.json";
/// What a run under way was started with.
const RUN: &str = "run.json";

/// Share of the sequences held out for validation unless another is given.
pub(crate) const VALIDATION: f64 = 0.05;

/// What determines a run; a checkpoint is used only for the same.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    activations: String,
    dict_size: usize,
    batch: usize,
    order: DataOrder,
    validation: f64,
    target_rms: Option<f32>,
    settings: Settings,
}

/// Trains a crosscoder, writes it to `dictionaries/SLUG` of the study and names it in `study.toml`. What the database said of an older
/// dictionary of this name is removed.
///
/// # Errors
/// No activations, a dictionary of that name without `force`, settings that make no sense, a checkpoint of another run, a loss that
/// is not finite, a disk that is full.
pub fn train(options: &TrainOptions, progress: &dyn Progress) -> Result<TrainSummary> {
    let study = &options.study;
    let manifest = Manifest::read(study)?;
    check_slug(&options.slug).map_err(Error::Mismatch)?;
    options.check()?;
    let folder = study.join("dictionaries").join(&options.slug);
    if !options.force && (manifest.dictionary(&options.slug).is_ok() || folder.exists()) {
        return Err(Error::Mismatch(format!(
            "the study has a dictionary {} already; give --force to replace it, or another --slug",
            options.slug
        )));
    }
    let collection = Collection::required(study)?;
    if collection.identity.layer != manifest.layer {
        return Err(Error::Mismatch(format!(
            "the activations are of layer {}, study.toml says layer {}; run `stereoscope collect` with --force",
            collection.identity.layer, manifest.layer
        )));
    }
    let order = options.order_of(&collection);
    let mut batches = Batches::new(
        &collection,
        order,
        options.validation,
        options.settings.seed,
        options.batch,
    )?;
    for (corpus, tokens) in batches.unused() {
        progress.say(&format!(
            "corpora alternate strictly and are cut to the shortest: {tokens} tokens of {corpus} stay unused (--order mix reads all)"
        ));
    }
    let mut settings = options.settings.clone();
    if let Some(epochs) = options.epochs {
        settings.steps = (epochs * batches.epoch_steps() as f64).round().max(1.0) as u64;
    }
    if let Some(decay) = options.decay.filter(|share| *share > 0.0) {
        settings.decay_start = Some((settings.steps as f64 * (1.0 - decay)) as u64);
    }
    // A run too short for the paper's schedule settles sooner, so that it ends with a full rate and a threshold.
    settings.warmup_steps = settings.warmup_steps.min(settings.steps / 10);
    settings.threshold_start_step = settings.threshold_start_step.min(settings.steps / 4);
    let run = Run {
        activations: collection.identity.hash(),
        dict_size: options
            .dict_size
            .unwrap_or(EXPANSION * collection.identity.hidden_size),
        batch: options.batch,
        order,
        validation: options.validation,
        target_rms: options.target_rms,
        settings,
    };
    let work = study
        .join("dictionaries")
        .join(format!(".{}.training", options.slug));
    let mut trainer = begin(options, &run, &collection, &work)?;
    let resumed = trainer.steps_done();
    batches.seek(resumed);
    let mut monitor = Monitor::new(options, &collection, order, &work, resumed, progress)?;
    let validation = steps(&mut monitor, &mut trainer, &mut batches, &work)?;
    let training = TrainingSummary {
        fve: validation.as_ref().map(|found| found.fve),
        l0: validation.as_ref().map(|found| found.l0),
        dead_share: validation.as_ref().map(|found| found.dead_share),
        tokens: Some(trainer.tokens_seen()),
        steps: Some(trainer.steps_done()),
        settings: shown_settings(options, &run, &trainer),
    };
    let origin = Origin {
        layer: Some(manifest.layer),
        lm_name: Some("chat-base".into()),
        submodule_name: None,
        run_name: Some(options.slug.clone()),
    };
    trainer.save_as(&work, &origin, options.save_format)?;
    write_json(&work.join(SUMMARY), &training)?;
    publish(&work, &folder)?;
    Manifest::add_dictionary(
        study,
        DictionaryRef {
            slug: options.slug.clone(),
            path: Some(Path::new("dictionaries").join(&options.slug)),
            kind: Some(run.settings.kind.as_str().into()),
            note: options.note.clone(),
            ..DictionaryRef::default()
        },
    )?;
    let writer = Writer::replace(&study.join(store::DATABASE), &options.slug)?;
    writer.set_training(&training)?;
    if let Some(curves) = curves(&folder)? {
        writer.set_curves(&curves)?;
    }
    writer.finish()?;
    let shown = study.display();
    Ok(TrainSummary {
        folder,
        resumed,
        look: options::look(&training),
        training,
        next: vec![
            format!("stereoscope analyse {shown} --dictionary {}", options.slug),
            format!("stereoscope serve {shown}"),
        ],
    })
}

/// A new trainer, or one from the last checkpoint, and the working folder it belongs to.
fn begin(
    options: &TrainOptions,
    run: &Run,
    collection: &Collection,
    work: &Path,
) -> Result<Trainer> {
    let note = work.join(RUN);
    if options.resume {
        if !note.exists() {
            return Err(Error::Mismatch(format!(
                "there is no unfinished run of {} to go on with; train without --resume",
                options.slug
            )));
        }
        let found: Run = read_json(&note, "train without --resume")?;
        if found != *run {
            return Err(Error::file(
                &note,
                "the unfinished run has other settings or activations; give the same options, or train without --resume",
            ));
        }
        if let Some(checkpoint) = last_checkpoint(work) {
            return Ok(Trainer::resume(checkpoint)?);
        }
    }
    if work.exists() {
        fs::remove_dir_all(work).map_err(Error::io("delete", work))?;
    }
    fs::create_dir_all(work).map_err(Error::io("create", work))?;
    write_json(&note, run)?;
    let normalizer = options
        .target_rms
        .map(|rms| {
            let [base, chat] = &collection.moments;
            Normalizer::from_moments([base, chat], rms)
        })
        .transpose()?;
    Ok(Trainer::new(
        run.settings.clone(),
        collection.identity.hidden_size,
        run.dict_size,
        normalizer,
    )?)
}

/// The folder of a run's checkpoint, if it has one. The trainer replaces its file in one go; a kill during the first may have left
/// a temporary file alone.
fn last_checkpoint(work: &Path) -> Option<PathBuf> {
    let folder = work.join("checkpoint");
    let mut files = fs::read_dir(&folder).ok()?.flatten();
    let complete = files.any(|file| file.path().extension().is_some_and(|e| e == "safetensors"));
    complete.then_some(folder)
}

/// What is measured of a run under way, and where it is written.
struct Monitor<'a> {
    options: &'a TrainOptions,
    progress: &'a dyn Progress,
    log: Log,
    /// Held-out rows [N, 2, D] and the numbers of a batch of them; no rows if there are too few.
    held_out: Vec<f32>,
    held_out_batch: usize,
}

impl<'a> Monitor<'a> {
    fn new(
        options: &'a TrainOptions,
        collection: &Collection,
        order: DataOrder,
        work: &Path,
        steps_done: u64,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let log = Log::open(work, steps_done)?;
        let mut held_out = validation_rows(collection, order, options.validation)?;
        let row = 2 * collection.identity.hidden_size;
        // A small remainder has no variance worth averaging; it stays only when it is all there is.
        let held_out_batch = options.batch.min(held_out.len() / row) * row;
        if held_out_batch < 2 * row {
            progress.say("no validation: fewer than two held-out tokens; give a larger share or collect more");
            held_out.clear();
        }
        Ok(Self {
            options,
            progress,
            log,
            held_out,
            held_out_batch,
        })
    }

    /// Measures the dictionary on the held-out rows: plain means over batches.
    fn validate(&mut self, trainer: &mut Trainer, point: Point) -> Result<Option<Validation>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let batches = self.held_out.chunks_exact(self.held_out_batch);
        let validation = trainer.validate(batches)?;
        self.log.write("val", point, &validation)?;
        Ok(Some(validation))
    }
}

/// Trains to the end; the validation there.
fn steps(
    monitor: &mut Monitor<'_>,
    trainer: &mut Trainer,
    batches: &mut Batches<'_>,
    work: &Path,
) -> Result<Option<Validation>> {
    let (options, progress) = (monitor.options, monitor.progress);
    let total = trainer.settings().steps;
    let batch = options.batch as u64;
    let epoch_steps = batches.epoch_steps().max(1);
    let point = |trainer: &Trainer| {
        let step = trainer.steps_done().saturating_sub(1);
        Point {
            step,
            epoch: step / epoch_steps,
            tokens: trainer.tokens_seen(),
        }
    };
    progress.start("train", "tokens", total * batch);
    progress.advance(trainer.steps_done() * batch);
    while trainer.steps_done() < total {
        let taken = batches.take()?;
        let metrics = trainer.step(taken)?;
        let done = trainer.steps_done();
        progress.advance(done * batch);
        let due = |every: u64| every > 0 && done.is_multiple_of(every) && done < total;
        let validate = due(options.validate_every);
        if metrics.step.is_multiple_of(options.log_every) || done == total || validate {
            progress.figures(&[
                ("step", done as f64),
                ("fve_base", metrics.fve[0]),
                ("fve_chat", metrics.fve[1]),
                ("l0", metrics.l0),
                ("dead", metrics.dead_share),
                ("loss", metrics.loss),
            ]);
            monitor.log.write("train", point(trainer), &metrics)?;
        }
        let with_threshold = options.threshold_every;
        if with_threshold > 0
            && metrics.step.is_multiple_of(with_threshold)
            && trainer.has_threshold()
        {
            let found = trainer.validate([taken])?;
            monitor.log.write("trainthres", point(trainer), &found)?;
        }
        if validate && let Some(found) = monitor.validate(trainer, point(trainer))? {
            progress.say(&format!(
                "after step {done}: on held-out tokens {}",
                options::shown(Some(found.fve), Some(found.l0), Some(found.dead_share))
            ));
        }
        if due(options.checkpoint_every) {
            let folder = work.join("checkpoint");
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
            trainer.checkpoint(&folder)?;
        }
    }
    progress.finish();
    monitor.validate(trainer, point(trainer))
}

fn shown_settings(options: &TrainOptions, run: &Run, trainer: &Trainer) -> Vec<(String, String)> {
    let settings = &run.settings;
    let mut shown = vec![
        ("kind".to_string(), settings.kind.as_str().to_string()),
        ("latents".into(), run.dict_size.to_string()),
    ];
    match settings.kind {
        Kind::BatchTopK => shown.extend([
            ("k".into(), settings.k.to_string()),
            ("threshold".into(), trainer.threshold().to_string()),
            ("auxiliary weight".into(), settings.auxk_alpha.to_string()),
            (
                "dead after tokens".into(),
                settings.dead_after_tokens.to_string(),
            ),
        ]),
        Kind::L1 => shown.push(("l1 penalty".into(), settings.l1_penalty.to_string())),
    }
    shown.extend([
        ("batch".into(), run.batch.to_string()),
        ("order".into(), run.order.as_str().into()),
        ("rate".into(), settings.base_lr(run.dict_size).to_string()),
        ("warm-up steps".into(), settings.warmup_steps.to_string()),
        (
            "decay from step".into(),
            settings
                .decay_start
                .map_or_else(|| "none".into(), |step| step.to_string()),
        ),
        (
            "initial norm".into(),
            settings
                .norm_init_scale
                .map_or_else(|| "Kaiming".into(), |norm| norm.to_string()),
        ),
        (
            "target rms".into(),
            options
                .target_rms
                .map_or_else(|| "none".into(), |rms| rms.to_string()),
        ),
        ("seed".into(), settings.seed.to_string()),
    ]);
    shown
}

/// Puts the finished folder in its place.
fn publish(work: &Path, folder: &Path) -> Result<()> {
    for leftover in [work.join("checkpoint"), work.join(RUN)] {
        let removed = if leftover.is_dir() {
            fs::remove_dir_all(&leftover)
        } else {
            fs::remove_file(&leftover)
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("delete", &leftover)(error));
            }
            _ => {}
        }
    }
    let old = work.with_extension("old");
    if old.exists() {
        fs::remove_dir_all(&old).map_err(Error::io("delete", &old))?;
    }
    if folder.exists() {
        fs::rename(folder, &old).map_err(Error::io("rename", folder))?;
    }
    fs::rename(work, folder).map_err(Error::io("write", folder))?;
    if old.exists() {
        fs::remove_dir_all(&old).map_err(Error::io("delete", &old))?;
    }
    Ok(())
}
