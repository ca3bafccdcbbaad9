//! The dense part of encoding: all pre-activations of a batch, and which of them are kept.

use matrix::{Laid, Matrix};
use rayon::prelude::*;

use super::entries::{Entries, Models, running_total};
use super::kernels::{rectify, vectorised};
use super::parameters::{Parameters, Weight};
use super::product::{MAX_BLOCK, block_size};
use super::settle::Screening;
use crate::CodeNormalization;
use crate::select::nth_largest;

/// Activations looked at together in the search for large ones.
const GROUP: usize = 16;
/// From this width on, products are limited by their multiplications alone, and Strassen's product saves time.
pub(super) const DEEP: usize = 1024;
/// Tokens whose codes are added up in f32 before f64 takes over.
const SHORT_SUM: usize = 64;

/// An activation that may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) row: u32,
    pub(super) latent: u32,
    /// f, or an upper bound of it until [`Search::settle`].
    pub(super) f: f32,
}

/// Where a selection cuts: the smallest activation kept, and how many equal to it are.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: f32,
    ties: usize,
}

/// What a latent's codes in a batch add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Activity {
    /// Σ f
    pub(super) sum: f64,
    /// Largest f.
    pub(super) largest: f32,
    /// Tokens with f > 0.
    pub(super) tokens: u32,
}

/// All pre-activations of a batch by block of latents, and the large ones among them.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) rows: usize,
    /// Latents per block; the last block may be smaller.
    block: usize,
    /// Per block [rows, block], row-major: pre-activations without bias or their upper bounds, or codes after [`Search::rectify`].
    pub(super) values: Vec<f32>,
    pub(super) found: Vec<Vec<Found>>,
    pub(super) candidates: Vec<f32>,
    pub(super) screening: Screening,
    /// The batch.
    laid: Laid,
}

impl Search {
    /// Computes all pre-activations of `x` ([rows, width]), or upper bounds that [`Search::settle`] makes exact where needed, and notes
    /// those whose v exceeds a floor: the first if the code is one for both models, else each model's own.
    pub(super) fn run(
        &mut self,
        x: &[f32],
        parameters: &Parameters,
        weights: &[Weight],
        floors: &[f32],
    ) {
        let width = parameters.decoder_bias.len();
        let biases = &parameters.encoder_bias;
        self.resize(x, width, biases.len());
        let block = self.block;
        if self.screening.begins() {
            self.values
                .par_chunks_mut((self.rows * block).max(1))
                .zip(parameters.encoder.par_chunks((block * width).max(1)))
                .zip(self.screening.screen.begin(x, width, biases.len(), block))
                .for_each(|((values, encoder), screen)| screen.run(values, encoder));
        } else {
            self.lay(x, width);
            self.values
                .par_chunks_mut((self.rows * block).max(1))
                .zip(parameters.encoder.par_chunks((block * width).max(1)))
                .for_each(|(values, encoder)| {
                    self.laid.products(Matrix::dense(encoder, width), values);
                });
        }
        self.collect(biases, weights, floors);
    }

    /// Computes all codes of `x` and their sums by latent.
    pub(super) fn rectify(
        &mut self,
        x: &[f32],
        parameters: &Parameters,
        activity: &mut [Activity],
    ) {
        let width = parameters.decoder_bias.len();
        let biases = &parameters.encoder_bias;
        self.resize(x, width, biases.len());
        let block = self.block;
        self.lay(x, width);
        self.values
            .par_chunks_mut((self.rows * block).max(1))
            .zip(parameters.encoder.par_chunks((block * width).max(1)))
            .zip(biases.par_chunks(block).zip(activity.par_chunks_mut(block)))
            .for_each(|((values, encoder), (bias, activity))| {
                self.laid.products(Matrix::dense(encoder, width), values);
                vectorised(
                    #[inline(always)]
                    || rectify_block(values, bias, activity),
                );
            });
    }

