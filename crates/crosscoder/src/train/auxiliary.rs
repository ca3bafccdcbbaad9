//! The auxiliary loss: dead latents learn to explain what the living ones leave.

use rayon::prelude::*;

use super::entries::{Entries, Models};
use super::forward::ROWS;
use super::kernels::{add_scaled, dot, vectorised};
use super::parameters::{Parameters, Weight};
use super::search::Search;

/// What one task of tokens chooses.
#[derive(Debug, Default)]
struct Chosen {
    counts: Vec<usize>,
    latents: Vec<u32>,
    f: Vec<f32>,
    df: Vec<f32>,
    candidates: Vec<(f32, u32, f32)>,
    loss: f64,
}

/// Buffers of the auxiliary loss.
#[derive(Debug, Default)]
pub(super) struct Auxiliary {
    /// Gradient of the weighted auxiliary loss by its reconstruction, [B, 2·D].
    pub(super) gradient: Vec<f32>,
    /// Chosen dead latents by token.
    pub(super) entries: Entries,
    /// Mean over tokens of ‖e − ê‖²; nothing without dead latents.
    pub(super) squared: Option<f64>,
    chosen: Vec<Chosen>,
}

/// What the auxiliary loss reads.
pub(super) struct Inputs<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) weights: &'a [Weight],
    pub(super) search: &'a Search,
    /// Error of the main reconstruction, [B, 2·D].
    pub(super) error: &'a [f32],
    /// Mean over tokens of ‖e − mean e‖².
    pub(super) spread: f64,
    /// Dead latents, rising.
    pub(super) dead: &'a [u32],
    /// Dead latents per token.
    pub(super) k: usize,
    /// Weight of the loss.
    pub(super) alpha: f64,
}

impl Auxiliary {
    /// No auxiliary loss in this step.
    pub(super) fn clear(&mut self) {
        self.squared = None;
        self.entries.clear();
    }

    /// Chooses per token the k dead latents with the largest v before selection, reconstructs the error from them, and returns the
    /// unweighted loss: mean ‖e − ê‖² over the mean of ‖e − mean e‖².
    pub(super) fn run(&mut self, inputs: &Inputs) -> f64 {
        self.clear();
        if inputs.dead.is_empty() || inputs.k == 0 || inputs.spread <= 0.0 {
            return 0.0;
        }
        let width = inputs.parameters.decoder_bias.len();
        let rows = inputs.error.len() / width.max(1);
        self.gradient.resize(inputs.error.len(), 0.0);
        self.chosen
            .resize_with(rows.div_ceil(ROWS), Chosen::default);
        self.chosen
            .par_iter_mut()
            .zip(self.gradient.par_chunks_mut(ROWS * width))
            .zip(inputs.error.par_chunks(ROWS * width))
            .enumerate()
            .for_each(|(task, ((chosen, gradient), error))| {
                chosen.run(task * ROWS, rows, gradient, error, inputs);
            });
        for chosen in &self.chosen {
            for &count in &chosen.counts {
                let end = self.entries.offsets.last().copied().unwrap_or(0) + count;
                self.entries.offsets.push(end);
            }
            self.entries.latents.extend_from_slice(&chosen.latents);
            self.entries.f.extend_from_slice(&chosen.f);
            self.entries.df.extend_from_slice(&chosen.df);
            let both = self.entries.latents.len();
            self.entries.models.resize(both, Models::BOTH);
        }
        let squares: f64 = self.chosen.iter().map(|c| c.loss).sum();
        self.squared = Some(squares / rows as f64);
        squares / rows as f64 / inputs.spread
    }
}

impl Chosen {
    fn run(
        &mut self,
        first_row: usize,
        rows: usize,
        gradient: &mut [f32],
        error: &[f32],
        inputs: &Inputs,
    ) {
        let width = inputs.parameters.decoder_bias.len();
        self.counts.clear();
        self.latents.clear();
        self.f.clear();
        self.df.clear();
        self.loss = 0.0;
        let decoder_row = |j: u32| {
            let start = j as usize * width;
            inputs
                .parameters
                .decoder
                .get(start..start + width)
                .unwrap_or_default()
        };
        let factor = (-2.0 * inputs.alpha / (rows as f64 * inputs.spread)) as f32;
        let tokens = gradient
            .chunks_exact_mut(width)
            .zip(error.chunks_exact(width));
        for (i, (gradient, error)) in tokens.enumerate() {
            self.choose(first_row + i, inputs);
            gradient.copy_from_slice(error);
            vectorised(
                #[inline(always)]
                || {
                    for &(_, j, f) in &self.candidates {
                        add_scaled(gradient, -f, decoder_row(j));
                    }
                    self.loss += f64::from(dot(gradient, gradient));
                    for g in gradient.iter_mut() {
                        *g *= factor;
                    }
                    for &(_, j, f) in &self.candidates {
                        self.latents.push(j);
                        self.f.push(f);
                        self.df.push(dot(gradient, decoder_row(j)));
                    }
                },
            );
            self.counts.push(self.candidates.len());
        }
    }

    /// The k dead latents of one token with the largest positive v, by rising latent.
    fn choose(&mut self, row: usize, inputs: &Inputs) {
        let bias = &inputs.parameters.encoder_bias;
        self.candidates.clear();
        for &j in inputs.dead {
            let (Some(b), Some(weight)) = (bias.get(j as usize), inputs.weights.get(j as usize))
            else {
                continue;
            };
            let f = inputs.search.pre(row, j as usize, bias.len()) + b;
            if f > 0.0 {
                self.candidates.push((f * weight.w, j, f));
            }
        }
        if self.candidates.len() > inputs.k {
            self.candidates
                .select_nth_unstable_by(inputs.k - 1, |a, b| {
                    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
                });
            self.candidates.truncate(inputs.k);
        }
        self.candidates.sort_unstable_by_key(|c| c.1);
    }
}
