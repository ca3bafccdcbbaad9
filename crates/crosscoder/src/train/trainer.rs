//! The trainer: one optimisation step after another over batches that the caller brings.

use super::auxiliary::Auxiliary;
use super::backward::Columns;
use super::entries::{ByLatent, Entries};
use super::evaluate::Evaluation;
use super::forward::Pass;
use super::metrics::{BatchTopKMetrics, StepMetrics};
use super::parameters::{Parameters, Weight};
use super::search::{Activity, Search};
use super::settings::Settings;
use super::update::update;
use crate::error::{Error, Result};
use crate::{CodeNormalization, Kind, Normalizer};

/// Threshold before its estimate begins.
pub(super) const NO_THRESHOLD: f32 = -1.0;

/// Trains one crosscoder on the CPU, in f32, on all threads of the current rayon pool. The same settings and batches give the same
/// weights bit for bit, whatever the number of threads, on processors with the same vector and matrix units: with wider ones, products and
/// the screen of BatchTopK's selection add up in another order.
#[derive(Debug)]
pub struct Trainer {
    pub(super) settings: Settings,
    pub(super) dim: usize,
    pub(super) latents: usize,
    pub(super) normalizer: Option<Normalizer>,
    pub(super) parameters: Parameters,
    /// First and second moment of Adam.
    pub(super) moments: [Parameters; 2],
    pub(super) step: u64,
    pub(super) tokens: u64,
    /// Base and chat: equal unless DECOUPLED.
    pub(super) thresholds: [f32; 2],
    /// Tokens since each latent fired.
    pub(super) since_fired: Vec<u64>,
    /// Steps since each latent fired.
    pub(super) silent_steps: Vec<u64>,
    pub(super) weights: Vec<Weight>,
    pub(super) work: Work,
}

/// Buffers that live as long as the trainer.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) pass: Pass,
    pub(super) search: Search,
    /// Kept codes, unless all are read as a matrix.
    pub(super) entries: Entries,
    /// Sums of codes by latent (L1).
    pub(super) activity: Vec<Activity>,
    /// Whether codes are read as a matrix.
    pub(super) dense: bool,
    pub(super) auxiliary: Auxiliary,
    pub(super) by_latent: ByLatent,
    pub(super) columns: Columns,
    pub(super) gradients: Parameters,
    pub(super) dead: Vec<u32>,
    pub(super) is_dead: Vec<bool>,
    /// Whether each latent fired in the batch.
    pub(super) fired: Vec<bool>,
    pub(super) floors: [f32; 2],
}

impl Work {
    /// Whether a latent's gradients are filled in; else they are zero.
    pub(super) fn touches(&self, latent: usize) -> bool {
        self.dense || self.by_latent.touches(latent)
    }
}

impl Trainer {
    /// A new crosscoder of width `activation_dim` and `dict_size` latents, drawn by the settings' seed. Activations are normalised
    /// if a normaliser is given.
    ///
    /// # Errors
    /// If a setting makes no sense, a size is 0, or the normaliser has another width.
    pub fn new(
        settings: Settings,
        activation_dim: usize,
        dict_size: usize,
        normalizer: Option<Normalizer>,
    ) -> Result<Self> {
        for (field, size) in [("activation_dim", activation_dim), ("dict_size", dict_size)] {
            if size == 0 || size > u32::MAX as usize {
                return Err(Error::Setting {
                    field,
                    expected: "at least 1".into(),
                    found: size.to_string(),
                });
            }
        }
        settings.check(dict_size)?;
        if let Some(n) = &normalizer
            && n.mean().len() != 2 * activation_dim
        {
            return Err(Error::Input {
                what: "width of the activation normaliser",
                expected: activation_dim.to_string(),
                found: (n.mean().len() / 2).to_string(),
            });
        }
        let parameters = Parameters::draw(&settings, activation_dim, dict_size);
        let zeros = || Parameters::zeros(activation_dim, dict_size);
        let mut trainer = Self {
            settings,
            dim: activation_dim,
            latents: dict_size,
            normalizer,
            parameters,
            moments: [zeros(), zeros()],
            step: 0,
            tokens: 0,
            thresholds: [NO_THRESHOLD; 2],
            since_fired: vec![0; dict_size],
            silent_steps: vec![0; dict_size],
            weights: vec![Weight::default(); dict_size],
            work: Work {
                pass: Pass::default(),
                search: Search::default(),
                entries: Entries::default(),
                activity: vec![Activity::default(); dict_size],
                dense: false,
                auxiliary: Auxiliary::default(),
                by_latent: ByLatent::default(),
                columns: Columns::default(),
                gradients: zeros(),
                dead: Vec::new(),
                is_dead: vec![false; dict_size],
                fired: vec![false; dict_size],
                floors: [0.0; 2],
            },
        };
        trainer.weigh();
        Ok(trainer)
    }

    /// Hyper-parameters.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Width D.
    pub fn activation_dim(&self) -> usize {
        self.dim
    }

