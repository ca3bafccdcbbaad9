//! Gradients of every parameter from sparse or dense codes.

use matrix::{Matrix, Write};
use rayon::prelude::*;

use super::Settings;
use super::entries::{ByLatent, Seen};
use super::kernels::{add_scaled, dot, gate_gradient, vectorised};
use super::parameters::{Parameters, Weight};
use super::product::{MAX_BLOCK, multiply};
use super::search::{Activity, Search};
use super::tiles::{AHEAD, COLUMNS, Packed, add_rows, tiles};
use crate::{CodeNormalization, Kind};

/// Latents per task.
pub(super) const LATENTS: usize = 32;

/// What the gradients are made of.
pub(super) struct Inputs<'a> {
    /// Activations, [B, 2·D].
    pub(super) x: &'a [f32],
    /// Gradient by the reconstruction, [B, 2·D].
    pub(super) main: &'a [f32],
    pub(super) parameters: &'a Parameters,
    pub(super) weights: &'a [Weight],
    pub(super) settings: &'a Settings,
}

/// Sparse codes.
pub(super) struct Sparse<'a> {
    pub(super) codes: &'a ByLatent,
    /// Gradient by the auxiliary reconstruction, [B, 2·D]; read for dead latents only.
    pub(super) auxiliary: &'a [f32],
    pub(super) dead: &'a [bool],
}

/// Dense codes.
pub(super) struct Dense<'a> {
    pub(super) search: &'a Search,
    pub(super) activity: &'a [Activity],
}

/// A latent's rows of the gradients.
struct Rows<'a> {
    encoder: &'a mut [f32],
    decoder: &'a mut [f32],
    bias: &'a mut f32,
}

impl Rows<'_> {
    #[inline(always)]
    fn square(&self) -> f64 {
        f64::from(dot(self.encoder, self.encoder))
            + f64::from(dot(self.decoder, self.decoder))
            + f64::from(*self.bias).powi(2)
    }
}

/// Columns of activations and of both gradients by reconstruction.
#[derive(Debug, Default)]
pub(super) struct Columns {
    x: Packed,
    main: Packed,
    auxiliary: Packed,
}

/// Fills encoder, encoder bias and decoder gradients of latents that have codes in the batch, and returns the sum of squares of
/// these. Rows of other latents are left as they were: the update treats them as zero.
pub(super) fn sparse_gradients(
    inputs: &Inputs,
    sparse: &Sparse,
    columns: &mut Columns,
    out: &mut Parameters,
) -> f64 {
    let width = inputs.parameters.decoder_bias.len();
    let mut squares = bias_gradients(sparse, &mut out.encoder_bias);
    let penalties = penalties(inputs, sparse);
    let any_dead = sparse.dead.iter().any(|dead| *dead);
    for tile in tiles(width) {
        columns.x.take(inputs.x, width, &tile);
        columns.main.take(inputs.main, width, &tile);
        if any_dead {
            columns.auxiliary.take(sparse.auxiliary, width, &tile);
        }
        let columns = &*columns;
        let of_tasks: Vec<f64> = out
            .encoder
            .par_chunks_mut(LATENTS * width)
            .zip(out.decoder.par_chunks_mut(LATENTS * width))
            .enumerate()
            .map(|(task, (encoder, decoder))| {
                let rows = encoder
                    .chunks_exact_mut(width)
                    .zip(decoder.chunks_exact_mut(width));
                vectorised(
                    #[inline(always)]
                    || {
                        let mut squares = 0.0;
                        for (i, (encoder, decoder)) in rows.enumerate() {
                            let j = task * LATENTS + i;
                            let codes = sparse.codes.latent(j);
                            if codes.is_empty() {
                                continue;
                            }
                            let after = sparse.codes.from(j, AHEAD);
                            let by_x = gather(codes, after, &columns.x, |code| code.df);
                            let dead = sparse.dead.get(j).copied().unwrap_or(false);
                            let by_reconstruction = if dead {
                                &columns.auxiliary
                            } else {
                                &columns.main
                            };
                            let mut by_code = gather(codes, after, by_reconstruction, |code| {
                                if code.models.has(tile.model) {
                                    code.f
                                } else {
                                    0.0
                                }
                            });
                            if let Some(penalty) = penalties.get(j) {
                                let from = j * width;
                                let row = inputs.parameters.decoder.get(from..from + width);
                                let row = tile.of(row.unwrap_or_default());
                                let factor = penalty.get(tile.model).copied().unwrap_or(0.0);
                                add_scaled(&mut by_code, factor, row);
                            }
                            squares += f64::from(dot(&by_x, &by_x) + dot(&by_code, &by_code));
                            let rows = tile.of_mut(encoder).iter_mut();
                            let rows = rows
                                .zip(tile.of_mut(decoder))
                                .zip(by_x.iter().zip(&by_code));
                            for ((encoder, decoder), (by_x, by_code)) in rows {
                                (*encoder, *decoder) = (*by_x, *by_code);
                            }
                        }
                        squares
                    },
                )
            })
            .collect();
        squares += of_tasks.iter().sum::<f64>();
    }
    squares
}

/// Fills the gradients by encoder bias; the sum of their squares.
fn bias_gradients(sparse: &Sparse, out: &mut [f32]) -> f64 {
    let mut squares = 0.0;
    for (j, bias) in out.iter_mut().enumerate() {
        *bias = sparse.codes.latent(j).iter().map(|code| code.df).sum();
        squares += f64::from(*bias).powi(2);
    }
    squares
}

/// Per latent and model the factor of its decoder row in the penalty's gradient; nothing without a penalty.
fn penalties(inputs: &Inputs, sparse: &Sparse) -> Vec<[f32; 2]> {
    if inputs.settings.kind != Kind::L1 {
        return Vec::new();
    }
    (0..inputs.weights.len())
        .map(|j| {
            let sum: f32 = sparse.codes.latent(j).iter().map(|code| code.f).sum();
            penalty_factors(inputs, j, f64::from(sum))
        })
        .collect()
}

