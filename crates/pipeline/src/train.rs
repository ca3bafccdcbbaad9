//! `train`: a crosscoder on the collected activations.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use api::TrainingSummary;
use crosscoder::train::{Origin, Settings, StepMetrics, Trainer};
use crosscoder::{Kind, Normalizer};
use serde::{Deserialize, Serialize};
use store::Writer;
use store::manifest::{DictionaryRef, Manifest, check_slug};

use crate::batches::{Batches, validation_rows};
use crate::collection::Collection;
use crate::files::{read_json, write_json, write_whole};
use crate::{Error, Progress, Result};

/// The summary beside a trained dictionary.
pub(crate) const SUMMARY: &str = "training.json";
/// One JSON object per logged step, beside a trained dictionary.
const METRICS: &str = "metrics.jsonl";
/// What a run under way was started with.
const RUN: &str = "run.json";

/// Share of the sequences held out for validation unless another is given.
pub(crate) const VALIDATION: f64 = 0.05;

/// What `train` needs.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Name of the new dictionary.
    pub slug: String,
    /// Number of latents F.
    pub dict_size: usize,
    /// Hyper-parameters; `kind` is among them.
    pub settings: Settings,
    /// Passes over the training tokens; sets `settings.steps` if given.
    pub epochs: Option<f64>,
    /// Share of the run, at its end, over which the rate falls to 0; sets `settings.decay_start` if given.
    pub decay: Option<f64>,
    /// Tokens of a batch.
    pub batch: usize,
    /// Share of the sequences held out for validation.
    pub validation: f64,
    /// Root mean square norm to which each model's centred residuals are scaled; `None` trains on raw residuals.
    pub target_rms: Option<f32>,
    /// Steps between two checkpoints; 0 writes none.
    pub checkpoint_every: u64,
    /// Steps between two lines of metrics.
    pub log_every: u64,
    /// Goes on from the last checkpoint of a run that was ended.
    pub resume: bool,
    /// Replaces a dictionary of the same name.
    pub force: bool,
    /// A remark for the reader of the study.
    pub note: Option<String>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            study: PathBuf::new(),
            slug: String::new(),
            dict_size: 16_384,
            settings: Settings::default(),
            epochs: None,
            decay: None,
            batch: 2048,
            validation: VALIDATION,
            target_rms: None,
            checkpoint_every: 1000,
            log_every: 10,
            resume: false,
            force: false,
            note: None,
        }
    }
}

/// What `train` did.
#[derive(Clone, Debug, Serialize)]
pub struct TrainSummary {
    /// Folder of the dictionary.
    pub folder: PathBuf,
    /// Step from which the run went on; 0 for a new one.
    pub resumed: u64,
    /// Numbers on validation tokens.
    pub training: TrainingSummary,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for TrainSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let training = &self.training;
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "?".into(), |share| format!("{:.1} %", 100.0 * share))
        };
        writeln!(
            f,
            "trained {}: fraction of variance explained {} (base) and {} (chat), L0 {}, dead {}, after {} tokens",
            self.folder.display(),
            percent(training.fve.map(|fve| fve[0])),
            percent(training.fve.map(|fve| fve[1])),
            training
                .l0
                .map_or_else(|| "?".into(), |l0| format!("{l0:.1}")),
            percent(training.dead_share),
            training.tokens.unwrap_or(0),
        )?;
        crate::write_next(f, &self.next)
    }
}

/// What determines a run; a checkpoint is used only for the same.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    activations: String,
    dict_size: usize,
    batch: usize,
    validation: f64,
    target_rms: Option<f32>,
    settings: Settings,
}

/// A line of the metrics file.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    metrics: StepMetrics,
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
    check_options(options)?;
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
    let mut batches = Batches::new(
        &collection,
        options.validation,
        options.settings.seed,
        options.batch,
    )?;
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
        dict_size: options.dict_size,
        batch: options.batch,
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
    steps(options, &mut trainer, &mut batches, &work, progress)?;

    let training = summarise(options, &run, &mut trainer, &collection, progress)?;
    let origin = Origin {
        layer: Some(manifest.layer),
        lm_name: Some("chat-base".into()),
        submodule_name: None,
        run_name: Some(options.slug.clone()),
    };
    trainer.save(&work, &origin)?;
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
    writer.finish()?;
    let shown = study.display();
    Ok(TrainSummary {
        folder,
        resumed,
        training,
        next: vec![
            format!("stereoscope analyse {shown} --dictionary {}", options.slug),
            format!("stereoscope serve {shown}"),
        ],
    })
}

