//! The trainer: one optimisation step after another over batches that the caller brings.

use super::auxiliary::{Auxiliary, Inputs as AuxiliaryInputs};
use super::backward::{Inputs, gradients, update};
use super::entries::{ByLatent, Entries, Search};
use super::forward::{Pass, Sums};
use super::median::geometric_medians;
use super::metrics::{StepMetrics, Validation};
use super::parameters::{Parameters, Weight};
use super::settings::{BiasStart, Settings};
use crate::error::{Error, Result};
use crate::{Kind, Normalizer};

/// The search for kept activations begins a little below the last step's cut, so that few candidates are looked at.
const FLOOR_SHARE: f32 = 0.8;
/// Threshold before its estimate begins.
pub(super) const NO_THRESHOLD: f32 = -1.0;
/// Δ_norm from which validation counts a latent as specific to a model.
const SPECIFIC: f64 = 0.9;

/// Trains one crosscoder on the CPU, in f32, on all threads of the current rayon pool. The same settings and batches give the same
/// weights bit for bit, whatever the number of threads.
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
    pub(super) threshold: f32,
    /// Tokens since each latent fired.
    pub(super) since_fired: Vec<u64>,
    weights: Vec<Weight>,
    pub(super) work: Work,
}

/// What a batch gives at the parameters as they are.
pub(super) struct Evaluation {
    /// Tokens.
    rows: usize,
    k: usize,
    /// Smallest v kept.
    smallest: f32,
    sums: Sums,
    /// Auxiliary loss before its weight.
    pub(super) auxiliary: f64,
    pub(super) loss: f64,
    /// Global norm before clipping.
    pub(super) gradient_norm: f64,
}

