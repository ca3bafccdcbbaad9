//! A quick upper bound of every pre-activation: the product in bf16 on the processor's matrix unit, and what rounding may have lost.
//!
//! With x̂ and ŵ rounded to bf16, |x·w − x̂·ŵ| ≤ ‖x − x̂‖·‖w‖ + ‖x̂‖·‖w − ŵ‖ (Cauchy-Schwarz), and summing K products in f32 adds at most
//! K·2⁻²³·‖x̂‖·‖ŵ‖. Selection looks at these bounds first and computes exactly only what may be kept.

use std::sync::Mutex;

use rayon::prelude::*;

use super::amx::{DEPTH, Line, PANEL, STEP_LINES, Sums, Unit};
use super::kernels::{dot, vectorised};

/// Panels of tokens multiplied with all of a block's latents before the next: their sums stay in a core's own cache.
const TOKEN_PANELS: usize = 8;
/// Steps taken before the next panel: a panel's part stays in the first cache.
const STEPS: usize = 18;
/// Words in a row of a tile.
const WORDS: usize = DEPTH / 2;
/// Rows of a tile.
const ROWS: usize = PANEL / 2;
/// Rounding of the norms themselves, which are sums in f32.
const NORM_SLACK: f32 = 1.001;

/// What a row's rounding lost.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    /// ‖x‖ or more.
    norm: f32,
    /// ‖x − x̂‖ or more.
    lost: f32,
}

/// How a panel's tiles lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Row by row.
    Tokens,
    /// Pairs of columns side by side, as the unit reads its second factor.
    Latents,
}

/// Rows in bf16, in panels.
#[derive(Debug, Default)]
struct Panels {
    /// Per panel and step two tiles.
    lines: Vec<Line>,
    rows: Vec<Lost>,
    steps: usize,
}

/// Upper bounds of a batch's pre-activations.
#[derive(Debug, Default)]
pub(super) struct Screen {
    tokens: Panels,
    /// By latent.
    latents: Vec<Lost>,
    width: usize,
    /// Of tasks that are done, to be used again.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Debug, Default)]
struct Scratch {
    latents: Panels,
    sums: Vec<Sums>,
}

/// The part of a screen that one block of latents fills.
pub(super) struct Block<'a> {
    latents: &'a mut [Lost],
    tokens: &'a Panels,
    scratch: &'a Mutex<Vec<Scratch>>,
    width: usize,
}

impl Screen {
    /// Takes in a batch, [rows, width], and gives what each block of `block` of the `latents` is to fill.
    pub(super) fn begin(
        &mut self,
        x: &[f32],
        width: usize,
        latents: usize,
        block: usize,
    ) -> impl IndexedParallelIterator<Item = Block<'_>> {
        self.width = width;
        self.tokens.pack(x, width, Side::Tokens);
        self.latents.resize(latents, Lost::default());
        let (tokens, scratch) = (&self.tokens, &self.scratch);
        self.latents
            .par_chunks_mut(block.max(1))
            .map(move |latents| Block {
                latents,
                tokens,
                scratch,
                width,
            })
    }

    /// By how much a bound exceeds the exact number, at most: twice what may be lost.
    pub(super) fn excess(&self, row: usize, latent: usize) -> f32 {
        match (self.tokens.rows.get(row), self.latents.get(latent)) {
            (Some(x), Some(w)) => 2.0 * may_lose(*x, *w, sum_error(self.width)),
            _ => f32::INFINITY,
        }
    }
}

impl Block<'_> {
    /// Fills `values`, [rows, latents], with upper bounds of x·encoderᵀ. Does nothing where there is no matrix unit.
    pub(super) fn run(self, values: &mut [f32], encoder: &[f32]) {
        let Some(unit) = Unit::open() else {
            return;
        };
        let pop = |pool: &Mutex<Vec<Scratch>>| pool.lock().ok().and_then(|mut p| p.pop());
        let mut scratch = pop(self.scratch).unwrap_or_default();
        scratch.latents.pack(encoder, self.width, Side::Latents);
        self.latents.copy_from_slice(&scratch.latents.rows);
        let count = self.latents.len().max(1);
        let panel = self.tokens.panel_lines();
        let groups = values
            .chunks_mut(TOKEN_PANELS * PANEL * count)
            .zip(self.tokens.lines.chunks(TOKEN_PANELS * panel))
            .zip(self.tokens.rows.chunks(TOKEN_PANELS * PANEL));
        for ((values, tokens), rows) in groups {
            scratch.multiply(&unit, tokens, panel);
            let error = sum_error(self.width);
            vectorised(
                #[inline(always)]
                || scratch.bound(values, rows, tokens.len() / panel, error),
            );
        }
        if let Ok(mut pool) = self.scratch.lock() {
            pool.push(scratch);
        }
    }
}

impl Scratch {
    /// All sums of some panels of tokens with the block's panels of latents, [latent panels, token panels].
    fn multiply(&mut self, unit: &Unit, tokens: &[Line], panel: usize) {
        let panels = (tokens.len() / panel) * (self.latents.lines.len() / panel);
        self.sums.resize(panels, Sums([0.0; PANEL * PANEL]));
        for from in (0..self.latents.steps).step_by(STEPS) {
            let to = (from + STEPS).min(self.latents.steps);
            let part = from * STEP_LINES..to * STEP_LINES;
            let latents = self.latents.lines.chunks_exact(panel);
            let pairs = latents.flat_map(|l| tokens.chunks_exact(panel).map(move |t| (t, l)));
            for (sums, (tokens, latents)) in self.sums.iter_mut().zip(pairs) {
                if let (Some(t), Some(l)) = (tokens.get(part.clone()), latents.get(part.clone())) {
                    unit.multiply(sums, t, l, from > 0);
                }
            }
        }
    }

