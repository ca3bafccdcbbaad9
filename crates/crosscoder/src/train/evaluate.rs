//! Loss and gradients of a batch at the parameters as they are.

use rayon::prelude::*;

use super::Trainer;
use super::auxiliary::Inputs as AuxiliaryInputs;
use super::backward::{Dense, Inputs, Sparse, dense_gradients, sparse_gradients};
use super::forward::{Codes, Sums};
use super::median::geometric_medians;
use super::settings::BiasStart;
use crate::Kind;
use crate::error::{Error, Result};

/// The search for kept activations begins a little below the last step's cut, so that few candidates are looked at.
const FLOOR_SHARE: f32 = 0.8;
/// Share of positive codes from which L1 uses matrix products: there a sparse step takes as long.
const DENSE_SHARE: f64 = 0.08;
/// An L1 latent counts as silent up to this v.
pub(super) const SILENT: f32 = 1e-4;
/// Tokens per task of taking in a batch.
const ROWS: usize = 256;

/// What a batch gives at the parameters as they are.
pub(super) struct Evaluation {
    /// Tokens.
    pub(super) rows: usize,
    pub(super) k: usize,
    /// Smallest v kept of both models' selections.
    pub(super) smallest: [f32; 2],
    /// Mean number of active latents per token, over models.
    pub(super) l0: f64,
    pub(super) sums: Sums,
    /// Auxiliary loss before its weight.
    pub(super) auxiliary: f64,
    pub(super) loss: f64,
    /// Global norm before clipping.
    pub(super) gradient_norm: f64,
}