/// Σ factor·row over a latent's codes; `after` are the codes that come [`AHEAD`] later.
#[inline(always)]
fn gather(
    codes: &[Seen],
    after: &[Seen],
    rows: &Packed,
    factor: impl Fn(&Seen) -> f32,
) -> [f32; COLUMNS] {
    let of_codes = codes.iter().enumerate().map(|(i, code)| {
        if let Some(after) = after.get(i) {
            rows.ask(after.row);
        }
        (factor(code), rows.row(code.row))
    });
    add_rows([0.0; COLUMNS], of_codes)
}

/// As [`sparse_gradients`], of all latents by matrix products, for L1 while many codes are positive.
pub(super) fn dense_gradients(inputs: &Inputs, dense: &Dense, out: &mut Parameters) -> f64 {
    let width = inputs.parameters.decoder_bias.len();
    let block = dense.search.block();
    let squares: Vec<f64> = out
        .encoder
        .par_chunks_mut(block * width)
        .zip(out.decoder.par_chunks_mut(block * width))
        .zip(out.encoder_bias.par_chunks_mut(block))
        .zip(dense.search.blocks())
        .enumerate()
        .map_init(Vec::new, |df, (i, (((encoder, decoder), bias), codes))| {
            let first = i * block;
            block_gradient(
                inputs,
                dense.activity,
                first,
                df,
                codes,
                (encoder, decoder, bias),
            )
        })
        .collect();
    squares.iter().sum()
}

fn block_gradient(
    inputs: &Inputs,
    activity: &[Activity],
    first: usize,
    df: &mut Vec<f32>,
    codes: &[f32],
    (encoder, decoder, bias): (&mut [f32], &mut [f32], &mut [f32]),
) -> f64 {
    let width = inputs.parameters.decoder_bias.len();
    let latents = bias.len();
    let rows = inputs.x.len() / width.max(1);
    let own = inputs
        .parameters
        .decoder
        .get(first * width..(first + latents) * width)
        .unwrap_or_default();
    let x = Matrix::dense(inputs.x, width);
    let main = Matrix::dense(inputs.main, width);
    df.resize(codes.len(), 0.0);
    multiply(df, main, Matrix::dense(own, width).transposed(), Write::Set);
    let mut penalty = [0f32; MAX_BLOCK];
    let share = inputs.settings.l1_penalty as f32 / rows as f32;
    for (i, penalty) in penalty.iter_mut().enumerate().take(latents) {
        *penalty = share * inputs.weights.get(first + i).map_or(0.0, |w| w.w);
    }
    vectorised(
        #[inline(always)]
        || {
            bias.fill(0.0);
            for (df, f) in df
                .chunks_exact_mut(latents.max(1))
                .zip(codes.chunks_exact(latents.max(1)))
            {
                gate_gradient(df, f, &penalty, bias);
            }
        },
    );
    let by_pre = Matrix::dense(df, latents).transposed();
    multiply(encoder, by_pre, x, Write::Set);
    multiply(
        decoder,
        Matrix::dense(codes, latents).transposed(),
        main,
        Write::Set,
    );
    let rows = encoder
        .chunks_exact_mut(width)
        .zip(decoder.chunks_exact_mut(width))
        .zip(bias);
    let mut squares = 0.0;
    for (i, ((encoder, decoder), bias)) in rows.enumerate() {
        let sum = activity.get(first + i).map_or(0.0, |a| a.sum);
        squares += vectorised(
            #[inline(always)]
            || {
                add_weight_gradient(inputs, first + i, sum, decoder);
                Rows {
                    encoder,
                    decoder,
                    bias,
                }
                .square()
            },
        );
    }
    squares
}

/// Factors of a latent's decoder rows in the penalty's gradient through the code weight, μ·(Σ_b f/B)·∂w/∂d; 0 for a zero norm.
#[inline(always)]
fn penalty_factors(inputs: &Inputs, j: usize, sum: f64) -> [f32; 2] {
    let width = inputs.parameters.decoder_bias.len();
    let rows = inputs.x.len() / width.max(1);
    let factor = (inputs.settings.l1_penalty * sum / rows as f64) as f32;
    let norms = inputs.weights.get(j).copied().unwrap_or_default().norms;
    let both = norms[0].hypot(norms[1]);
    let inverse = |x: f32| if x > 0.0 { 1.0 / x } else { 0.0 };
    norms.map(|norm| {
        factor
            * match inputs.settings.code_normalization {
                // L1 has one code for both models, whose weight is the sum of the norms under DECOUPLED too.
                CodeNormalization::Crosscoder | CodeNormalization::Decoupled => inverse(norm),
                CodeNormalization::Sae => inverse(both),
                CodeNormalization::Mixed {
                    alpha_sae,
                    alpha_cc,
                } => alpha_sae as f32 * inverse(both) + alpha_cc as f32 * inverse(norm),
                CodeNormalization::None => 0.0,
            }
    })
}

/// Adds the penalty's gradient to a latent's decoder row.
#[inline(always)]
fn add_weight_gradient(inputs: &Inputs, j: usize, sum: f64, out: &mut [f32]) {
    let width = out.len();
    let row = inputs
        .parameters
        .decoder
        .get(j * width..(j + 1) * width)
        .unwrap_or_default();
    let half = (width / 2).max(1);
    let models = out.chunks_exact_mut(half).zip(row.chunks_exact(half));
    for ((out, row), factor) in models.zip(penalty_factors(inputs, j, sum)) {
        add_scaled(out, factor, row);
    }
}
