//! Strassen's product (Numerische Mathematik 13, 1969): both factors in quarters, and seven products of sums of quarters instead of eight
//! of quarters. Large products are limited by their multiplications; the sums are made while factors are laid out.

use std::ops::Range;

use pulp::{Arch, Simd};
use rayon::prelude::*;

use crate::Matrix;
use crate::ahead::{Ahead, ahead};
use crate::columns::{Block, blocks_to};
use crate::many::{Scratch, add_piece, bytes, pieces, write};
use crate::tile::{
    Grouped, UNIT, WithGroups, aligned, lay_spread, lay_turned, line_start, or_zero,
};

/// Outputs of a quarter that are computed together, about. Every product passes over x and w anew, so they are more than elsewhere.
const OUTPUTS: usize = 192;
/// Rows of a quarter that go by together.
const ROWS: usize = 1024;

/// A quarter, added or taken away: half of the rows, of the columns, and whether it is taken away.
type Term = (usize, usize, bool);

const fn plus(row: usize, column: usize) -> Term {
    (row, column, false)
}

const fn less(row: usize, column: usize) -> Term {
    (row, column, true)
}

/// The seven products: what is added up of x, and of w, whose rows are outputs, and where the product goes, by rows and outputs.
#[rustfmt::skip] // a table
const PRODUCTS: [[&[Term]; 3]; 7] = [
    [&[plus(0, 0), plus(1, 1)], &[plus(0, 0), plus(1, 1)], &[plus(0, 0), plus(1, 1)]],
    [&[plus(1, 0), plus(1, 1)], &[plus(0, 0)], &[plus(1, 0), less(1, 1)]],
    [&[plus(0, 0)], &[plus(1, 0), less(1, 1)], &[plus(0, 1), plus(1, 1)]],
    [&[plus(1, 1)], &[plus(0, 1), less(0, 0)], &[plus(0, 0), plus(1, 0)]],
    [&[plus(0, 0), plus(0, 1)], &[plus(1, 1)], &[less(0, 0), plus(0, 1)]],
    [&[plus(1, 0), less(0, 0)], &[plus(0, 0), plus(1, 0)], &[plus(1, 1)]],
    [&[plus(0, 1), less(1, 1)], &[plus(0, 1), plus(1, 1)], &[plus(0, 0)]],
];

/// The size of a half; the second one may be smaller.
#[derive(Clone, Copy)]
struct Halves {
    size: usize,
    all: usize,
}

impl Halves {
    fn new(all: usize, unit: usize) -> Self {
        Self {
            size: all.div_ceil(2).next_multiple_of(unit),
            all,
        }
    }

    /// The place in the whole of a place in a half, if there is one.
    fn place(self, half: usize, at: usize) -> Option<usize> {
        let place = half * self.size + at;
        (place < self.all).then_some(place)
    }

    /// A half's places, or those of a part of it.
    fn part(self, half: usize, part: Range<usize>) -> Range<usize> {
        let place = |at: usize| (half * self.size + at).min(self.all);
        place(part.start)..place(part.end)
    }
}

/// Lays the seven sums of quarters of x out, one after the other, on all cores.
pub(crate) fn lay(buffer: &mut Vec<f32>, x: Matrix<'_>, lanes: usize) {
    let (rows, columns) = (Halves::new(x.rows, 1), Halves::new(x.columns, UNIT));
    let depth = columns.size;
    let size = rows.size.next_multiple_of(lanes) * depth;
    let laid = aligned(buffer, PRODUCTS.len() * size);
    for ([of_x, ..], laid) in PRODUCTS.iter().zip(laid.chunks_mut(size.max(1))) {
        let tiles = laid.par_chunks_mut(2 * lanes * depth).enumerate();
        tiles.for_each_init(Vec::new, |sums, (tile, out)| {
            let width = out.len() / depth;
            sums.clear();
            sums.resize(out.len(), 0.0);
            for &(half, side, minus) in *of_x {
                for (row, sums) in sums.chunks_exact_mut(depth).enumerate() {
                    let at = tile * 2 * lanes + row;
                    let place = rows.place(half, at).filter(|_| at < rows.size);
                    let numbers =
                        place.and_then(|row| x.row(row).get(columns.part(side, 0..depth)));
                    let numbers = numbers.unwrap_or_default().iter();
                    sums.iter_mut().zip(numbers).for_each(add(minus));
                }
            }
            let row = |row: usize| sums.chunks_exact(depth).nth(row).unwrap_or_default();
            lay_turned(out, width, row);
        });
    }
}

/// Adds a number, or takes it away.
#[inline(always)]
fn add(minus: bool) -> impl Fn((&mut f32, &f32)) {
    let sign = if minus { -1.0 } else { 1.0 };
    move |(sum, number)| *sum += sign * number
}