    /// Lays the batch out for its products with the encoder.
    fn lay(&mut self, x: &[f32], width: usize) {
        let x = Matrix::dense(x, width);
        if width < DEEP {
            self.laid.lay(x);
        } else {
            self.laid.lay_in_quarters(x);
        }
    }

    fn resize(&mut self, x: &[f32], width: usize, latents: usize) {
        self.rows = x.len() / width.max(1);
        self.block = block_size(latents);
        self.values.resize(self.rows * latents, 0.0);
        self.found
            .resize_with(latents.div_ceil(self.block), Vec::new);
    }

    /// Notes the activations with v above a floor, from the last product.
    pub(super) fn collect(&mut self, bias: &[f32], weights: &[Weight], floors: &[f32]) {
        let block = self.block;
        self.found
            .par_iter_mut()
            .zip(self.values.par_chunks((self.rows * block).max(1)))
            .zip(bias.par_chunks(block).zip(weights.par_chunks(block)))
            .enumerate()
            .for_each(|(i, ((found, values), (bias, weights)))| {
                let gates = Gates::new(bias, weights, floors.len());
                vectorised(
                    #[inline(always)]
                    || gates.collect(found, i * block, values, floors),
                );
            });
    }

    /// Every block's values, [rows, block].
    pub(super) fn blocks(&self) -> impl IndexedParallelIterator<Item = &[f32]> {
        self.values.par_chunks((self.rows * self.block).max(1))
    }

    /// Latents per block.
    pub(super) fn block(&self) -> usize {
        self.block.max(1)
    }

    /// Values of some tokens in every block, [tokens, block] each.
    pub(super) fn tokens(
        &self,
        first: usize,
        count: usize,
        latents: usize,
    ) -> impl Iterator<Item = &[f32]> {
        let (rows, block) = (self.rows, self.block());
        self.values
            .chunks((rows * block).max(1))
            .enumerate()
            .map(move |(i, values)| {
                let width = block.min(latents - i * block);
                values
                    .get(first * width..(first + count) * width)
                    .unwrap_or_default()
            })
    }

    /// Pre-activation without bias of one token and latent.
    pub(super) fn pre(&self, row: usize, latent: usize, latents: usize) -> f32 {
        let block = self.block();
        let i = latent / block;
        let width = block.min(latents - i * block);
        self.values
            .get(i * block * self.rows + row * width + latent % block)
            .copied()
            .unwrap_or(0.0)
    }

    /// Keeps the `count` largest v of the batch, of each model's v where it has its own; of equal ones, those of earlier tokens, then
    /// of smaller latents. `floors` are those of the last [`Search::run`]. Returns the smallest v kept of every selection, 0 if there
    /// is none.
    pub(super) fn keep_largest(
        &mut self,
        count: usize,
        floors: &[f32],
        bias: &[f32],
        weights: &[Weight],
        entries: &mut Entries,
    ) -> [f32; 2] {
        let mut cuts = Vec::with_capacity(floors.len());
        for (model, &floor) in floors.iter().enumerate() {
            let above = |s: &mut Self, floor: f32| {
                s.candidates.clear();
                let v = s
                    .found
                    .iter()
                    .flatten()
                    .map(|c| c.f * gate(weights, c.latent, model))
                    .filter(|v| *v > floor);
                s.candidates.extend(v);
            };
            above(self, floor);
            if self.candidates.len() < count && floor > 0.0 {
                let zeros = [0.0; 2];
                self.collect(bias, weights, zeros.get(..floors.len()).unwrap_or(&zeros));
                above(self, 0.0);
            }
            cuts.push(if self.candidates.len() > count {
                let (at, ties) = nth_largest(&mut self.candidates, count);
                Cut { at, ties }
            } else {
                Cut {
                    at: 0f32.next_up(),
                    ties: usize::MAX,
                }
            });
        }
        self.keep_from(&cuts, weights, entries);
        if (0..cuts.len()).any(|model| entries.count(model) > count) {
            drop_ties(&cuts, weights, entries);
        }
        let mut smallest = [f32::INFINITY; 2];
        for code in entries.all() {
            for (model, least) in smallest.iter_mut().enumerate().take(cuts.len()) {
                if cuts.len() == 1 || code.models.has(model) {
                    *least = least.min(code.f * gate(weights, code.latent, model));
                }
            }
        }
        let [first, second] = smallest.map(|x| if x.is_finite() { x } else { 0.0 });
        [first, if cuts.len() == 1 { first } else { second }]
    }

