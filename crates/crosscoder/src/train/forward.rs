//! Reconstruction, loss and its gradients by reconstruction and code, some tokens per task.

use matrix::{Matrix, Write};
use rayon::prelude::*;

use super::Settings;
use super::entries::Entries;
use super::kernels::{add_moments, add_to, dot, set_scaled, vectorised};
use super::parameters::{Parameters, Weight};
use super::product::multiply;
use super::search::Search;
use super::sparse::Sparse;
use super::tiles::Packed;
use crate::Kind;

/// Tokens per task. Partial sums are kept per task and added in order.
pub(super) const ROWS: usize = 128;

/// The codes to reconstruct from.
pub(super) enum Codes<'a> {
    /// The few that are kept; their gradients are filled in.
    Sparse(&'a mut Entries),
    /// All of them, from [`Search::rectify`].
    Dense(&'a Search),
}

/// What one task adds up.
#[derive(Clone, Debug, Default)]
struct Partial {
    /// Σ ‖e_m‖, Σ ‖e_m‖² over tokens and models.
    norm: f64,
    square: f64,
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
    /// Mean over tokens of Σ_j v_j; of sparse codes only.
    pub(super) sparsity: f64,
    /// Per model: Σ_d of the unbiased variances of error and activations.
    pub(super) error_variance: [f64; 2],
    pub(super) variance: [f64; 2],
    /// Per model: root mean square over tokens of ‖x‖.
    pub(super) rms: [f64; 2],
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
    /// By token and model: gradient over error.
    factors: Vec<[f32; 2]>,
    /// By model and code: inner product of its decoder row and its token's error.
    products: [Vec<f32>; 2],
    partials: Vec<Partial>,
    /// Columns of the decoder.
    packed: Packed,
}

/// One task's slices.
struct Task<'a> {
    x: &'a [f32],
    error: &'a [f32],
    gradient: &'a mut [f32],
    factors: &'a mut [[f32; 2]],
    partial: &'a mut Partial,
}

impl Pass {
    /// Sets the sizes for a batch of `rows` tokens.
    pub(super) fn resize(&mut self, rows: usize, width: usize) {
        for buffer in [&mut self.x, &mut self.error, &mut self.gradient] {
            buffer.resize(rows * width, 0.0);
        }
        self.factors.resize(rows, [0.0; 2]);
        self.partials
            .resize_with(rows.div_ceil(ROWS), Partial::default);
    }

    /// Reconstructs every token from its codes; fills error, gradient by x̂, and, of sparse codes, gradient by f.
    pub(super) fn run(
        &mut self,
        parameters: &Parameters,
        weights: &[Weight],
        codes: Codes,
        settings: &Settings,
    ) -> Sums {
        let width = parameters.decoder_bias.len();
        let rows = self.x.len() / width.max(1);
        self.begin(&parameters.decoder_bias);
        match &codes {
            Codes::Dense(search) => subtract_dense(&mut self.error, search, parameters),
            Codes::Sparse(entries) => Sparse {
                entries,
                decoder: &parameters.decoder,
                width,
            }
            .subtract(&mut self.error, &mut self.products, &mut self.packed),
        }
        self.differentiate(width, settings.use_mse_loss);
        let mut sums = self.sum(rows, width);
        if let Codes::Sparse(entries) = codes {
            let penalty = match settings.kind {
                Kind::L1 => settings.l1_penalty as f32 / rows as f32,
                Kind::BatchTopK => 0.0,
            };
            // Codes are read by token while their gradients are written: the gradients are taken out for the time.
            let mut df = std::mem::take(&mut entries.df);
            let mut sparsity = 0.0;
            let mut number = 0;
            for (token, factors) in self.factors.iter().enumerate() {
                for code in entries.row(token) {
                    let weight = weights.get(code.latent as usize);
                    let weight = weight.map_or(0.0, |w| w.of(code.models));
                    sparsity += f64::from(code.f * weight);
                    if let (Some(df), Some(base), Some(chat)) = (
                        df.get_mut(number),
                        self.products[0].get(number),
                        self.products[1].get(number),
                    ) {
                        *df = penalty * weight + factors[0] * base + factors[1] * chat;
                    }
                    number += 1;
                }
            }
            sums.sparsity = sparsity / rows as f64;
            entries.df = df;
        }
        sums
    }

    /// error = x − bias
    fn begin(&mut self, bias: &[f32]) {
        let width = bias.len().max(1);
        self.error
            .par_chunks_mut(ROWS * width)
            .zip(self.x.par_chunks(ROWS * width))
            .for_each(|(error, x)| {
                let rows = error.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for (error, x) in rows {
                    for ((e, x), b) in error.iter_mut().zip(x).zip(bias) {
                        *e = x - b;
                    }
                }
            });
    }

