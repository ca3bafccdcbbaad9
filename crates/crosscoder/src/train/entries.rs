//! Sparse codes of a batch: found block by block, selected, kept by token, and turned over to be read by latent.

use rayon::prelude::*;

use super::parameters::Weight;
use super::product::{BLOCK, product};
use crate::select::nth_largest;

/// An activation that may be kept.
#[derive(Clone, Copy, Debug)]
struct Found {
    row: u32,
    latent: u32,
    f: f32,
}

/// Pre-activations of a batch by block of latents, and the large ones among them.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Per block of latents [rows, block], row-major; without bias.
    pre: Vec<f32>,
    found: Vec<Vec<Found>>,
    values: Vec<f32>,
}

/// Codes by token: those of token t lie at `offsets[t]..offsets[t + 1]`, by rising latent.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) offsets: Vec<usize>,
    pub(super) latents: Vec<u32>,
    pub(super) f: Vec<f32>,
    /// Gradient of the loss by f.
    pub(super) df: Vec<f32>,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.latents.len()
    }

    /// Latents and codes of one token.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let range = match (self.offsets.get(row), self.offsets.get(row + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        };
        let latents = self.latents.get(range.clone()).unwrap_or_default();
        let f = self.f.get(range).unwrap_or_default();
        latents.iter().map(|&j| j as usize).zip(f.iter().copied())
    }

    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.offsets.push(0);
        self.latents.clear();
        self.f.clear();
        self.df.clear();
    }
}

impl Search {
    /// Computes all pre-activations of `x` ([rows, width]) and notes those with v > floor.
    pub(super) fn run(
        &mut self,
        x: &[f32],
        encoder: &[f32],
        bias: &[f32],
        weights: &[Weight],
        floor: f32,
    ) {
        let latents = bias.len();
        let width = encoder.len() / latents.max(1);
        let rows = x.len() / width.max(1);
        self.pre.resize(rows * latents, 0.0);
        self.found.resize_with(latents.div_ceil(BLOCK), Vec::new);
        self.found
            .par_iter_mut()
            .zip(self.pre.par_chunks_mut((rows * BLOCK).max(1)))
            .zip(encoder.par_chunks(BLOCK * width))
            .zip(bias.par_chunks(BLOCK).zip(weights.par_chunks(BLOCK)))
            .enumerate()
            .for_each(|(block, (((found, pre), encoder), (bias, weights)))| {
                product(pre, x, encoder, width);
                collect(found, block, pre, bias, weights, floor);
            });
    }

    /// Notes the pre-activations with v > floor again, from the last product.
    fn collect_again(&mut self, bias: &[f32], weights: &[Weight], floor: f32) {
        let rows = self.pre.len() / bias.len().max(1);
        self.found
            .par_iter_mut()
            .zip(self.pre.par_chunks((rows * BLOCK).max(1)))
            .zip(bias.par_chunks(BLOCK).zip(weights.par_chunks(BLOCK)))
            .enumerate()
            .for_each(|(block, ((found, pre), (bias, weights)))| {
                collect(found, block, pre, bias, weights, floor);
            });
    }

    /// Pre-activation without bias of one token and latent.
    pub(super) fn pre(&self, row: usize, latent: usize, rows: usize, latents: usize) -> f32 {
        let block = latent / BLOCK;
        let width = BLOCK.min(latents - block * BLOCK);
        self.pre
            .get(block * BLOCK * rows + row * width + latent % BLOCK)
            .copied()
            .unwrap_or(0.0)
    }

    /// Keeps the `count` largest v of the batch; of equal ones, those of earlier tokens, then of smaller latents. `floor` is the
    /// bound of the last [`Search::run`]. Returns the smallest v kept, 0 if there is none.
    pub(super) fn keep_largest(
        &mut self,
        count: usize,
        floor: f32,
        bias: &[f32],
        weights: &[Weight],
        entries: &mut Entries,
    ) -> f32 {
        let found = |s: &Self| s.found.iter().map(Vec::len).sum::<usize>();
        if found(self) < count && floor > 0.0 {
            self.collect_again(bias, weights, 0.0);
        }
        let rows = self.pre.len() / bias.len().max(1);
        let (mut cut, mut ties) = (0.0, usize::MAX);
        if found(self) > count {
            self.values.clear();
            let v = |c: &Found| c.f * weight(weights, c.latent);
            self.values.extend(self.found.iter().flatten().map(v));
            (cut, ties) = nth_largest(&mut self.values, count);
        }
        self.keep_from(cut, rows, weights, entries);
        if entries.len() > count {
            drop_ties(cut, ties, weights, entries);
        }
        let smallest = entries
            .latents
            .iter()
            .zip(&entries.f)
            .map(|(&j, &f)| f * weight(weights, j))
            .fold(f32::INFINITY, f32::min);
        if smallest.is_finite() { smallest } else { 0.0 }
    }

    /// Keeps everything found.
    pub(super) fn keep_all(&mut self, rows: usize, weights: &[Weight], entries: &mut Entries) {
        self.keep_from(0.0, rows, weights, entries);
    }

