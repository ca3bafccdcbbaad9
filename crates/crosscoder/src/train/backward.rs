//! Gradients of every parameter from sparse or dense codes.

use rayon::prelude::*;

use super::Settings;
use super::entries::ByLatent;
use super::kernels::{add_scaled, dot, gate_gradient, vectorised};
use super::parameters::{Parameters, Weight};
use super::product::{MAX_BLOCK, Matrix, Write, multiply};
use super::search::{Activity, Search};
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

/// Fills encoder, encoder bias and decoder gradients of latents that have codes in the batch, and returns the sum of squares of
/// these. Rows of other latents are left as they were: the update treats them as zero.
pub(super) fn sparse_gradients(inputs: &Inputs, sparse: &Sparse, out: &mut Parameters) -> f64 {
    let width = inputs.parameters.decoder_bias.len();
    let squares: Vec<f64> = out
        .encoder
        .par_chunks_mut(LATENTS * width)
        .zip(out.decoder.par_chunks_mut(LATENTS * width))
        .zip(out.encoder_bias.par_chunks_mut(LATENTS))
        .enumerate()
        .map(|(task, ((encoder, decoder), bias))| {
            let latents = encoder
                .chunks_exact_mut(width)
                .zip(decoder.chunks_exact_mut(width))
                .zip(bias);
            let mut squares = 0.0;
            for (i, ((encoder, decoder), bias)) in latents.enumerate() {
                let j = task * LATENTS + i;
                *bias = 0.0;
                if sparse.codes.touches(j) {
                    let mut rows = Rows {
                        encoder,
                        decoder,
                        bias,
                    };
                    squares += vectorised(
                        #[inline(always)]
                        || latent_gradient(inputs, sparse, j, &mut rows),
                    );
                }
            }
            squares
        })
        .collect();
    squares.iter().sum()
}

#[inline(always)]
fn latent_gradient(inputs: &Inputs, sparse: &Sparse, j: usize, out: &mut Rows) -> f64 {
    let width = out.encoder.len();
    let dead = sparse.dead.get(j).copied().unwrap_or(false);
    let by_reconstruction = if dead { sparse.auxiliary } else { inputs.main };
    out.encoder.fill(0.0);
    out.decoder.fill(0.0);
    let mut sum = 0f32;
    for code in sparse.codes.latent(j) {
        let start = code.row as usize * width;
        let from_x = inputs.x.get(start..start + width).unwrap_or_default();
        let from_g = by_reconstruction
            .get(start..start + width)
            .unwrap_or_default();
        let part = code.models.part(width);
        add_scaled(out.encoder, code.df, from_x);
        if let (Some(decoder), Some(g)) = (out.decoder.get_mut(part.clone()), from_g.get(part)) {
            add_scaled(decoder, code.f, g);
        }
        *out.bias += code.df;
        sum += code.f;
    }
    if inputs.settings.kind == Kind::L1 {
        add_weight_gradient(inputs, j, f64::from(sum), out.decoder);
    }
    out.square()
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
    let x = Matrix::new(inputs.x, width);
    let main = Matrix::new(inputs.main, width);
    df.resize(codes.len(), 0.0);
    multiply(df, main, Matrix::new(own, width).transposed(), Write::Set);
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
    let by_pre = Matrix::new(df, latents).transposed();
    multiply(encoder, by_pre, x, Write::Set);
    multiply(
        decoder,
        Matrix::new(codes, latents).transposed(),
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

/// Adds the penalty's gradient through the code weight, μ·(Σ_b f/B)·∂w/∂d, to a decoder row's; 0 for a zero norm.
#[inline(always)]
fn add_weight_gradient(inputs: &Inputs, j: usize, sum: f64, out: &mut [f32]) {
    let width = out.len();
    let rows = inputs.x.len() / width.max(1);
    let factor = (inputs.settings.l1_penalty * sum / rows as f64) as f32;
    let row = inputs
        .parameters
        .decoder
        .get(j * width..(j + 1) * width)
        .unwrap_or_default();
    let norms = inputs.weights.get(j).copied().unwrap_or_default().norms;
    let both = norms[0].hypot(norms[1]);
    let inverse = |x: f32| if x > 0.0 { 1.0 / x } else { 0.0 };
    let coefficient = |norm: f32| match inputs.settings.code_normalization {
        // L1 has one code for both models, whose weight is the sum of the norms under DECOUPLED too.
        CodeNormalization::Crosscoder | CodeNormalization::Decoupled => inverse(norm),
        CodeNormalization::Sae => inverse(both),
        CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } => alpha_sae as f32 * inverse(both) + alpha_cc as f32 * inverse(norm),
        CodeNormalization::None => 0.0,
    };
    let half = (width / 2).max(1);
    let models = out.chunks_exact_mut(half).zip(row.chunks_exact(half));
    for ((out, row), norm) in models.zip(norms) {
        add_scaled(out, factor * coefficient(norm), row);
    }
}