    /// Gradients by x̂ and the sums of every task, from the finished error.
    fn differentiate(&mut self, width: usize, squared: bool) {
        let size = ROWS * width.max(1);
        // Every token and model has the same share in the mean.
        let share = width as f32 / (2.0 * self.x.len() as f32);
        self.x
            .par_chunks(size)
            .zip(self.error.par_chunks(size))
            .zip(self.gradient.par_chunks_mut(size))
            .zip(self.factors.par_chunks_mut(ROWS))
            .zip(&mut self.partials)
            .for_each(|((((x, error), gradient), factors), partial)| {
                let task = Task {
                    x,
                    error,
                    gradient,
                    factors,
                    partial,
                };
                task.run(width, share, squared);
            });
    }

    fn sum(&self, rows: usize, width: usize) -> Sums {
        let count = rows as f64;
        let total = |f: &dyn Fn(&Partial) -> f64| self.partials.iter().map(f).sum::<f64>();
        let mut columns: [Vec<f64>; 5] = std::array::from_fn(|_| vec![0.0; width]);
        for partial in &self.partials {
            let parts = partial.columns.iter().chain([&partial.gradient]);
            for (column, part) in columns.iter_mut().zip(parts) {
                for (sum, x) in column.iter_mut().zip(part) {
                    *sum += x;
                }
            }
        }
        let mut sums = Sums {
            l2: total(&|p| p.norm) / (2.0 * count),
            mse: total(&|p| p.square) / (2.0 * count),
            ..Sums::default()
        };
        let [e_sum, e_square, x_sum, x_square, gradient] = &columns;
        let sides = e_sum.iter().zip(e_square).zip(x_sum.iter().zip(x_square));
        for (d, ((e_sum, e_square), (x_sum, x_square))) in sides.enumerate() {
            let model = usize::from(d >= width / 2);
            let spread = |sum: f64, square: f64| (square - sum * sum / count).max(0.0);
            let error = spread(*e_sum, *e_square);
            if let (Some(of_error), Some(of_x), Some(rms)) = (
                sums.error_variance.get_mut(model),
                sums.variance.get_mut(model),
                sums.rms.get_mut(model),
            ) {
                *of_error += error / (count - 1.0);
                *of_x += spread(*x_sum, *x_square) / (count - 1.0);
                *rms += x_square / count;
            }
            sums.error_spread += error / count;
        }
        sums.rms = sums.rms.map(f64::sqrt);
        sums.bias_gradient = gradient.iter().map(|g| *g as f32).collect();
        sums
    }
}

impl Task<'_> {
    fn run(self, width: usize, share: f32, squared: bool) {
        let partial = self.partial;
        (partial.norm, partial.square) = (0.0, 0.0);
        for column in partial.columns.iter_mut().chain([&mut partial.gradient]) {
            column.clear();
            column.resize(width, 0.0);
        }
        let tokens = self
            .x
            .chunks_exact(width)
            .zip(self.error.chunks_exact(width))
            .zip(self.gradient.chunks_exact_mut(width))
            .zip(self.factors);
        vectorised(
            #[inline(always)]
            || {
                for (((x, error), gradient), factors) in tokens {
                    *factors = partial.differentiate(error, gradient, share, squared);
                    let [error_sum, error_square, x_sum, x_square] = &mut partial.columns;
                    add_moments(error_sum, error_square, error);
                    add_moments(x_sum, x_square, x);
                    add_to(&mut partial.gradient, gradient);
                }
            },
        );
    }
}

impl Partial {
    /// Norms of a token's error, and the gradient of the loss by its reconstruction: per model the factor that is returned, times the error.
    #[inline(always)]
    fn differentiate(
        &mut self,
        error: &[f32],
        gradient: &mut [f32],
        share: f32,
        squared: bool,
    ) -> [f32; 2] {
        let half = (error.len() / 2).max(1);
        let models = error
            .chunks_exact(half)
            .zip(gradient.chunks_exact_mut(half));
        let mut factors = [0.0; 2];
        for (slot, (error, gradient)) in factors.iter_mut().zip(models) {
            let square = dot(error, error);
            let norm = square.sqrt();
            self.norm += f64::from(norm);
            self.square += f64::from(square);
            let factor = match (squared, norm > 0.0) {
                (true, _) => -2.0 * share,
                (false, true) => -share / norm,
                (false, false) => 0.0,
            };
            set_scaled(gradient, factor, error);
            *slot = factor;
        }
        factors
    }
}

/// error −= codes·decoder, some tokens per task, block by block.
fn subtract_dense(error: &mut [f32], search: &Search, parameters: &Parameters) {
    let width = parameters.decoder_bias.len().max(1);
    let latents = parameters.encoder_bias.len();
    error
        .par_chunks_mut(ROWS * width)
        .enumerate()
        .for_each(|(task, error)| {
            let rows = error.len() / width;
            let decoders = parameters.decoder.chunks((search.block() * width).max(1));
            for (codes, decoder) in search.tokens(task * ROWS, rows, latents).zip(decoders) {
                multiply(
                    error,
                    Matrix::dense(codes, decoder.len() / width),
                    Matrix::dense(decoder, width),
                    Write::Subtract,
                );
            }
        });
}