impl Trainer {
    /// Loss and all gradients of a batch at the parameters as they are.
    pub(super) fn evaluate(&mut self, batch: &[f32]) -> Result<Evaluation> {
        let rows = self.bring(batch)?;
        let starts = self.step == 0 && self.starts_at_median();
        if starts {
            self.parameters.decoder_bias = geometric_medians(&self.work.pass.x, self.dim);
        }
        let k = self.settings.k_at(self.step).min(self.latents);
        let smallest = match self.settings.kind {
            Kind::BatchTopK => self.select(rows, k),
            Kind::L1 => {
                self.rectify();
                [0.0; 2]
            }
        };
        let (sums, l0) = self.reconstruct(rows);
        self.count_firings(rows as u64);
        let auxiliary = self.auxiliary(sums.error_spread);
        let loss = self.error_and_penalty(&sums) + self.settings.auxk_alpha * auxiliary;
        if !loss.is_finite() {
            if starts {
                self.parameters.decoder_bias.fill(0.0);
            }
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
            l0,
            sums,
            auxiliary,
            loss,
            gradient_norm,
        })
    }

    /// The loss without its auxiliary part.
    pub(super) fn error_and_penalty(&self, sums: &Sums) -> f64 {
        let s = &self.settings;
        let error = if s.use_mse_loss { sums.mse } else { sums.l2 };
        match s.kind {
            Kind::BatchTopK => error,
            Kind::L1 => error + s.l1_penalty * sums.sparsity,
        }
    }

    /// Takes in a batch: checks its size and normalises it. Gives the number of tokens.
    pub(super) fn bring(&mut self, batch: &[f32]) -> Result<usize> {
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
        let normalizer = self.normalizer.as_ref();
        self.work
            .pass
            .x
            .par_chunks_mut(ROWS * width)
            .zip(batch.par_chunks(ROWS * width))
            .for_each(|(x, batch)| match normalizer {
                Some(normalizer) => normalizer.normalize_into(batch, x),
                None => x.copy_from_slice(batch),
            });
        Ok(rows)
    }

    fn starts_at_median(&self) -> bool {
        match self.settings.decoder_bias {
            BiasStart::Zero => false,
            BiasStart::GeometricMedian => true,
            BiasStart::Automatic => self.settings.kind == Kind::BatchTopK,
        }
    }

    /// BatchTopK's codes of the batch; the smallest v kept.
    fn select(&mut self, rows: usize, k: usize) -> [f32; 2] {
        let floors = self.selections(&self.work.floors).to_vec();
        let work = &mut self.work;
        work.search
            .run(&work.pass.x, &self.parameters, &self.weights, &floors);
        let floors = work.search.settle(
            k * rows,
            &work.pass.x,
            &self.parameters,
            &self.weights,
            &floors,
        );
        let smallest = work.search.keep_largest(
            k * rows,
            &floors,
            &self.parameters.encoder_bias,
            &self.weights,
            &mut work.entries,
        );
        let floors = work.search.next_floors();
        work.floors = floors.unwrap_or(smallest.map(|v| FLOOR_SHARE * v));
        work.dense = false;
        work.fired.fill(false);
        for &j in &work.entries.latents {
            if let Some(fired) = work.fired.get_mut(j as usize) {
                *fired = true;
            }
        }
        smallest
    }

    /// L1's codes of the batch.
    pub(super) fn rectify(&mut self) {
        let work = &mut self.work;
        work.search
            .rectify(&work.pass.x, &self.parameters, &mut work.activity);
        let active: f64 = work.activity.iter().map(|a| f64::from(a.tokens)).sum();
        let all = (work.pass.x.len() / (2 * self.dim)) as f64 * self.latents as f64;
        work.dense = active > DENSE_SHARE * all;
        if !work.dense {
            work.search.keep_positive(self.latents, &mut work.entries);
        }
        let latents = work.activity.iter().zip(&self.weights);
        for (fired, (activity, weight)) in work.fired.iter_mut().zip(latents) {
            *fired = activity.largest * weight.w > SILENT;
        }
    }

    /// Reconstructs the batch from its codes; sums and L0.
    pub(super) fn reconstruct(&mut self, rows: usize) -> (Sums, f64) {
        let work = &mut self.work;
        let codes = if work.dense {
            Codes::Dense(&work.search)
        } else {
            Codes::Sparse(&mut work.entries)
        };
        let mut sums = work
            .pass
            .run(&self.parameters, &self.weights, codes, &self.settings);
        let rows = rows as f64;
        if self.settings.kind == Kind::L1 {
            let latents = work.activity.iter().zip(&self.weights);
            let (mut sparsity, mut active) = (0.0, 0u64);
            for (activity, weight) in latents {
                sparsity += activity.sum * f64::from(weight.w);
                active += u64::from(activity.tokens);
            }
            sums.sparsity = sparsity / rows;
            return (sums, active as f64 / rows);
        }
        let active = work.entries.count(0) + work.entries.count(1);
        (sums, active as f64 / (2.0 * rows))
    }

    /// Adds the batch to every latent's count of tokens and steps since it fired, and lists the dead.
    fn count_firings(&mut self, rows: u64) {
        let work = &mut self.work;
        work.dead.clear();
        let counts = self.since_fired.iter_mut().zip(&mut self.silent_steps);
        let latents = counts.zip(&work.fired).zip(&mut work.is_dead);
        for (j, (((tokens, steps), fired), dead)) in (0u32..).zip(latents) {
            (*tokens, *steps) = if *fired {
                (0, 0)
            } else {
                (*tokens + rows, *steps + 1)
            };
            *dead = *tokens >= self.settings.dead_after_tokens;
            if *dead {
                work.dead.push(j);
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
        work.search
            .make_exact(&work.pass.x, &self.parameters, &work.dead);
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
        let inputs = Inputs {
            x: &work.pass.x,
            main: &work.pass.gradient,
            parameters: &self.parameters,
            weights: &self.weights,
            settings: &self.settings,
        };
        let squares = if work.dense {
            let dense = Dense {
                search: &work.search,
                activity: &work.activity,
            };
            dense_gradients(&inputs, &dense, &mut work.gradients)
        } else {
            work.by_latent
                .turn([&work.entries, &work.auxiliary.entries], self.latents);
            let sparse = Sparse {
                codes: &work.by_latent,
                auxiliary: &work.auxiliary.gradient,
                dead: &work.is_dead,
            };
            sparse_gradients(&inputs, &sparse, &mut work.columns, &mut work.gradients)
        };
        work.gradients.decoder_bias.copy_from_slice(bias_gradient);
        let bias: f64 = bias_gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
        (squares + bias).sqrt()
    }
}