    /// Keeps what was found above the thresholds.
    pub(super) fn keep_above(
        &mut self,
        thresholds: &[f32],
        weights: &[Weight],
        entries: &mut Entries,
    ) {
        let cuts: Vec<Cut> = thresholds
            .iter()
            .map(|t| Cut {
                at: t.max(0.0).next_up(),
                ties: usize::MAX,
            })
            .collect();
        self.keep_from(&cuts, weights, entries);
    }

    /// Keeps every positive code of [`Search::rectify`].
    pub(super) fn keep_positive(&mut self, latents: usize, entries: &mut Entries) {
        let bias = vec![0.0; latents];
        let weights = vec![Weight::new(CodeNormalization::None, [0.0; 2]); latents];
        self.collect(&bias, &weights, &[0.0]);
        self.keep_above(&[0.0], &weights, entries);
    }

    /// Sorts what was found at or above the cuts by token; blocks come in rising order, so latents rise within a token.
    fn keep_from(&mut self, cuts: &[Cut], weights: &[Weight], entries: &mut Entries) {
        let models = |c: &Found| match cuts {
            [cut] if c.f * gate(weights, c.latent, 0) >= cut.at => Models::BOTH,
            [base, chat] => Models::of([
                c.f * gate(weights, c.latent, 0) >= base.at,
                c.f * gate(weights, c.latent, 1) >= chat.at,
            ]),
            _ => Models::NONE,
        };
        self.by_token(models, entries);
    }

    /// What was found, by token.
    pub(super) fn by_token(&self, models: impl Fn(&Found) -> Models, entries: &mut Entries) {
        entries.clear();
        entries.offsets.resize(self.rows + 1, 0);
        for c in self.found.iter().flatten() {
            if models(c) != Models::NONE
                && let Some(n) = entries.offsets.get_mut(c.row as usize + 1)
            {
                *n += 1;
            }
        }
        let total = running_total(&mut entries.offsets);
        entries.resize(total);
        let mut next = entries.offsets.clone();
        for c in self.found.iter().flatten() {
            let kept = models(c);
            if kept != Models::NONE
                && let Some(at) = next.get_mut(c.row as usize)
            {
                entries.set(*at, c.latent, c.f, kept);
                *at += 1;
            }
        }
    }
}

/// What a latent's f is multiplied with in a selection: the first for both models, or a model's own.
pub(super) fn gate(weights: &[Weight], latent: u32, model: usize) -> f32 {
    weights
        .get(latent as usize)
        .and_then(|w| w.gates.get(model))
        .copied()
        .unwrap_or(0.0)
}

/// Removes entries with v equal to a cut beyond its ties.
fn drop_ties(cuts: &[Cut], weights: &[Weight], entries: &mut Entries) {
    let all = std::mem::take(entries);
    let mut left: Vec<usize> = cuts.iter().map(|c| c.ties).collect();
    entries.clear();
    for row in 0..all.offsets.len().saturating_sub(1) {
        for code in all.row(row) {
            let mut models = code.models;
            for ((model, cut), left) in cuts.iter().enumerate().zip(&mut left) {
                if code.f * gate(weights, code.latent, model) != cut.at {
                    continue;
                }
                if *left > 0 {
                    *left -= 1;
                } else if cuts.len() == 1 {
                    models = Models::NONE;
                } else {
                    models = models.without(model);
                }
            }
            if models != Models::NONE {
                entries.push(code.latent, code.f, models);
            }
        }
        entries.end_row();
    }
}

