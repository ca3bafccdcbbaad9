//! What `train` is asked for, and what it tells.

use std::fmt;
use std::path::PathBuf;

use api::TrainingSummary;
use crosscoder::train::{Settings, WeightFormat};
use serde::Serialize;

use super::VALIDATION;
use crate::collection::Collection;
use crate::order::DataOrder;
use crate::{Error, Result};

/// Share of dead latents from which a reader should know.
const MANY_DEAD: f64 = 0.2;
/// Fraction of variance explained below which a dictionary says little of its models.
const LITTLE: f64 = 0.6;

/// What `train` needs.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Name of the new dictionary.
    pub slug: String,
    /// Number of latents F; by default the paper's 32 for every dimension of the residual stream.
    pub dict_size: Option<usize>,
    /// Hyper-parameters; `kind` is among them.
    pub settings: Settings,
    /// Passes over the training tokens; sets `settings.steps` if given.
    pub epochs: Option<f64>,
    /// Share of the run, at its end, over which the rate falls to 0; sets `settings.decay_start` if given.
    pub decay: Option<f64>,
    /// Tokens of a batch.
    pub batch: usize,
    /// How the corpora are put together; strictly alternating where there are two or more, unless given.
    pub order: Option<DataOrder>,
    /// Share of the sequences held out for validation.
    pub validation: f64,
    /// Root mean square norm to which each model's centred residuals are scaled; `None` trains on raw residuals.
    pub target_rms: Option<f32>,
    /// Steps between two validations; 0 validates at the end only.
    pub validate_every: u64,
    /// Steps between two checkpoints; 0 writes none.
    pub checkpoint_every: u64,
    /// Steps between two lines of metrics.
    pub log_every: u64,
    /// Steps between two lines of metrics with the inference threshold (BatchTopK), on the batch just learned from; 0 writes none.
    pub threshold_every: u64,
    /// Number format of the trained weights' file.
    pub save_format: WeightFormat,
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
            dict_size: None,
            settings: Settings::default(),
            epochs: None,
            decay: None,
            batch: 2048,
            order: None,
            validation: VALIDATION,
            target_rms: None,
            validate_every: 20_000,
            checkpoint_every: 1000,
            log_every: 10,
            threshold_every: 50,
            save_format: WeightFormat::F32,
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
    /// What these numbers suggest to look at.
    pub look: Vec<String>,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for TrainSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let training = &self.training;
        writeln!(
            f,
            "trained {}: {}, after {} tokens",
            self.folder.display(),
            shown(training.fve, training.l0, training.dead_share),
            training.tokens.unwrap_or(0),
        )?;
        for sentence in &self.look {
            writeln!(f, "{sentence}")?;
        }
        crate::write_next(f, &self.next)
    }
}

/// Numbers of a validation, for a person.
pub(super) fn shown(fve: Option<[f64; 2]>, l0: Option<f64>, dead_share: Option<f64>) -> String {
    let percent = |share: Option<f64>| {
        share.map_or_else(|| "?".into(), |share| format!("{:.1} %", 100.0 * share))
    };
    format!(
        "fraction of variance explained {} (base) and {} (chat), L0 {}, dead {}",
        percent(fve.map(|fve| fve[0])),
        percent(fve.map(|fve| fve[1])),
        l0.map_or_else(|| "?".into(), |l0| format!("{l0:.1}")),
        percent(dead_share),
    )
}

/// What the numbers of a run suggest.
pub(super) fn look(training: &TrainingSummary) -> Vec<String> {
    let mut sentences = vec![
        "look at the loss curves on the study page once it is served: a loss that still falls wants more steps".to_string(),
    ];
    if training.dead_share.is_some_and(|dead| dead > MANY_DEAD) {
        sentences.push(
            "many latents never fired on held-out tokens: try fewer --latents, or more tokens"
                .into(),
        );
    }
    if let Some(fve) = training.fve
        && fve.iter().any(|fve| *fve < LITTLE)
    {
        sentences.push(
            "much variance stays unexplained: try a larger --k (BatchTopK), a smaller --mu (L1) or more steps before reading latents"
                .into(),
        );
    }
    sentences
}

impl TrainOptions {
    /// How the corpora of a collection are put together.
    pub(super) fn order_of(&self, collection: &Collection) -> DataOrder {
        let corpora: Vec<usize> = collection.shards.iter().map(|shard| shard.corpus).collect();
        let several = corpora.iter().any(|corpus| Some(corpus) != corpora.first());
        self.order.unwrap_or(if several {
            DataOrder::Alternate
        } else {
            DataOrder::Mix
        })
    }

    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=0.5).contains(&self.validation) {
            return Err(Error::Mismatch(format!(
                "the validation share is {}, expected 0 to 0.5",
                self.validation
            )));
        }
        if let Some(decay) = self.decay
            && !(0.0..=1.0).contains(&decay)
        {
            return Err(Error::Mismatch(format!(
                "decay is {decay}, expected a share from 0 to 1"
            )));
        }
        if let Some(epochs) = self.epochs
            && !(epochs.is_finite() && epochs > 0.0)
        {
            return Err(Error::Mismatch(format!(
                "epochs is {epochs}, expected a positive number"
            )));
        }
        if self.log_every == 0 {
            return Err(Error::Mismatch(
                "log_every is 0, expected at least 1".into(),
            ));
        }
        Ok(())
    }
}