    /// Number of latents F.
    pub fn dict_size(&self) -> usize {
        self.latents
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Tokens seen.
    pub fn tokens_seen(&self) -> u64 {
        self.tokens
    }

    /// Estimate of the inference threshold, of the chat model under DECOUPLED; −1 before it begins.
    pub fn threshold(&self) -> f32 {
        self.thresholds[1]
    }

    /// Whether BatchTopK has an estimate of the inference threshold; without one, codes are rectified alone.
    pub fn has_threshold(&self) -> bool {
        self.settings.kind == Kind::BatchTopK && self.thresholds[1] >= 0.0
    }

    /// Estimates for base and chat: equal unless DECOUPLED.
    pub fn thresholds(&self) -> [f32; 2] {
        self.thresholds
    }

    /// One step on a batch of activations [B, 2, D], in residual space.
    ///
    /// # Errors
    /// If the batch is empty or not a whole number of tokens, or the loss is not finite; the parameters are then as before.
    pub fn step(&mut self, batch: &[f32]) -> Result<StepMetrics> {
        let evaluation = self.evaluate(batch)?;
        let lr = self.settings.base_lr(self.latents) * self.settings.lr_factor(self.step);
        let clip = match (self.settings.kind, self.settings.clip) {
            (Kind::BatchTopK, Some(most)) => (most / (evaluation.gradient_norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let sparsity_weight = self.mean_weight();
        let work = &self.work;
        update(
            &mut self.parameters,
            &mut self.moments,
            &work.gradients,
            |latent| work.touches(latent),
            lr,
            clip,
            self.step + 1,
        );
        if let Some(every) = self.settings.resample_steps
            && self.step.is_multiple_of(every)
        {
            self.resample(every);
        }
        self.weigh();
        if self.settings.kind == Kind::BatchTopK && self.step > self.settings.threshold_start_step {
            for (threshold, smallest) in self.thresholds.iter_mut().zip(evaluation.smallest) {
                *threshold = next_threshold(*threshold, smallest, self.settings.threshold_beta);
            }
        }
        let metrics = self.metrics(&evaluation, lr, sparsity_weight);
        self.step += 1;
        self.tokens += evaluation.rows as u64;
        Ok(metrics)
    }

    fn metrics(&self, evaluation: &Evaluation, lr: f64, sparsity_weight: f64) -> StepMetrics {
        let sums = &evaluation.sums;
        let latents = self.latents as f64;
        let silent = self.work.fired.iter().filter(|fired| !**fired).count();
        let dead = self.work.dead.len();
        let batch_top_k = (self.settings.kind == Kind::BatchTopK).then(|| BatchTopKMetrics {
            auxiliary: evaluation.auxiliary,
            auxiliary_squared: self.work.auxiliary.squared.unwrap_or(-1.0),
            threshold: self.thresholds[1],
            threshold_l0: self.is_decoupled().then_some(self.thresholds[0]),
            k: evaluation.k,
            effective_l0: evaluation.k,
        });
        StepMetrics {
            step: self.step,
            tokens: self.tokens + evaluation.rows as u64,
            loss: evaluation.loss,
            l2: sums.l2,
            mse: sums.mse,
            sparsity: sums.sparsity,
            l0: evaluation.l0,
            fve: sums.fve(),
            fve_total: sums.fve_total(),
            rms: sums.rms,
            sparsity_weight,
            frac_deads: silent as f64 / latents,
            running_deads: dead as u64,
            dead_share: dead as f64 / latents,
            lr,
            gradient_norm: evaluation.gradient_norm,
            batch_top_k,
        }
    }

    /// Mean code weight; under DECOUPLED over both models' own.
    fn mean_weight(&self) -> f64 {
        let both = |w: &Weight| f64::from(w.gates[0]) + f64::from(w.gates[1]);
        self.weights.iter().map(both).sum::<f64>() / (2.0 * self.latents as f64)
    }

    /// Whether each model selects its own codes. L1 selects none: there DECOUPLED is CROSSCODER.
    pub(super) fn is_decoupled(&self) -> bool {
        self.settings.kind == Kind::BatchTopK
            && self.settings.code_normalization == CodeNormalization::Decoupled
    }

    /// One of a pair if both models share a selection, else both.
    pub(super) fn selections<'a>(&self, pair: &'a [f32; 2]) -> &'a [f32] {
        if self.is_decoupled() {
            pair
        } else {
            pair.split_at(1).0
        }
    }

    /// Brings norms and code weights up to date with the decoder.
    pub(super) fn weigh(&mut self) {
        self.parameters
            .weigh(self.settings.code_normalization, &mut self.weights);
    }
}

/// The threshold after a step whose smallest kept activation is `smallest`.
pub(super) fn next_threshold(threshold: f32, smallest: f32, beta: f64) -> f32 {
    if threshold < 0.0 {
        smallest
    } else {
        (beta * f64::from(threshold) + (1.0 - beta) * f64::from(smallest)) as f32
    }
}
