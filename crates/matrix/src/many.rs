//! Products of many rows: pieces of the matrix become f32 in the layout of the innermost loops, in one pass, and stay in the cache while
//! all rows of x go by.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd};
use rayon::prelude::*;

use crate::ahead::{ahead, ahead_of};
use crate::columns::{Block, blocks};
use crate::number::Number;
use crate::stored::StoredRows;
use crate::tile::{
    Grouped, Measure, Shape, UNIT, WithGroups, add_products, aligned, lay_columns, lay_spread,
    lay_turned, or_zero,
};
use crate::{Mapped, Matrix};

/// Outputs of a task, about.
pub(crate) const OUTPUTS: usize = 96;
/// Numbers of a piece of a tile: they stay in the first cache while a task's outputs go by.
const TILE: usize = 4096;
/// Rows of x that go by together.
pub(crate) const ROWS: usize = 512;

/// x·wᵀ.
pub(crate) fn products<T: Number>(w: &Mapped, x: Matrix<'_>, arch: Arch) -> Vec<f32> {
    let outputs = w.rows();
    let Shape { lanes, group } = arch.dispatch(WithGroups(Measure));
    let mut out = vec![0.0; x.rows * outputs];
    let mut buffer = Vec::new();
    for (first, out) in parts(&mut out, outputs) {
        let x = lay(&mut buffer, x, first..first + out.len() / outputs, lanes);
        let task = |scratch: &mut Scratch, block: Block<'_>| {
            arch.dispatch(WithGroups(Products {
                w,
                x,
                block,
                scratch,
                number: PhantomData::<T>,
            }));
        };
        let blocks = blocks(out, outputs, width(outputs, group)).into_par_iter();
        blocks.for_each_init(Scratch::default, task);
    }
    out
}

/// Lays some rows of x out as vectors, on all cores.
pub(crate) fn lay<'a>(
    buffer: &'a mut Vec<f32>,
    x: Matrix<'_>,
    rows: Range<usize>,
    lanes: usize,
) -> &'a [f32] {
    let depth = x.columns.next_multiple_of(UNIT);
    let laid = aligned(buffer, rows.len().next_multiple_of(lanes) * depth);
    let tiles = laid.par_chunks_mut(2 * lanes * depth).enumerate();
    tiles.for_each(|(tile, out)| {
        let first = rows.start + tile * 2 * lanes;
        let row = |row| {
            let here = first + row;
            if here < rows.end { x.row(here) } else { &[] }
        };
        lay_turned(out, out.len() / depth, row);
    });
    laid
}

/// x·w.
pub(crate) fn sums<T: Number>(w: &Mapped, x: Matrix<'_>, arch: Arch) -> Vec<f32> {
    let (outputs, depth) = (w.columns(), w.rows().next_multiple_of(UNIT));
    let Shape { lanes, group } = arch.dispatch(WithGroups(Measure));
    let mut out = vec![0.0; x.rows * outputs];
    let mut buffer = Vec::new();
    for (first, out) in parts(&mut out, outputs) {
        let rows = out.len() / outputs;
        let laid = aligned(&mut buffer, rows.next_multiple_of(group) * depth);
        let groups = laid.par_chunks_mut(group * depth).enumerate();
        groups.for_each(|(number, out)| {
            let first = first + number * group;
            arch.dispatch(WithGroups(Spread {
                x,
                first,
                depth,
                out,
            }));
        });
        let x = &*laid;
        let task = |scratch: &mut Scratch, block: Block<'_>| {
            arch.dispatch(WithGroups(Sums {
                w,
                x,
                block,
                scratch,
                number: PhantomData::<T>,
            }));
        };
        let blocks = blocks(out, outputs, width(outputs, 2 * lanes)).into_par_iter();
        blocks.for_each_init(Scratch::default, task);
    }
    out
}