    /// Sorts what was found with v ≥ cut by token; blocks come in rising order, so latents rise within a token.
    fn keep_from(&mut self, cut: f32, rows: usize, weights: &[Weight], entries: &mut Entries) {
        let keep = |c: &&Found| c.f * weight(weights, c.latent) >= cut;
        entries.clear();
        entries.offsets.resize(rows + 1, 0);
        for c in self.found.iter().flatten().filter(keep) {
            if let Some(n) = entries.offsets.get_mut(c.row as usize + 1) {
                *n += 1;
            }
        }
        let total = running_total(&mut entries.offsets);
        entries.latents.resize(total, 0);
        entries.f.resize(total, 0.0);
        entries.df.resize(total, 0.0);
        let mut next = entries.offsets.clone();
        for c in self.found.iter().flatten().filter(keep) {
            let Some(at) = next.get_mut(c.row as usize) else {
                continue;
            };
            if let (Some(latent), Some(f)) = (entries.latents.get_mut(*at), entries.f.get_mut(*at))
            {
                (*latent, *f) = (c.latent, c.f);
            }
            *at += 1;
        }
    }
}

fn weight(weights: &[Weight], latent: u32) -> f32 {
    weights.get(latent as usize).map_or(0.0, |w| w.w)
}

/// Turns counts, shifted by one, into offsets; gives the total.
fn running_total(offsets: &mut [usize]) -> usize {
    let mut total = 0;
    for n in offsets {
        total += *n;
        *n = total;
    }
    total
}

/// Removes entries with v equal to the cut beyond the first `ties`.
fn drop_ties(cut: f32, mut ties: usize, weights: &[Weight], entries: &mut Entries) {
    let all = std::mem::take(entries);
    entries.clear();
    for row in 0..all.offsets.len().saturating_sub(1) {
        for (j, f) in all.row(row) {
            let latent = j as u32;
            if f * weight(weights, latent) == cut {
                if ties == 0 {
                    continue;
                }
                ties -= 1;
            }
            entries.latents.push(latent);
            entries.f.push(f);
        }
        entries.offsets.push(entries.latents.len());
    }
    entries.df.resize(entries.latents.len(), 0.0);
}

/// Notes a block's activations with v > floor, token by token.
fn collect(
    found: &mut Vec<Found>,
    block: usize,
    pre: &[f32],
    bias: &[f32],
    weights: &[Weight],
    floor: f32,
) {
    found.clear();
    let mut w = [0f32; BLOCK];
    let mut b = [0f32; BLOCK];
    for (slot, weight) in w.iter_mut().zip(weights) {
        *slot = weight.w;
    }
    for (slot, bias) in b.iter_mut().zip(bias) {
        *slot = *bias;
    }
    let mut hits = [0u32; BLOCK];
    for (row, pre) in pre.chunks_exact(bias.len().max(1)).enumerate() {
        // Without a branch: most entries fail, in no order that a processor could foresee.
        let mut count = 0usize;
        for (j, ((p, b), w)) in pre.iter().zip(&b).zip(&w).enumerate() {
            if let Some(hit) = hits.get_mut(count) {
                *hit = j as u32;
            }
            count += usize::from((p + b) * w > floor);
        }
        for &j in hits.iter().take(count) {
            let at = j as usize;
            if let (Some(p), Some(b)) = (pre.get(at), b.get(at)) {
                found.push(Found {
                    row: row as u32,
                    latent: (block * BLOCK) as u32 + j,
                    f: p + b,
                });
            }
        }
    }
}

/// Codes by latent: those of latent j lie at `offsets[j]..offsets[j + 1]`, by rising token.
#[derive(Clone, Debug, Default)]
pub(super) struct ByLatent {
    pub(super) offsets: Vec<usize>,
    pub(super) rows: Vec<u32>,
    pub(super) f: Vec<f32>,
    pub(super) df: Vec<f32>,
}

impl ByLatent {
    /// Turns over codes by token. The parts have no latent in common.
    pub(super) fn turn(&mut self, parts: [&Entries; 2], latents: usize) {
        self.offsets.clear();
        self.offsets.resize(latents + 1, 0);
        for &j in parts.iter().flat_map(|p| &p.latents) {
            if let Some(n) = self.offsets.get_mut(j as usize + 1) {
                *n += 1;
            }
        }
        let total = running_total(&mut self.offsets);
        self.rows.resize(total, 0);
        self.f.resize(total, 0.0);
        self.df.resize(total, 0.0);
        let mut next = self.offsets.clone();
        for part in parts {
            for (row, bounds) in part.offsets.windows(2).enumerate() {
                let &[from, to] = bounds else { continue };
                for i in from..to {
                    let (Some(&j), Some(&f), Some(&df)) =
                        (part.latents.get(i), part.f.get(i), part.df.get(i))
                    else {
                        continue;
                    };
                    let Some(at) = next.get_mut(j as usize) else {
                        continue;
                    };
                    if let (Some(r), Some(slot_f), Some(slot_df)) = (
                        self.rows.get_mut(*at),
                        self.f.get_mut(*at),
                        self.df.get_mut(*at),
                    ) {
                        (*r, *slot_f, *slot_df) = (row as u32, f, df);
                    }
                    *at += 1;
                }
            }
        }
    }

    /// Whether a latent has codes in the batch.
    pub(super) fn touches(&self, latent: usize) -> bool {
        matches!((self.offsets.get(latent), self.offsets.get(latent + 1)), (Some(from), Some(to)) if from < to)
    }

    /// Token, f and gradient by f of a latent's codes.
    pub(super) fn latent(&self, latent: usize) -> impl Iterator<Item = (usize, f32, f32)> + '_ {
        let range = match (self.offsets.get(latent), self.offsets.get(latent + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        };
        let rows = self.rows.get(range.clone()).unwrap_or_default();
        let f = self.f.get(range.clone()).unwrap_or_default();
        let df = self.df.get(range).unwrap_or_default();
        rows.iter()
            .zip(f)
            .zip(df)
            .map(|((&row, &f), &df)| (row as usize, f, df))
    }
}
