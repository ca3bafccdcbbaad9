//! `train`: its arguments, and the options they make.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pipeline::{BiasStart, CodeNormalization, DataOrder, Settings, TrainOptions, WeightFormat};

use crate::arguments::Printing;
use crate::failure::Failure;

/// Passes over the tokens, and norms at the start, of the paper's runs.
const EPOCHS: f64 = 2.0;
const INIT_NORM_L1: f64 = 0.005;
const INIT_NORM_BATCH_TOP_K: f64 = 1.0;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    L1,
    Batchtopk,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Order {
    /// One token of each corpus in turn; all are cut to the length of the shortest
    Alternate,
    /// Every token of every corpus, in proportion to their sizes
    Mix,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Bias {
    Zero,
    GeometricMedian,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SaveFormat {
    F32,
    Bf16,
    F16,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // switches of a command line
pub(crate) struct Train {
    /// Folder of the study
    pub(crate) study: PathBuf,
    /// Name of the new dictionary
    #[arg(long)]
    slug: String,
    /// Sparsity: the L1 penalty, or BatchTopK
    #[arg(long, value_enum, default_value_t = Kind::Batchtopk)]
    kind: Kind,
    /// Number of latents; by default 32 for every dimension of the models' residual stream
    #[arg(long)]
    latents: Option<usize>,
    /// Active latents per token (BatchTopK)
    #[arg(long, default_value_t = 100)]
    k: usize,
    /// Active latents per token at the start, falling to --k over --k-annealing steps (BatchTopK)
    #[arg(long, requires = "k_annealing")]
    k_initial: Option<usize>,
    /// Steps over which the number of active latents falls from --k-initial (BatchTopK)
    #[arg(long, requires = "k_initial")]
    k_annealing: Option<u64>,
    /// Weight of the sparsity penalty (L1)
    #[arg(long, default_value_t = 0.041)]
    mu: f64,
    /// Squared error in the loss instead of its norm
    #[arg(long)]
    squared: bool,
    /// How decoder norms weigh the code: crosscoder, sae, mixed, none or decoupled
    #[arg(long, default_value = "crosscoder", value_name = "NAME")]
    code_normalization: String,
    /// Weights of the sae and the crosscoder form, for --code-normalization mixed
    #[arg(long, value_delimiter = ',', value_name = "SAE,CROSSCODER")]
    mixed_weights: Vec<f64>,
    /// Weight of the auxiliary loss on dead latents (BatchTopK); 1/32 by default
    #[arg(long)]
    aux_weight: Option<f64>,
    /// Dead latents per token in the auxiliary loss (BatchTopK); half the models' width by default
    #[arg(long)]
    aux_k: Option<usize>,
    /// A latent is dead after this many tokens without firing
    #[arg(long, default_value_t = 10_000_000)]
    dead_after: u64,
    /// The inference threshold is estimated after this step, at most a quarter of the run (BatchTopK); 1000 by default
    #[arg(long)]
    threshold_start: Option<u64>,
    /// Share of itself that the estimate keeps at every step (BatchTopK); 0.999 by default
    #[arg(long)]
    threshold_keep: Option<f64>,
    /// Largest gradient norm (BatchTopK); 1 by default
    #[arg(long)]
    clip: Option<f64>,
    /// Draw latents anew that were silent for half of this many steps, each time they have passed (L1); never by default
    #[arg(long, value_name = "STEPS")]
    resample: Option<u64>,
    /// Training steps; instead of --epochs
    #[arg(long, conflicts_with = "epochs")]
    steps: Option<u64>,
    /// Passes over the collected tokens; 2 if --steps is not given either
    #[arg(long)]
    epochs: Option<f64>,
    /// Tokens per step
    #[arg(long, default_value_t = 2048)]
    batch: usize,
    /// How corpora are put together; alternate if there are several
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// Learning rate
    #[arg(long, default_value_t = 1e-4)]
    lr: f64,
    /// Learning rate 2e-4/√(latents/2¹⁴), which suits BatchTopK at any size
    #[arg(long, conflicts_with = "lr")]
    lr_by_size: bool,
    /// Steps until the full learning rate, at most a tenth of the run; 1000 by default
    #[arg(long)]
    warmup: Option<u64>,
    /// Share of the run, at its end, over which the learning rate falls to 0; none by default
    #[arg(long)]
    decay: Option<f64>,
    /// Norm of every encoder column and decoder row at the start; by default 1 for BatchTopK, 0.005 for L1
    #[arg(long, conflicts_with = "kaiming")]
    init_norm: Option<f64>,
    /// Start from Kaiming's draw without a norm
    #[arg(long)]
    kaiming: bool,
    /// Draw the start for each model apart
    #[arg(long)]
    init_per_model: bool,
    /// Draw the decoder apart from the encoder instead of as its transpose
    #[arg(long)]
    init_untied: bool,
    /// Where the decoder's bias starts; by default zero for L1, else the geometric median of the first batch
    #[arg(long, value_enum)]
    bias: Option<Bias>,
    /// Scale each model's centred residuals to this root mean square norm; raw residuals otherwise
    #[arg(long)]
    target_rms: Option<f32>,
    /// Share of the sequences held out for validation
    #[arg(long, default_value_t = 0.05)]
    validation: f64,
    /// Steps between two validations; 0 for one at the end only
    #[arg(long, default_value_t = 20_000)]
    validate_every: u64,
    /// Steps between two checkpoints; 0 for none
    #[arg(long, default_value_t = 1000)]
    checkpoint_every: u64,
    /// Steps between two lines of metrics
    #[arg(long, default_value_t = 10)]
    log_every: u64,
    /// Steps between two lines of metrics that use the inference threshold, on the batch just learned from (BatchTopK); 0 for none
    #[arg(long, default_value_t = 50, value_name = "STEPS")]
    threshold_every: u64,
    /// Seed of the initial draw and the order of the data
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Number format of the saved weights; bf16 and f16 take half the space
    #[arg(long, value_enum, default_value_t = SaveFormat::F32)]
    save_format: SaveFormat,
    /// Go on from the last checkpoint of a run that was ended
    #[arg(long)]
    resume: bool,
    /// Replace a dictionary of the same name
    #[arg(long)]
    force: bool,
    /// A remark for the reader of the study
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    printing: Printing,
}

/// Trains a crosscoder.
pub(crate) fn train(train: Train) -> Result<(), Failure> {
    let progress = train.printing.progress();
    let printing = train.printing;
    let summary = pipeline::train(&options(train)?, progress.as_ref())?;
    printing.summary(&summary)
}

fn options(train: Train) -> Result<TrainOptions, Failure> {
    Ok(TrainOptions {
        settings: settings(&train)?,
        study: train.study,
        slug: train.slug,
        dict_size: train.latents,
        epochs: train
            .steps
            .is_none()
            .then(|| train.epochs.unwrap_or(EPOCHS)),
        decay: train.decay,
        batch: train.batch,
        order: train.order.map(|order| match order {
            Order::Alternate => DataOrder::Alternate,
            Order::Mix => DataOrder::Mix,
        }),
        validation: train.validation,
        target_rms: train.target_rms,
        validate_every: train.validate_every,
        checkpoint_every: train.checkpoint_every,
        log_every: train.log_every,
        threshold_every: train.threshold_every,
        save_format: match train.save_format {
            SaveFormat::F32 => WeightFormat::F32,
            SaveFormat::Bf16 => WeightFormat::Bf16,
            SaveFormat::F16 => WeightFormat::F16,
        },
        resume: train.resume,
        force: train.force,
        note: train.note,
    })
}

fn settings(train: &Train) -> Result<Settings, Failure> {
    let kind = match train.kind {
        Kind::L1 => pipeline::Kind::L1,
        Kind::Batchtopk => pipeline::Kind::BatchTopK,
    };
    let norm = train.init_norm.unwrap_or(match train.kind {
        Kind::L1 => INIT_NORM_L1,
        Kind::Batchtopk => INIT_NORM_BATCH_TOP_K,
    });
    let defaults = Settings::default();
    Ok(Settings {
        kind,
        code_normalization: code_normalization(train)?,
        steps: train.steps.unwrap_or(defaults.steps),
        k: train.k,
        k_initial: train.k_initial,
        k_annealing_steps: train.k_annealing.unwrap_or(defaults.k_annealing_steps),
        lr: (!train.lr_by_size).then_some(train.lr),
        // From the share of the run, once its length is known.
        decay_start: None,
        warmup_steps: train.warmup.unwrap_or(defaults.warmup_steps),
        auxk_alpha: train.aux_weight.unwrap_or(defaults.auxk_alpha),
        top_k_aux: train.aux_k,
        dead_after_tokens: train.dead_after,
        threshold_start_step: train
            .threshold_start
            .unwrap_or(defaults.threshold_start_step),
        threshold_beta: train.threshold_keep.unwrap_or(defaults.threshold_beta),
        norm_init_scale: (!train.kaiming).then_some(norm),
        same_init_for_all_layers: !train.init_per_model,
        init_with_transpose: !train.init_untied,
        decoder_bias: match train.bias {
            None => BiasStart::Automatic,
            Some(Bias::Zero) => BiasStart::Zero,
            Some(Bias::GeometricMedian) => BiasStart::GeometricMedian,
        },
        clip: train.clip.or(defaults.clip),
        l1_penalty: train.mu,
        use_mse_loss: train.squared,
        resample_steps: train.resample,
        seed: train.seed,
    })
}

fn code_normalization(train: &Train) -> Result<CodeNormalization, Failure> {
    let (sae, crosscoder) = match train.mixed_weights.as_slice() {
        [] => CodeNormalization::MIXED_DEFAULTS,
        [sae, crosscoder] => (*sae, *crosscoder),
        other => {
            return Err(Failure::new(format!(
                "--mixed-weights has {} numbers, expected two, for instance 1,0.1",
                other.len()
            )));
        }
    };
    let name = train.code_normalization.to_uppercase();
    let found = CodeNormalization::from_name(&name, sae, crosscoder).ok_or_else(|| {
        Failure::new(format!(
            "--code-normalization: {:?} is none of crosscoder, sae, mixed, none and decoupled",
            train.code_normalization
        ))
    })?;
    let is_mixed = matches!(found, CodeNormalization::Mixed { .. });
    if !train.mixed_weights.is_empty() && !is_mixed {
        return Err(Failure::new(
            "--mixed-weights is for --code-normalization mixed".to_owned(),
        ));
    }
    Ok(found)
}