/// Rows of the result that are computed together, with the first one's number.
fn parts(out: &mut [f32], outputs: usize) -> impl Iterator<Item = (usize, &mut [f32])> {
    let parts = out.chunks_mut((ROWS * outputs).max(1)).enumerate();
    parts.map(|(part, out)| (part * ROWS, out))
}

/// Outputs per task: about `OUTPUTS`, with equally many tasks for every thread, and a multiple of `step`.
fn width(outputs: usize, step: usize) -> usize {
    let threads = rayon::current_num_threads().max(1);
    let tasks = outputs.div_ceil(OUTPUTS).next_multiple_of(threads);
    outputs.div_ceil(tasks.max(1)).next_multiple_of(step)
}

/// Equal pieces of a depth, which is a multiple of `UNIT`.
pub(crate) fn pieces(depth: usize, lanes: usize) -> impl Iterator<Item = Range<usize>> {
    let most = (TILE / (2 * lanes)).max(UNIT);
    let piece = depth.div_ceil(depth.div_ceil(most).max(1));
    let piece = piece.next_multiple_of(UNIT).max(UNIT);
    (0..depth)
        .step_by(piece)
        .map(move |first| first..(first + piece).min(depth))
}

/// A task's own memory, used again by the thread's next one.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) panel: Vec<f32>,
    pub(crate) sums: Vec<f32>,
}

/// Adds the products of all rows of x, laid out `depth` deep, with a panel, which is a piece of some outputs, to `sums`,
/// `[tile][output][width]`. `before` is called at each group of every tile.
#[inline(always)]
pub(crate) fn add_piece<S: Simd, const R: usize>(
    simd: S,
    (x, depth): (&[f32], usize),
    (panel, piece): (&[f32], Range<usize>),
    sums: &mut [f32],
    mut before: impl FnMut(),
) {
    let tile = 2 * S::F32_LANES;
    let outputs = panel.len() / piece.len();
    let tiles = x.chunks(tile * depth).map(|x| {
        let width = x.len() / depth;
        let x = x.get(piece.start * width..piece.end * width);
        (x.unwrap_or_default(), width)
    });
    let after = tiles.clone().skip(1).map(|(x, _)| x).chain([&[][..]]);
    for ((vectors, after), sums) in tiles.zip(after).zip(sums.chunks_mut(tile * outputs)) {
        let groups = panel.chunks_exact(R * piece.len());
        let mut vectors_ahead = ahead_of(after, groups.len());
        add_products::<S, R>(simd, vectors, groups, sums, || {
            before();
            vectors_ahead.step();
        });
    }
}

/// Writes sums, `[tile][output][width]`, as a block's rows.
#[inline(always)]
pub(crate) fn write(block: &mut Block<'_>, sums: &[f32], outputs: usize, tile: usize) {
    for (number, sums) in sums.chunks(tile * outputs).enumerate() {
        let width = sums.len() / outputs;
        for lane in 0..width.min(block.rows.saturating_sub(number * tile)) {
            let sums = sums.iter().skip(lane).step_by(width);
            let out = block.row(number * tile + lane).iter_mut();
            out.zip(sums).for_each(|(out, sum)| *out = *sum);
        }
    }
}

/// A block of x·wᵀ: rows of x, laid out already, fill vectors, and rows of w are spread.
pub(crate) struct Products<'a, W, T> {
    pub(crate) w: &'a W,
    pub(crate) x: &'a [f32],
    pub(crate) block: Block<'a>,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) number: PhantomData<T>,
}

