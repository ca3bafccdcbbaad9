//! Reconstruction, loss and its gradients by reconstruction and code, token by token.

use rayon::prelude::*;

use super::Settings;
use super::entries::Entries;
use super::kernels::{add_moments, add_scaled, dot};
use super::parameters::{Parameters, Weight};
use crate::Kind;

/// Tokens per task. Partial sums are kept per task and added in order.
pub(super) const ROWS: usize = 64;

/// What one task adds up.
#[derive(Clone, Debug, Default)]
struct Partial {
    /// Σ ‖e_m‖, Σ ‖e_m‖² over tokens and models.
    norm: f64,
    square: f64,
    /// Σ v
    sparsity: f64,
    /// Per column: Σ e, Σ e², Σ x, Σ x².
    columns: [Vec<f64>; 4],
    /// Per column: Σ of the gradient by reconstruction.
    gradient: Vec<f64>,
}

/// Sums of a pass over a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// Mean over tokens and models of ‖e‖.
    pub(super) l2: f64,
    /// Mean over tokens and models of ‖e‖².
    pub(super) mse: f64,
    /// Mean over tokens of Σ_j v_j.
    pub(super) sparsity: f64,
    /// Per model: Σ_d of the unbiased variances of error and activations.
    pub(super) error_variance: [f64; 2],
    pub(super) variance: [f64; 2],
    /// Mean over tokens of ‖e − mean e‖², both models together.
    pub(super) error_spread: f64,
    /// [2·D]: gradient by the decoder bias.
    pub(super) bias_gradient: Vec<f32>,
}

impl Sums {
    /// Fraction of variance explained, base and chat.
    pub(super) fn fve(&self) -> [f64; 2] {
        let [base, chat] = self.error_variance;
        [1.0 - base / self.variance[0], 1.0 - chat / self.variance[1]]
    }

    /// Fraction of variance explained, both models together.
    pub(super) fn fve_total(&self) -> f64 {
        1.0 - self.error_variance.iter().sum::<f64>() / self.variance.iter().sum::<f64>()
    }
}

/// Buffers of the pass, [B, 2·D] each.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Activations, normalised.
    pub(super) x: Vec<f32>,
    /// Error x − x̂.
    pub(super) error: Vec<f32>,
    /// Gradient of the loss by x̂.
    pub(super) gradient: Vec<f32>,
    partials: Vec<Partial>,
}

/// One task's slices.
struct Task<'a> {
    first_row: usize,
    x: &'a [f32],
    error: &'a mut [f32],
    gradient: &'a mut [f32],
    df: &'a mut [f32],
    partial: &'a mut Partial,
}

impl Pass {
    /// Sets the sizes for a batch of `rows` tokens.
    pub(super) fn resize(&mut self, rows: usize, width: usize) {
        for buffer in [&mut self.x, &mut self.error, &mut self.gradient] {
            buffer.resize(rows * width, 0.0);
        }
        self.partials
            .resize_with(rows.div_ceil(ROWS), Partial::default);
    }

    /// Reconstructs every token from its codes; fills error, gradient by x̂, and, in `entries`, gradient by f.
    pub(super) fn run(
        &mut self,
        parameters: &Parameters,
        weights: &[Weight],
        entries: &mut Entries,
        settings: &Settings,
    ) -> Sums {
        let width = parameters.decoder_bias.len();
        let rows = self.x.len() / width.max(1);
        // Codes are read by row while their gradients are written: the gradients are taken out for the time.
        let mut df = std::mem::take(&mut entries.df);
        let shared = &*entries;
        let mut rest = df.as_mut_slice();
        let mut tasks = Vec::with_capacity(self.partials.len());
        let chunks = self
            .x
            .chunks(ROWS * width)
            .zip(self.error.chunks_mut(ROWS * width))
            .zip(self.gradient.chunks_mut(ROWS * width))
            .zip(&mut self.partials);
        for (i, (((x, error), gradient), partial)) in chunks.enumerate() {
            let first_row = i * ROWS;
            let offset = |row: usize| shared.offsets.get(row.min(rows)).copied().unwrap_or(0);
            let count = offset(first_row + ROWS) - offset(first_row);
            let df = rest.split_off_mut(..count).unwrap_or_default();
            tasks.push(Task {
                first_row,
                x,
                error,
                gradient,
                df,
                partial,
            });
        }
        tasks
            .into_par_iter()
            .for_each(|task| task.run(parameters, weights, shared, settings, rows));
        entries.df = df;
        self.sum(rows, width)
    }

