//! Products of few rows: every number of the matrix is read once, straight from the file, so that memory is the limit.

use rayon::prelude::*;

use crate::columns::{Block, blocks};
use crate::number::Number;
use crate::wide::{add_product, widest};
use crate::{Mapped, Matrix};

/// Up to so many rows of x, reading the matrix takes longer than the arithmetic.
pub(crate) const FEW: usize = 4;
/// Rows of the matrix that are read side by side.
const SIDE: usize = 4;
/// Rows per task where rows are multiplied, a multiple of `SIDE`.
const TASK_ROWS: usize = 64;
/// Columns per task where rows are added up: their sums fit the first cache.
const TASK_COLUMNS: usize = 4096;
/// Partial sums of one inner product.
const LANES: usize = 32;
/// Multiplications below which one core is quicker.
const PARALLEL: usize = 1 << 16;

/// x·wᵀ.
pub(crate) fn products<T: Number>(w: &Mapped, x: Matrix<'_>) -> Vec<f32> {
    let (count, rows) = (x.rows, w.rows());
    let mut by_row = vec![0.0; rows * count];
    if by_row.is_empty() {
        return by_row;
    }
    let task = |(task, out): (usize, &mut [f32])| {
        widest(
            #[inline(always)]
            |fused| {
                let first = task * TASK_ROWS;
                if fused {
                    some_products::<T, true>(w, first, x, out);
                } else {
                    some_products::<T, false>(w, first, x, out);
                }
            },
        );
    };
    let size = TASK_ROWS * count;
    if rows * w.columns() < PARALLEL {
        by_row.chunks_mut(size).enumerate().for_each(task);
    } else {
        by_row.par_chunks_mut(size).enumerate().for_each(task);
    }
    if count == 1 {
        return by_row;
    }
    let of = |n: usize| by_row.iter().skip(n).step_by(count).copied();
    (0..count).flat_map(of).collect()
}

/// The products of every row of x with rows from `first` on, `[rows, N]`.
#[inline(always)]
fn some_products<T: Number, const FUSED: bool>(
    w: &Mapped,
    first: usize,
    x: Matrix<'_>,
    out: &mut [f32],
) {
    let count = x.rows;
    let mut chunks = out.chunks_exact_mut(SIDE * count);
    let mut row = first;
    for out in &mut chunks {
        let rows: [&[T::Stored]; SIDE] = std::array::from_fn(|i| w.row::<T>(row + i));
        for n in 0..count {
            let dots = dots::<T, SIDE, FUSED>(rows, x.row(n));
            for (out, dot) in out.iter_mut().skip(n).step_by(count).zip(dots) {
                *out = dot;
            }
        }
        row += SIDE;
    }
    for out in chunks.into_remainder().chunks_exact_mut(count) {
        for (n, out) in out.iter_mut().enumerate() {
            [*out] = dots::<T, 1, FUSED>([w.row::<T>(row)], x.row(n));
        }
        row += 1;
    }
}

/// Inner products of stored rows with x.
#[inline(always)]
fn dots<T: Number, const ROWS: usize, const FUSED: bool>(
    rows: [&[T::Stored]; ROWS],
    x: &[f32],
) -> [f32; ROWS] {
    let mut lanes = [[0f32; LANES]; ROWS];
    let (chunks, rest) = x.as_chunks::<LANES>();
    let split = rows.map(|row| row.as_chunks::<LANES>());
    for (i, x) in chunks.iter().enumerate() {
        for (lanes, (row, _)) in lanes.iter_mut().zip(&split) {
            let Some(row) = row.get(i) else { continue };
            for ((lane, number), x) in lanes.iter_mut().zip(row).zip(x) {
                *lane = add_product::<FUSED>(*lane, T::value(*number), *x);
            }
        }
    }
    let mut out = [0.0; ROWS];
    for ((out, lanes), (_, last)) in out.iter_mut().zip(&mut lanes).zip(&split) {
        let mut width = LANES / 2;
        while width > 0 {
            let (low, high) = lanes.split_at_mut(width);
            for (low, high) in low.iter_mut().zip(high) {
                *low += *high;
            }
            width /= 2;
        }
        let rest = last.iter().zip(rest);
        *out = rest.fold(lanes[0], |sum, (number, x)| {
            add_product::<FUSED>(sum, T::value(*number), *x)
        });
    }
    out
}

/// x·w.
pub(crate) fn sums<T: Number>(w: &Mapped, x: Matrix<'_>) -> Vec<f32> {
    let columns = w.columns();
    let mut out = vec![0.0; x.rows * columns];
    blocks(&mut out, columns, TASK_COLUMNS).for_each(|mut block| {
        widest(
            #[inline(always)]
            |fused| {
                if fused {
                    some_sums::<T, true>(w, x, &mut block);
                } else {
                    some_sums::<T, false>(w, x, &mut block);
                }
            },
        );
    });
    out
}

/// The sums of a block of columns.
#[inline(always)]
fn some_sums<T: Number, const FUSED: bool>(w: &Mapped, x: Matrix<'_>, block: &mut Block<'_>) {
    let columns = block.first..block.first + block.width;
    let part = |row: usize| w.row::<T>(row).get(columns.clone()).unwrap_or_default();
    let whole = x.columns - x.columns % SIDE;
    for row in (0..whole).step_by(SIDE) {
        let [a, b, c, d]: [&[T::Stored]; SIDE] = std::array::from_fn(|i| part(row + i));
        for n in 0..x.rows {
            let Some(&[fa, fb, fc, fd]) = x.row(n).get(row..).and_then(<[f32]>::first_chunk)
            else {
                continue;
            };
            let out = block.row(n).iter_mut();
            for ((((out, a), b), c), d) in out.zip(a).zip(b).zip(c).zip(d) {
                let mut sum = add_product::<FUSED>(*out, T::value(*a), fa);
                sum = add_product::<FUSED>(sum, T::value(*b), fb);
                sum = add_product::<FUSED>(sum, T::value(*c), fc);
                *out = add_product::<FUSED>(sum, T::value(*d), fd);
            }
        }
    }
    for row in whole..x.columns {
        let numbers = part(row);
        for n in 0..x.rows {
            let Some(factor) = x.row(n).get(row) else {
                continue;
            };
            for (out, number) in block.row(n).iter_mut().zip(numbers) {
                *out = add_product::<FUSED>(*out, T::value(*number), *factor);
            }
        }
    }
}