    /// Writes sums and what may be lost to `values`, [tokens, latents].
    #[inline(always)]
    fn bound(&self, values: &mut [f32], tokens: &[Lost], token_panels: usize, sum_error: f32) {
        let latents = &self.latents.rows;
        let rows = values.chunks_exact_mut(latents.len().max(1)).zip(tokens);
        for (i, (values, x)) in rows.enumerate() {
            let (panel, tile, row) = (i / PANEL, i % PANEL / ROWS, i % ROWS);
            let parts = values.chunks_mut(ROWS).zip(latents.chunks(ROWS));
            for (j, (values, latents)) in parts.enumerate() {
                let sums = self.sums.get(j / 2 * token_panels + panel);
                let at = ((tile * 2 + j % 2) * ROWS + row) * ROWS;
                let sums = sums
                    .and_then(|s| s.0.get(at..at + ROWS))
                    .unwrap_or_default();
                for ((value, sum), w) in values.iter_mut().zip(sums).zip(latents) {
                    *value = sum + may_lose(*x, *w, sum_error);
                }
            }
        }
    }
}

impl Panels {
    fn panel_lines(&self) -> usize {
        (self.steps * STEP_LINES).max(1)
    }

    /// Rounds rows of `width` numbers.
    fn pack(&mut self, rows: &[f32], width: usize, side: Side) {
        let width = width.max(1);
        let count = rows.len() / width;
        self.steps = width.div_ceil(DEPTH);
        self.rows.resize(count, Lost::default());
        let panel = self.panel_lines();
        self.lines
            .resize(count.div_ceil(PANEL) * panel, Line::default());
        let one = |((lines, rows), lost): ((&mut [Line], &[f32]), &mut [Lost])| {
            vectorised(
                #[inline(always)]
                || pack_panel(lines, rows, lost, width, side),
            );
        };
        match side {
            Side::Tokens => self
                .lines
                .par_chunks_mut(panel)
                .zip(rows.par_chunks(PANEL * width))
                .zip(self.rows.par_chunks_mut(PANEL))
                .for_each(one),
            // Within the task of a block.
            Side::Latents => self
                .lines
                .chunks_mut(panel)
                .zip(rows.chunks(PANEL * width))
                .zip(self.rows.chunks_mut(PANEL))
                .for_each(one),
        }
    }
}

/// Rounds the rows of one panel; rows that it lacks are zero.
#[inline(always)]
fn pack_panel(lines: &mut [Line], rows: &[f32], lost: &mut [Lost], width: usize, side: Side) {
    if rows.len() < PANEL * width {
        lines.fill(Line::default());
    }
    for (i, (row, lost)) in rows.chunks_exact(width).zip(lost).enumerate() {
        let (tile, r) = (i / ROWS, i % ROWS);
        let mut error = 0f32;
        for (step, numbers) in lines.chunks_exact_mut(STEP_LINES).zip(row.chunks(DEPTH)) {
            let (rounded, square) = round(numbers);
            error += square;
            let Some(tile) = step.as_chunks_mut::<ROWS>().0.get_mut(tile) else {
                continue;
            };
            match side {
                Side::Tokens => {
                    if let Some(line) = tile.get_mut(r) {
                        line.0 = rounded;
                    }
                }
                Side::Latents => {
                    for (line, word) in tile.iter_mut().zip(rounded) {
                        if let Some(slot) = line.0.get_mut(r) {
                            *slot = word;
                        }
                    }
                }
            }
        }
        *lost = Lost {
            norm: NORM_SLACK * dot(row, row).sqrt(),
            lost: NORM_SLACK * error.sqrt(),
        };
    }
}

/// Up to [`DEPTH`] numbers in bf16, to nearest, in pairs; and the sum of squares of what that loses.
#[inline(always)]
fn round(numbers: &[f32]) -> ([u32; WORDS], f32) {
    let mut padded = [0f32; DEPTH];
    for (slot, x) in padded.iter_mut().zip(numbers) {
        *slot = *x;
    }
    let mut bits = [0u32; DEPTH];
    let mut squares = [0f32; WORDS];
    let halves = bits.as_chunks_mut::<WORDS>().0.iter_mut();
    for (bits, padded) in halves.zip(padded.as_chunks::<WORDS>().0) {
        for ((bits, x), square) in bits.iter_mut().zip(padded).zip(&mut squares) {
            let of = x.to_bits();
            let nearest = of.wrapping_add(0x7fff + ((of >> 16) & 1)) & 0xffff_0000;
            let lost = x - f32::from_bits(nearest);
            *bits = nearest;
            *square += lost * lost;
        }
    }
    let mut words = [0u32; WORDS];
    for (word, pair) in words.iter_mut().zip(bits.as_chunks::<2>().0) {
        let [low, high] = pair;
        *word = (low >> 16) | high;
    }
    (words, squares.iter().sum())
}

/// What summing K products in f32 loses, at most, for vectors of norm 1.
fn sum_error(width: usize) -> f32 {
    width as f32 * f32::EPSILON
}

/// Bound of |x·w − x̂·ŵ|, with the norms of x̂ and ŵ at most ‖x‖ + ‖x − x̂‖.
#[inline(always)]
fn may_lose(x: Lost, w: Lost, sum_error: f32) -> f32 {
    let rounded = x.norm + x.lost;
    x.lost * w.norm + rounded * (w.lost + sum_error * (w.norm + w.lost))
}