impl<W: StoredRows, T: Number> Grouped for Products<'_, W, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let (w, mut block) = (self.w, self.block);
        let (first, outputs) = (block.first, block.width.next_multiple_of(R));
        let depth = w.width().next_multiple_of(UNIT);
        let rows = self.x.len() / depth;
        let tile = 2 * S::F32_LANES;
        let steps = rows.div_ceil(tile) * outputs / R;
        let sums = aligned(&mut self.scratch.sums, outputs * rows);
        sums.fill(0.0);
        let mut pieces = pieces(depth, S::F32_LANES).peekable();
        while let Some(piece) = pieces.next() {
            let panel = aligned(&mut self.scratch.panel, outputs * piece.len());
            let numbers = piece.start..piece.end.min(w.width());
            let row = |row: usize| {
                let here = (row < block.width).then(|| w.numbers::<T>(first + row));
                let here = here.and_then(|row| row.get(numbers.clone()));
                here.unwrap_or_default()
            };
            lay_spread::<_, R>(panel, piece.len(), row, or_zero(T::value));
            // What comes next: the same rows' next piece, or most probably the following rows.
            let (rows, next) = match pieces.peek() {
                Some(next) => (first, next.clone()),
                None => (first + block.width, 0..piece.len()),
            };
            let next = next.start..next.end.min(w.width());
            let mut ahead = ahead(w, rows..rows + block.width, bytes::<T>(&next), steps);
            add_piece::<S, R>(simd, (self.x, depth), (panel, piece), sums, || ahead.step());
        }
        write(&mut block, sums, outputs, tile);
    }
}

/// Rows of x in the layout of a group.
struct Spread<'a> {
    x: Matrix<'a>,
    first: usize,
    depth: usize,
    out: &'a mut [f32],
}

impl Grouped for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _: S) {
        let row = |row| self.x.row(self.first + row);
        lay_spread::<_, R>(self.out, self.depth, row, or_zero(|x: f32| x));
    }
}

/// A block of x·w: columns of w fill vectors, and rows of x, laid out already, are spread.
struct Sums<'a, T> {
    w: &'a Mapped,
    x: &'a [f32],
    block: Block<'a>,
    scratch: &'a mut Scratch,
    number: PhantomData<T>,
}

impl<T: Number> Grouped for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let (w, mut block) = (self.w, self.block);
        let outputs = block.width.next_multiple_of(S::F32_LANES);
        let columns = block.first..block.first + block.width;
        let depth = w.rows().next_multiple_of(UNIT);
        let rows = self.x.len() / depth;
        let tile = 2 * S::F32_LANES;
        let steps = outputs.div_ceil(tile) * rows / R;
        let sums = aligned(&mut self.scratch.sums, outputs * rows);
        sums.fill(0.0);
        let mut pieces = pieces(depth, S::F32_LANES).peekable();
        while let Some(piece) = pieces.next() {
            let panel = aligned(&mut self.scratch.panel, outputs * piece.len());
            let row = |row: usize| {
                let row = w.row::<T>(piece.start + row);
                row.get(columns.clone()).unwrap_or_default()
            };
            lay_columns::<T::Stored>(panel, [piece.len(), tile], row, T::value);
            // What comes next: the same columns further down, or most probably the following columns.
            let (rows_then, then) = match pieces.peek() {
                Some(next) => (next.clone(), columns.clone()),
                None => (0..piece.len(), columns.end..columns.end + block.width),
            };
            let then = then.start..then.end.min(w.columns());
            let mut ahead = ahead(w, rows_then, bytes::<T>(&then), steps);
            let tiles = panel.chunks(tile * piece.len());
            for (vectors, sums) in tiles.zip(sums.chunks_mut(tile * rows)) {
                let width = vectors.len() / piece.len();
                let groups = self.x.chunks_exact(R * depth).map(|group| {
                    let piece = piece.start * R..piece.end * R;
                    group.get(piece).unwrap_or_default()
                });
                add_products::<S, R>(simd, (vectors, width), groups, sums, || ahead.step());
            }
        }
        for (number, sums) in sums.chunks(tile * rows).enumerate() {
            let width = sums.len() / rows;
            for (row, sums) in sums.chunks_exact(width).take(block.rows).enumerate() {
                let out = block.row(row).get_mut(number * tile..).unwrap_or_default();
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum);
            }
        }
    }
}

/// Where some numbers of a row lie.
pub(crate) fn bytes<T: Number>(numbers: &Range<usize>) -> Range<usize> {
    let size = size_of::<T::Stored>();
    numbers.start * size..numbers.end * size
}