/// Writes x·wᵀ, `[N, M]`, for x that [`lay`] has laid out and w `[M, K]` with neighbouring columns, on this core.
pub(crate) fn products(
    buffer: &[f32],
    rows: usize,
    w: Matrix<'_>,
    out: &mut [f32],
    [lanes, group]: [usize; 2],
) {
    let (rows, columns) = (Halves::new(rows, 1), Halves::new(w.columns, UNIT));
    let (outputs, depth) = (Halves::new(w.rows, group), columns.size);
    let size = rows.size.next_multiple_of(lanes) * depth;
    let from = line_start(buffer);
    let laid = buffer.get(from..from + PRODUCTS.len() * size);
    let laid = || laid.unwrap_or_default().chunks_exact(size);
    // Equal parts of half the outputs: as many of one half as of the other, but for what is beyond the last one.
    let groups = outputs.size / group;
    let count = outputs.size.div_ceil(OUTPUTS);
    let part = |n: usize| groups * n / count * group;
    let ends = |half: usize| (1..=count).map(move |n| half * outputs.size + part(n));
    let (top, bottom) = out.split_at_mut(rows.size * w.rows);
    let mut blocks = [top, bottom].map(|out| {
        let chunks = out.chunks_mut((ROWS * w.rows).max(1));
        let blocks = chunks.map(|out| blocks_to(out, w.rows, ends(0).chain(ends(1))));
        blocks
            .map(|blocks| blocks.into_iter().map(Some).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    });
    let mut own = Own::default();
    for n in 0..count {
        let chunks = (0..rows.size).step_by(ROWS).enumerate();
        for (chunk, first) in chunks {
            let end = (first + ROWS).min(rows.size.next_multiple_of(lanes));
            let mut x = [&[][..]; PRODUCTS.len()];
            for (x, laid) in x.iter_mut().zip(laid()) {
                *x = laid.get(first * depth..end * depth).unwrap_or_default();
            }
            let mut block = |half: usize, side: usize| {
                let blocks = blocks.get_mut(half)?.get_mut(chunk)?;
                blocks.get_mut(side * count + n)?.take()
            };
            Arch::new().dispatch(WithGroups(Seven {
                w,
                outputs,
                columns,
                part: part(n)..part(n + 1),
                x,
                blocks: [[block(0, 0), block(0, 1)], [block(1, 0), block(1, 1)]],
                own: &mut own,
            }));
        }
    }
}

/// A core's own memory: a panel and a product, and what products add up to by quarter.
#[derive(Default)]
struct Own {
    product: Scratch,
    totals: Vec<f32>,
}

/// A part of every quarter of the result.
struct Seven<'a> {
    w: Matrix<'a>,
    outputs: Halves,
    columns: Halves,
    /// Places in half the outputs.
    part: Range<usize>,
    /// By product: the sums of quarters of x, some rows of them.
    x: [&'a [f32]; PRODUCTS.len()],
    /// By half of the rows and half of the outputs.
    blocks: [[Option<Block<'a>>; 2]; 2],
    own: &'a mut Own,
}

impl Grouped for Seven<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let (w, depth, width) = (self.w, self.columns.size, self.part.len());
        let (tile, rows) = (2 * S::F32_LANES, self.x[0].len() / depth);
        let turns = rows.div_ceil(tile) * width / R;
        let size = width * rows;
        let sums = aligned(&mut self.own.product.sums, size);
        let totals = aligned(&mut self.own.totals, 4 * size);
        totals.fill(0.0);
        let mut steps = PRODUCTS
            .iter()
            .zip(self.x)
            .flat_map(|([_, of_w, out], x)| {
                pieces(depth, S::F32_LANES).map(move |piece| (of_w, out, x, piece))
            })
            .peekable();
        while let Some((of_w, out, x, piece)) = steps.next() {
            let panel = aligned(&mut self.own.product.panel, width * piece.len());
            for (number, &(half, side, minus)) in of_w.iter().enumerate() {
                let numbers = self.columns.part(side, piece.clone());
                let row = |row: usize| {
                    let row = self.outputs.place(half, self.part.start + row);
                    let row = row.map(|row| w.row(row));
                    let row = row.and_then(|row| row.get(numbers.clone()));
                    row.unwrap_or_default()
                };
                if number == 0 {
                    lay_spread::<f32, R>(panel, piece.len(), row, or_zero(|x| x));
                } else {
                    let add = add(minus);
                    let put = |sum: &mut f32, x: Option<f32>| add((sum, &x.unwrap_or(0.0)));
                    lay_spread::<f32, R>(panel, piece.len(), row, put);
                }
            }
            if piece.start == 0 {
                sums.fill(0.0);
            }
            let mut next = |term: usize| {
                let next = steps.peek().and_then(|(of_w, _, _, piece)| {
                    let &(half, side, _) = of_w.get(term)?;
                    let numbers = self.columns.part(side, piece.clone());
                    Some((self.outputs.part(half, self.part.clone()), numbers))
                });
                let (rows, numbers) = next.unwrap_or_default();
                ahead(&w, rows, bytes::<f32>(&numbers), turns)
            };
            let mut ahead = [next(0), next(1)];
            let ends = piece.end == depth;
            add_piece::<S, R>(simd, (x, depth), (panel, piece), sums, || {
                ahead.iter_mut().for_each(Ahead::step);
            });
            for &(half, side, minus) in out.iter().filter(|_| ends) {
                let totals = totals.chunks_exact_mut(size).nth(2 * half + side);
                let totals = totals.unwrap_or_default().iter_mut();
                totals.zip(&*sums).for_each(add(minus));
            }
        }
        for (block, totals) in self
            .blocks
            .into_iter()
            .flatten()
            .zip(totals.chunks_exact(size))
        {
            if let Some(mut block) = block {
                write(&mut block, totals, width, tile);
            }
        }
    }
}
