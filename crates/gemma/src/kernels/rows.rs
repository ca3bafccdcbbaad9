//! Rows of f32 tensors on the CPU, and loops over them on all cores where that pays.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};
use matrix::{Matrix, widest};
use rayon::prelude::*;

/// Below this many elements one core is quicker than handing work out.
const PARALLEL: usize = 1 << 14;
/// Elements of a piece of a long row.
const PIECE: usize = 1 << 12;

/// A tensor seen as rows of equal width at equal distances.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    data: &'a [f32],
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) count: usize,
}

impl<'a> Rows<'a> {
    /// Sees all but the last dimension as rows.
    pub(super) fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let CpuStorage::F32(data) = storage else {
            bail!("a fused kernel got a tensor that is not f32")
        };
        let (dims, strides) = (layout.dims(), layout.stride());
        let (Some((&width, rows)), Some((&last, outer))) =
            (dims.split_last(), strides.split_last())
        else {
            bail!("a fused kernel got a scalar")
        };
        let count = rows.iter().product();
        let mut stride = width;
        let mut expected = None;
        for (&dim, &found) in rows.iter().zip(outer).rev().filter(|(dim, _)| **dim != 1) {
            if expected.is_some_and(|expected| expected != found) {
                bail!("a fused kernel got rows at unequal distances: {layout:?}")
            }
            if expected.is_none() {
                stride = found;
            }
            expected = Some(found * dim);
        }
        if last != 1 && width > 1 {
            bail!("a fused kernel got rows that are not contiguous: {layout:?}")
        }
        Ok(Self {
            data: data.get(layout.start_offset()..).unwrap_or_default(),
            stride,
            width,
            count,
        })
    }

    #[inline(always)]
    pub(super) fn row(&self, index: usize) -> &'a [f32] {
        let start = index * self.stride;
        &self.data[start..start + self.width]
    }

    /// The same, for products.
    pub(super) fn matrix(&self) -> Matrix<'a> {
        Matrix {
            data: self.data,
            rows: self.count,
            columns: self.width,
            strides: [self.stride, 1],
        }
    }

    /// All elements from one on; its rows go on at distances of `stride`.
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.stride + column..]
    }
}

/// The elements of a sum so far, or zeros, with room for `spare` more.
pub(super) fn sum_or_zeros(
    sum: Option<&Tensor>,
    elements: usize,
    spare: usize,
) -> Result<Vec<f32>> {
    let mut out = Vec::with_capacity(elements + spare);
    let Some(sum) = sum else {
        out.resize(elements, 0.0);
        return Ok(out);
    };
    let (storage, layout) = sum.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(data)), Some((from, to))) if to - from == elements => {
            out.extend_from_slice(data.get(from..to).unwrap_or_default());
            Ok(out)
        }
        _ => bail!(
            "a gradient is to be added to a sum of shape {:?}",
            layout.dims()
        ),
    }
}

/// Calls `fill(row index, row)` for every row of `out`, which has the processor's widest vectors where it is inlined.
pub(super) fn fill_rows(out: &mut [f32], width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
    let width = width.max(1);
    let fill_block = |first: usize, block: &mut [f32]| {
        widest(
            #[inline(always)]
            |_| {
                for (i, row) in block.chunks_mut(width).enumerate() {
                    fill(first + i, row);
                }
            },
        );
    };
    if out.len() < PARALLEL {
        fill_block(0, out);
        return;
    }
    let rows = (PARALLEL / 2).div_ceil(width);
    let blocks = out.par_chunks_mut(rows * width).enumerate();
    blocks.for_each(|(task, block)| fill_block(task * rows, block));
}

/// As [`fill_rows`] where every element is for itself, so that long rows are cut: `fill(row index, first column, piece of the row)`.
pub(super) fn fill_pieces(
    out: &mut [f32],
    width: usize,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    if width <= PARALLEL {
        fill_rows(
            out,
            width,
            #[inline(always)]
            |i, row| fill(i, 0, row),
        );
        return;
    }
    for (i, row) in out.chunks_mut(width).enumerate() {
        fill_rows(
            row,
            PIECE,
            #[inline(always)]
            |piece, out| fill(i, piece * PIECE, out),
        );
    }
}

/// As [`fill_rows`], for two outputs of the same shape.
pub(super) fn fill_two_rows(
    first: &mut [f32],
    second: &mut [f32],
    width: usize,
    fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let width = width.max(1);
    let rows = (PARALLEL / 4).div_ceil(width);
    let blocks = first
        .par_chunks_mut(rows * width)
        .zip(second.par_chunks_mut(rows * width));
    blocks.enumerate().for_each(|(task, (first, second))| {
        let pairs = first.chunks_mut(width).zip(second.chunks_mut(width));
        widest(
            #[inline(always)]
            |_| {
                for (i, (first, second)) in pairs.enumerate() {
                    fill(task * rows + i, first, second);
                }
            },
        );
    });
}

/// As [`fill_rows`], with a sum over rows beside: `fill(row index, row, sums)` adds to `sums`. The order of summation does not depend on
/// the number of cores.
pub(super) fn fill_rows_and_sum(
    out: &mut [f32],
    width: usize,
    sums: usize,
    fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let width = width.max(1);
    let rows = (PARALLEL / 2).div_ceil(width);
    let partial: Vec<Vec<f32>> = out
        .par_chunks_mut(rows * width)
        .enumerate()
        .map(|(task, block)| {
            let mut sums = vec![0.0; sums];
            widest(
                #[inline(always)]
                |_| {
                    for (i, row) in block.chunks_mut(width).enumerate() {
                        fill(task * rows + i, row, &mut sums);
                    }
                },
            );
            sums
        })
        .collect();
    let mut total = vec![0.0; sums];
    for part in &partial {
        total
            .iter_mut()
            .zip(part)
            .for_each(|(total, part)| *total += part);
    }
    total
}

#[cfg(test)]
pub(super) mod tests {
    use candle_core::{Result, Tensor};

    /// Fails unless the largest difference is within `tolerance` of the largest magnitude.
    pub(in crate::kernels) fn assert_close(
        found: &Tensor,
        expected: &Tensor,
        tolerance: f32,
    ) -> Result<()> {
        assert_eq!(found.dims(), expected.dims());
        let largest = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
        let error = (found - expected)?
            .abs()?
            .flatten_all()?
            .max(0)?
            .to_scalar::<f32>()?;
        assert!(
            largest > 0.0 && error <= tolerance * largest,
            "error {error} of {largest}"
        );
        Ok(())
    }
}
