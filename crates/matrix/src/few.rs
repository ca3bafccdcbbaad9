//! Products of few rows: every number of the matrix is read once, straight from the file, so that memory is the limit.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::columns::{Block, blocks};
use crate::number::Number;
use crate::stored::StoredRows;
use crate::wide::{add_product, widest};
use crate::{Mapped, Matrix};

/// Up to so many rows of x, reading the matrix takes longer than the arithmetic.
pub(crate) const FEW: usize = 8;
/// Rows of the matrix that are read side by side.
const SIDE: usize = 4;
/// Rows per task where inner products are taken.
const TASK_ROWS: usize = 32;
/// Columns per task where rows are added up: their sums fit the first cache.
const TASK_COLUMNS: usize = 4096;
/// Multiplications below which one core is quicker.
const PARALLEL: usize = 1 << 16;

/// x·wᵀ. However many rows x has, the numbers of one are summed in the same order.
pub(crate) fn products<T: Number>(w: &impl StoredRows, x: Matrix<'_>, arch: Arch) -> Vec<f32> {
    let (count, rows) = (x.rows, w.count());
    let mut by_row = vec![0.0; rows * count];
    if by_row.is_empty() {
        return by_row;
    }
    let placed: Vec<Vec<f32>> = (0..count)
        .map(|n| {
            arch.dispatch(Place::<T> {
                row: x.row(n),
                number: PhantomData,
            })
        })
        .collect();
    let task = |(task, out): (usize, &mut [f32])| {
        arch.dispatch(Products::<_, T> {
            w,
            first: task * TASK_ROWS,
            x: &placed,
            out,
            number: PhantomData,
        });
    };
    let size = TASK_ROWS * count;
    if rows * w.width() < PARALLEL {
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

/// A row of x with its numbers where [`Number::unpack`] puts their factors; what fills no two vectors stays where it is.
struct Place<'a, T> {
    row: &'a [f32],
    number: PhantomData<T>,
}

impl<T: Number> WithSimd for Place<'_, T> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let mut placed = self.row.to_vec();
        let size = 2 * S::F32_LANES;
        let chunks = placed
            .chunks_exact_mut(size)
            .zip(self.row.chunks_exact(size));
        for (placed, row) in chunks {
            for (number, x) in row.iter().enumerate() {
                if let Some(place) = placed.get_mut(T::place(number, S::F32_LANES)) {
                    *place = *x;
                }
            }
        }
        placed
    }
}

/// The products of every row of x with rows from `first` on, into `out` `[rows, N]`.
struct Products<'a, W, T> {
    w: &'a W,
    first: usize,
    x: &'a [Vec<f32>],
    out: &'a mut [f32],
    number: PhantomData<T>,
}

impl<W: StoredRows, T: Number> WithSimd for Products<'_, W, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (x, count) = (self.x, self.x.len());
        let (twos, one) = x.as_chunks::<2>();
        // Rows far apart are read side by side, so that each of the streams goes on from row to row.
        let apart = (self.out.len() / count.max(1)).div_ceil(SIDE);
        for first in 0..apart {
            let places: [usize; SIDE] = std::array::from_fn(|i| first + i * apart);
            // Beyond the matrix a row is empty, and beyond the task it has no place.
            let rows = places.map(|place| self.w.bytes(self.first + place));
            let together = rows.iter().all(|row| row.len() == rows[0].len());
            for (n, [a, b]) in twos.iter().enumerate() {
                let x = [a, b].map(Vec::as_slice);
                self.put(2 * n, places, several::<S, T, 2>(simd, rows, x, together));
            }
            for x in one {
                let products = several::<S, T, 1>(simd, rows, [x], together);
                self.put(count - 1, places, products);
            }
        }
    }
}

impl<W, T> Products<'_, W, T> {
    /// Writes the products of rows at `places` with the rows of x from the n-th on.
    #[inline(always)]
    fn put<const XS: usize>(
        &mut self,
        n: usize,
        places: [usize; SIDE],
        products: [[f32; XS]; SIDE],
    ) {
        let count = self.x.len();
        for (place, products) in places.into_iter().zip(products) {
            let out = self.out.get_mut(place * count + n..).unwrap_or_default();
            out.iter_mut().zip(products).for_each(|(out, p)| *out = p);
        }
    }
}

/// Inner products of stored rows with some of x, row by row unless they are of equal length.
#[inline(always)]
fn several<S: Simd, T: Number, const XS: usize>(
    simd: S,
    rows: [&[u8]; SIDE],
    x: [&[f32]; XS],
    together: bool,
) -> [[f32; XS]; SIDE] {
    if together {
        inner_products::<S, T, SIDE, XS>(simd, rows, x)
    } else {
        rows.map(|row| inner_products::<S, T, 1, XS>(simd, [row], x)[0])
    }
}

/// Inner products of stored rows of equal length with rows of x, placed. Every one has one vector of sums, whatever its company, so that its
/// rounding is the same.
#[inline(always)]
fn inner_products<S: Simd, T: Number, const ROWS: usize, const XS: usize>(
    simd: S,
    rows: [&[u8]; ROWS],
    x: [&[f32]; XS],
) -> [[f32; XS]; ROWS] {
    let size = 2 * S::F32_LANES;
    let bytes = size * size_of::<T::Stored>();
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; XS]; ROWS];
    let vectors = x.map(|x| S::as_simd_f32s(x).0.as_chunks::<2>().0);
    let steps = vectors[0].len();
    for step in 0..steps {
        let x = vectors.map(|x| x.get(step).copied().unwrap_or([zero; 2]));
        for (sums, row) in sums.iter_mut().zip(rows) {
            let Some(row) = row.get(step * bytes..(step + 1) * bytes) else {
                return [[0.0; XS]; ROWS];
            };
            let w = T::unpack(simd, row);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(w[0], x[0], *sum);
                *sum = simd.mul_add_e_f32s(w[1], x[1], *sum);
            }
        }
    }
    let mut out = [[0.0; XS]; ROWS];
    for ((out, sums), row) in out.iter_mut().zip(sums).zip(rows) {
        let rest = T::all(row.get(bytes * steps..).unwrap_or_default());
        for ((out, sum), x) in out.iter_mut().zip(sums).zip(x) {
            *out = simd.reduce_sum_f32s(sum);
            let x = x.get(size * steps..).unwrap_or_default();
            for (number, x) in rest.iter().zip(x) {
                *out += T::value(*number) * x;
            }
        }
    }
    out
}

/// x·w, in the same order for every row of x.
pub(crate) fn sums<T: Number>(w: &Mapped, x: Matrix<'_>) -> Vec<f32> {
    let columns = w.columns();
    let mut out = vec![0.0; x.rows * columns];
    let blocks = blocks(&mut out, columns, TASK_COLUMNS).into_par_iter();
    blocks.for_each(|mut block| {
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
            let Some(&[fa, fb, fc, fd]) = x.row(n).get(row..).and_then(<[f32]>::first_chunk) else {
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