/// Buffers that live as long as the trainer.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) pass: Pass,
    search: Search,
    pub(super) entries: Entries,
    pub(super) auxiliary: Auxiliary,
    pub(super) by_latent: ByLatent,
    pub(super) gradients: Parameters,
    dead: Vec<u32>,
    is_dead: Vec<bool>,
    floor: f32,
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
            threshold: NO_THRESHOLD,
            since_fired: vec![0; dict_size],
            weights: vec![Weight::default(); dict_size],
            work: Work {
                pass: Pass::default(),
                search: Search::default(),
                entries: Entries::default(),
                auxiliary: Auxiliary::default(),
                by_latent: ByLatent::default(),
                gradients: zeros(),
                dead: Vec::new(),
                is_dead: vec![false; dict_size],
                floor: 0.0,
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

    /// Estimate of the inference threshold; −1 before it begins.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// One step on a batch of activations [B, 2, D], in residual space.
    ///
    /// # Errors
    /// If the batch is empty or not a whole number of tokens, or the loss is not finite; the parameters are then as before.
    pub fn step(&mut self, batch: &[f32]) -> Result<StepMetrics> {
        let evaluation = self.evaluate(batch)?;
        let Evaluation {
            rows,
            smallest,
            gradient_norm,
            ..
        } = evaluation;
        let lr = self.settings.base_lr(self.latents) * self.settings.lr_factor(self.step);
        let clip = match (self.settings.kind, self.settings.clip) {
            (Kind::BatchTopK, Some(most)) => (most / (gradient_norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        update(
            &mut self.parameters,
            &mut self.moments,
            &self.work.gradients,
            &self.work.by_latent,
            lr,
            clip,
            self.step + 1,
        );
        self.weigh();
        if self.settings.kind == Kind::BatchTopK && self.step > self.settings.threshold_start_step {
            self.threshold = next_threshold(self.threshold, smallest, self.settings.threshold_beta);
        }
        let sums = &evaluation.sums;
        let metrics = StepMetrics {
            step: self.step,
            tokens: self.tokens + rows as u64,
            loss: evaluation.loss,
            l2: sums.l2,
            mse: sums.mse,
            sparsity: sums.sparsity,
            auxiliary: evaluation.auxiliary,
            l0: self.work.entries.len() as f64 / rows as f64,
            fve: sums.fve(),
            fve_total: sums.fve_total(),
            dead_share: self.work.dead.len() as f64 / self.latents as f64,
            threshold: self.threshold,
            k: evaluation.k,
            lr,
            gradient_norm,
        };
        self.step += 1;
        self.tokens += rows as u64;
        Ok(metrics)
    }

    /// Measures batches ([B, 2, D] each) with the inference threshold, without learning from them.
    ///
    /// # Errors
    /// If a batch is empty or not a whole number of tokens.
    pub fn validate<'a>(
        &mut self,
        batches: impl IntoIterator<Item = &'a [f32]>,
    ) -> Result<Validation> {
        let mut result = Validation::default();
        let mut fired = vec![false; self.latents];
        let mut count = 0.0;
        let floor = match self.settings.kind {
            Kind::BatchTopK => self.threshold.max(0.0),
            Kind::L1 => 0.0,
        };
        for batch in batches {
            let rows = self.bring(batch)?;
            let work = &mut self.work;
            work.search.run(
                &work.pass.x,
                &self.parameters.encoder,
                &self.parameters.encoder_bias,
                &self.weights,
                floor,
            );
            work.search.keep_all(rows, &self.weights, &mut work.entries);
            let sums = work.pass.run(
                &self.parameters,
                &self.weights,
                &mut work.entries,
                &self.settings,
            );
            for &j in &work.entries.latents {
                if let Some(f) = fired.get_mut(j as usize) {
                    *f = true;
                }
            }
            count += 1.0;
            result.tokens += rows as u64;
            for (total, fve) in result.fve.iter_mut().zip(sums.fve()) {
                *total += fve;
            }
            result.fve_total += sums.fve_total();
            result.l0 += work.entries.len() as f64 / rows as f64;
            result.l2 += sums.l2;
        }
        if count > 0.0 {
            for x in
                result
                    .fve
                    .iter_mut()
                    .chain([&mut result.fve_total, &mut result.l0, &mut result.l2])
            {
                *x /= count;
            }
            let silent = fired.iter().filter(|f| !**f).count();
            result.dead_share = silent as f64 / self.latents as f64;
        }
        let deltas = self
            .weights
            .iter()
            .filter_map(|w| diffing::delta_norm(w.norms[0], w.norms[1]));
        for delta in deltas {
            result.specific[0] += usize::from(1.0 - delta > SPECIFIC);
            result.specific[1] += usize::from(delta > SPECIFIC);
        }
        Ok(result)
    }

    /// Loss and all gradients of a batch at the parameters as they are.
    pub(super) fn evaluate(&mut self, batch: &[f32]) -> Result<Evaluation> {
        let rows = self.bring(batch)?;
        if self.step == 0 && self.starts_at_median() {
            self.parameters.decoder_bias = geometric_medians(&self.work.pass.x, self.dim);
        }
        let k = self.settings.k_at(self.step).min(self.latents);
        let smallest = self.encode(rows, k);
        let work = &mut self.work;
        let sums = work.pass.run(
            &self.parameters,
            &self.weights,
            &mut work.entries,
            &self.settings,
        );
        self.count_firings(rows as u64);
        let auxiliary = self.auxiliary(sums.error_spread);
        let loss = match (self.settings.kind, self.settings.use_mse_loss) {
            (Kind::BatchTopK, _) => sums.l2 + self.settings.auxk_alpha * auxiliary,
            (Kind::L1, false) => sums.l2 + self.settings.l1_penalty * sums.sparsity,
            (Kind::L1, true) => sums.mse + self.settings.l1_penalty * sums.sparsity,
        };
        if !loss.is_finite() {
            return Err(Error::Diverged {
                step: self.step,
                loss,
            });
        }
        let gradient_norm = self.differentiate(&sums.bias_gradient);
        Ok(Evaluation {
            rows,
            k,
            smallest,
            sums,
            auxiliary,
            loss,
            gradient_norm,
        })
    }

    /// Takes in a batch: checks its size and normalises it. Gives the number of tokens.
    fn bring(&mut self, batch: &[f32]) -> Result<usize> {
        let width = 2 * self.dim;
        if batch.is_empty() || !batch.len().is_multiple_of(width) {
            return Err(Error::Input {
                what: "numbers in a batch",
                expected: format!("a positive multiple of 2·{}", self.dim),
                found: batch.len().to_string(),
            });
        }
        let rows = batch.len() / width;
        self.work.pass.resize(rows, width);
        match &self.normalizer {
            Some(normalizer) => normalizer.normalize_into(batch, &mut self.work.pass.x),
            None => self.work.pass.x.copy_from_slice(batch),
        }
        Ok(rows)
    }

    fn starts_at_median(&self) -> bool {
        match self.settings.decoder_bias {
            BiasStart::Zero => false,
            BiasStart::GeometricMedian => true,
            BiasStart::Automatic => {
                self.settings.kind == Kind::BatchTopK && self.normalizer.is_none()
            }
        }
    }

    /// Codes of the batch; the smallest v kept.
    fn encode(&mut self, rows: usize, k: usize) -> f32 {
        let work = &mut self.work;
        let floor = match self.settings.kind {
            Kind::BatchTopK => work.floor,
            Kind::L1 => 0.0,
        };
        work.search.run(
            &work.pass.x,
            &self.parameters.encoder,
            &self.parameters.encoder_bias,
            &self.weights,
            floor,
        );
        if self.settings.kind == Kind::L1 {
            work.search.keep_all(rows, &self.weights, &mut work.entries);
            return 0.0;
        }
        let smallest = work.search.keep_largest(
            k * rows,
            floor,
            &self.parameters.encoder_bias,
            &self.weights,
            &mut work.entries,
        );
        work.floor = FLOOR_SHARE * smallest;
        smallest
    }

    /// Adds the batch to every latent's count of tokens since it fired, and lists the dead.
    fn count_firings(&mut self, rows: u64) {
        for n in &mut self.since_fired {
            *n += rows;
        }
        for &j in &self.work.entries.latents {
            if let Some(n) = self.since_fired.get_mut(j as usize) {
                *n = 0;
            }
        }
        self.work.dead.clear();
        let latents = self.since_fired.iter().zip(&mut self.work.is_dead);
        for (j, (&n, dead)) in (0u32..).zip(latents) {
            *dead = n >= self.settings.dead_after_tokens;
            if *dead {
                self.work.dead.push(j);
            }
        }
    }

    /// The unweighted auxiliary loss, its gradients filled in.
    fn auxiliary(&mut self, spread: f64) -> f64 {
        let work = &mut self.work;
        if self.settings.kind == Kind::L1 || self.settings.auxk_alpha == 0.0 {
            work.auxiliary.clear();
            return 0.0;
        }
        work.auxiliary.run(&AuxiliaryInputs {
            parameters: &self.parameters,
            weights: &self.weights,
            search: &work.search,
            error: &work.pass.error,
            spread,
            dead: &work.dead,
            k: self.settings.top_k_aux.unwrap_or(self.dim / 2),
            alpha: self.settings.auxk_alpha,
        })
    }

    /// Fills all gradients; their global norm.
    fn differentiate(&mut self, bias_gradient: &[f32]) -> f64 {
        let work = &mut self.work;
        work.by_latent
            .turn([&work.entries, &work.auxiliary.entries], self.latents);
        let inputs = Inputs {
            codes: &work.by_latent,
            x: &work.pass.x,
            main: &work.pass.gradient,
            auxiliary: &work.auxiliary.gradient,
            dead: &work.is_dead,
            parameters: &self.parameters,
            weights: &self.weights,
            settings: &self.settings,
        };
        let squares = gradients(&inputs, &mut work.gradients);
        work.gradients.decoder_bias.copy_from_slice(bias_gradient);
        let bias: f64 = bias_gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
        (squares + bias).sqrt()
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