fn check_options(options: &TrainOptions) -> Result<()> {
    if !(0.0..=0.5).contains(&options.validation) {
        return Err(Error::Mismatch(format!(
            "the validation share is {}, expected 0 to 0.5",
            options.validation
        )));
    }
    if let Some(decay) = options.decay
        && !(0.0..=1.0).contains(&decay)
    {
        return Err(Error::Mismatch(format!(
            "decay is {decay}, expected a share from 0 to 1"
        )));
    }
    if let Some(epochs) = options.epochs
        && !(epochs.is_finite() && epochs > 0.0)
    {
        return Err(Error::Mismatch(format!(
            "epochs is {epochs}, expected a positive number"
        )));
    }
    if options.log_every == 0 {
        return Err(Error::Mismatch(
            "log_every is 0, expected at least 1".into(),
        ));
    }
    Ok(())
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

/// The folder of a run's checkpoint, if it has one. The trainer replaces its file in one go.
fn last_checkpoint(work: &Path) -> Option<PathBuf> {
    let folder = work.join("checkpoint");
    folder.is_dir().then_some(folder)
}

fn steps(
    options: &TrainOptions,
    trainer: &mut Trainer,
    batches: &mut Batches<'_>,
    work: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let total = trainer.settings().steps;
    let batch = options.batch as u64;
    let path = work.join(METRICS);
    keep_lines_before(&path, trainer.steps_done())?;
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(Error::io("write", &path))?;
    progress.start("train", "tokens", total * batch);
    progress.advance(trainer.steps_done() * batch);
    while trainer.steps_done() < total {
        let metrics = trainer.step(batches.take()?)?;
        let done = trainer.steps_done();
        progress.advance(done * batch);
        if metrics.step.is_multiple_of(options.log_every) || done == total {
            progress.figures(&[
                ("step", done as f64),
                ("fve_base", metrics.fve[0]),
                ("fve_chat", metrics.fve[1]),
                ("l0", metrics.l0),
                ("dead", metrics.dead_share),
            ]);
            let line = serde_json::to_string(&Line { metrics })
                .map_err(|error| Error::file(&path, error.to_string()))?;
            writeln!(log, "{line}").map_err(Error::io("write", &path))?;
        }
        if options.checkpoint_every > 0
            && done.is_multiple_of(options.checkpoint_every)
            && done < total
        {
            let folder = work.join("checkpoint");
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
            trainer.checkpoint(&folder)?;
        }
    }
    progress.finish();
    Ok(())
}

/// Removes lines that the run, going on from a checkpoint, will write again.
fn keep_lines_before(path: &Path, step: u64) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| {
            serde_json::from_str::<Line>(line).is_ok_and(|line| line.metrics.step < step)
        })
        .collect();
    write_whole(path, |out| {
        kept.iter().try_for_each(|line| writeln!(out, "{line}"))
    })
}

/// Measures the dictionary on the held-out sequences.
fn summarise(
    options: &TrainOptions,
    run: &Run,
    trainer: &mut Trainer,
    collection: &Collection,
    progress: &dyn Progress,
) -> Result<TrainingSummary> {
    let rows = validation_rows(collection, options.validation)?;
    let row = 2 * collection.identity.hidden_size;
    // A small remainder has no variance worth averaging; it stays only when it is all there is.
    let size = options.batch.min(rows.len() / row) * row;
    let mut training = TrainingSummary {
        tokens: Some(trainer.tokens_seen()),
        steps: Some(trainer.steps_done()),
        settings: shown_settings(options, run, trainer),
        ..TrainingSummary::default()
    };
    if size < 2 * row {
        progress.say("skipped validation: fewer than two held-out tokens; give a larger share or collect more");
        return Ok(training);
    }
    let validation = trainer.validate(rows.chunks_exact(size))?;
    training.fve = Some(validation.fve);
    training.l0 = Some(validation.l0);
    training.dead_share = Some(validation.dead_share);
    Ok(training)
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