    fn sum(&self, rows: usize, width: usize) -> Sums {
        let count = rows as f64;
        let total = |f: &dyn Fn(&Partial) -> f64| self.partials.iter().map(f).sum::<f64>();
        let column = |which: usize, d: usize| -> f64 {
            self.partials
                .iter()
                .filter_map(|p| p.columns.get(which)?.get(d))
                .sum()
        };
        let mut sums = Sums {
            l2: total(&|p| p.norm) / (2.0 * count),
            mse: total(&|p| p.square) / (2.0 * count),
            sparsity: total(&|p| p.sparsity) / count,
            ..Sums::default()
        };
        for d in 0..width {
            let model = usize::from(d >= width / 2);
            let spread = |sum: f64, square: f64| (square - sum * sum / count).max(0.0);
            let error = spread(column(0, d), column(1, d));
            let x = spread(column(2, d), column(3, d));
            sums.error_variance[model] += error / (count - 1.0);
            sums.variance[model] += x / (count - 1.0);
            sums.error_spread += error / count;
            let gradient: f64 = self.partials.iter().filter_map(|p| p.gradient.get(d)).sum();
            sums.bias_gradient.push(gradient as f32);
        }
        sums
    }
}

impl Task<'_> {
    fn run(
        self,
        parameters: &Parameters,
        weights: &[Weight],
        entries: &Entries,
        settings: &Settings,
        rows: usize,
    ) {
        let width = parameters.decoder_bias.len();
        let partial = self.partial;
        (partial.norm, partial.square, partial.sparsity) = (0.0, 0.0, 0.0);
        for column in partial.columns.iter_mut().chain([&mut partial.gradient]) {
            column.clear();
            column.resize(width, 0.0);
        }
        // Every token and model has the same share in the mean.
        let share = 1.0 / (2.0 * rows as f32);
        let penalty = match settings.kind {
            Kind::L1 => settings.l1_penalty as f32 / rows as f32,
            Kind::BatchTopK => 0.0,
        };
        let squared = settings.kind == Kind::L1 && settings.use_mse_loss;
        let decoder_row = |j: usize| {
            parameters
                .decoder
                .get(j * width..(j + 1) * width)
                .unwrap_or_default()
        };
        let mut df = self.df.iter_mut();
        let tokens = self
            .x
            .chunks_exact(width)
            .zip(self.error.chunks_exact_mut(width))
            .zip(self.gradient.chunks_exact_mut(width));
        for (i, ((x, error), gradient)) in tokens.enumerate() {
            let row = self.first_row + i;
            for ((e, x), b) in error.iter_mut().zip(x).zip(&parameters.decoder_bias) {
                *e = x - b;
            }
            for (j, f) in entries.row(row) {
                add_scaled(error, -f, decoder_row(j));
            }
            let models = error
                .chunks_exact(width / 2)
                .zip(gradient.chunks_exact_mut(width / 2));
            for (error, gradient) in models {
                let square = dot(error, error);
                let norm = square.sqrt();
                partial.norm += f64::from(norm);
                partial.square += f64::from(square);
                let factor = match (squared, norm > 0.0) {
                    (true, _) => -2.0 * share,
                    (false, true) => -share / norm,
                    (false, false) => 0.0,
                };
                for (g, e) in gradient.iter_mut().zip(error) {
                    *g = factor * e;
                }
            }
            for ((j, f), df) in entries.row(row).zip(&mut df) {
                let w = weights.get(j).map_or(0.0, |w| w.w);
                partial.sparsity += f64::from(f * w);
                *df = dot(gradient, decoder_row(j)) + penalty * w;
            }
            let [error_sum, error_square, x_sum, x_square] = &mut partial.columns;
            add_moments(error_sum, error_square, error);
            add_moments(x_sum, x_square, x);
            for (sum, &g) in partial.gradient.iter_mut().zip(&*gradient) {
                *sum += f64::from(g);
            }
        }
    }
}