#[inline(always)]
fn rectify_block(values: &mut [f32], bias: &[f32], activity: &mut [Activity]) {
    let width = bias.len();
    let (mut largest, mut tokens) = ([0f32; MAX_BLOCK], [0u32; MAX_BLOCK]);
    activity.fill(Activity::default());
    for rows in values.chunks_mut((SHORT_SUM * width).max(1)) {
        let mut sums = [0f32; MAX_BLOCK];
        for row in rows.chunks_exact_mut(width.max(1)) {
            rectify(row, bias, &mut sums, &mut largest, &mut tokens);
        }
        for (activity, sum) in activity.iter_mut().zip(sums) {
            activity.sum += f64::from(sum);
        }
    }
    for (activity, (largest, tokens)) in activity.iter_mut().zip(largest.iter().zip(tokens)) {
        activity.largest = *largest;
        activity.tokens = tokens;
    }
}

/// Biases and gates of a block of latents in groups, padded so that what is beyond the block is never found.
struct Gates {
    bias: [[f32; GROUP]; MAX_BLOCK / GROUP],
    /// By selection.
    weights: [[[f32; GROUP]; MAX_BLOCK / GROUP]; 2],
    width: usize,
}

impl Gates {
    fn new(bias: &[f32], weights: &[Weight], selections: usize) -> Self {
        let mut gates = Self {
            bias: [[0.0; GROUP]; MAX_BLOCK / GROUP],
            weights: [[[0.0; GROUP]; MAX_BLOCK / GROUP]; 2],
            width: bias.len(),
        };
        for (slot, bias) in gates.bias.as_flattened_mut().iter_mut().zip(bias) {
            *slot = *bias;
        }
        for (model, slots) in gates.weights.iter_mut().enumerate().take(selections) {
            for (slot, weight) in slots.as_flattened_mut().iter_mut().zip(weights) {
                *slot = weight.gates.get(model).copied().unwrap_or(0.0);
            }
        }
        gates
    }

    /// Notes a block's activations with v above a floor, token by token.
    #[inline(always)]
    fn collect(&self, found: &mut Vec<Found>, first: usize, values: &[f32], floors: &[f32]) {
        found.clear();
        let [base, chat] = &self.weights;
        match *floors {
            [floor] => self.scan(found, first, values, [(base, floor)]),
            [one, other] => self.scan(found, first, values, [(base, one), (chat, other)]),
            _ => {}
        }
    }

    #[inline(always)]
    fn scan<const N: usize>(
        &self,
        found: &mut Vec<Found>,
        first: usize,
        values: &[f32],
        selections: [(&[[f32; GROUP]; MAX_BLOCK / GROUP], f32); N],
    ) {
        for (row, values) in values.chunks_exact(self.width.max(1)).enumerate() {
            for (g, (pre, bias)) in values.chunks(GROUP).zip(&self.bias).enumerate() {
                let mut any = false;
                for (weights, floor) in selections {
                    let Some(weights) = weights.get(g) else {
                        continue;
                    };
                    any |= exceeds(pre, bias, weights, floor);
                }
                if !any {
                    continue;
                }
                for (i, (p, b)) in pre.iter().zip(bias).enumerate() {
                    let hit = selections.iter().any(|(weights, floor)| {
                        let w = weights.get(g).and_then(|w| w.get(i)).unwrap_or(&0.0);
                        (p + b) * w > *floor
                    });
                    if hit {
                        found.push(Found {
                            row: row as u32,
                            latent: (first + g * GROUP + i) as u32,
                            f: p + b,
                        });
                    }
                }
            }
        }
    }
}

/// Whether any (pre + bias)·w exceeds the floor.
#[inline(always)]
fn exceeds(pre: &[f32], bias: &[f32; GROUP], weights: &[f32; GROUP], floor: f32) -> bool {
    let mut hits = 0u32;
    if let Some(pre) = pre.first_chunk::<GROUP>() {
        for ((p, b), w) in pre.iter().zip(bias).zip(weights) {
            hits |= u32::from((p + b) * w > floor);
        }
    } else {
        for ((p, b), w) in pre.iter().zip(bias).zip(weights) {
            hits |= u32::from((p + b) * w > floor);
        }
    }
    hits != 0
}
