//! Products of many rows: panels of the matrix become f32 in the cache, and dense products use them.

use rayon::prelude::*;

use crate::columns::blocks;
use crate::number::Number;
use crate::wide::widest;
use crate::{Mapped, Matrix};

/// Rows, or columns, of a panel that are outputs.
const OUTPUTS: usize = 128;
/// Most rows, or columns, of a panel that are summed over.
const DEPTH: usize = 1280;
/// Outputs of a panel are a multiple of this, so that vectors are full.
const STEP: usize = 16;

/// Outputs per panel: about `OUTPUTS`, with equally many panels for every thread.
fn width(outputs: usize) -> usize {
    let threads = rayon::current_num_threads().max(1);
    let panels = outputs.div_ceil(OUTPUTS).next_multiple_of(threads);
    outputs.div_ceil(panels.max(1)).next_multiple_of(STEP)
}

/// Equal pieces of at most `DEPTH`: first and length.
fn pieces(depth: usize) -> impl Iterator<Item = (usize, usize)> {
    let piece = depth.div_ceil(depth.div_ceil(DEPTH).max(1));
    (0..depth)
        .step_by(piece.max(1))
        .map(move |first| (first, piece.min(depth - first)))
}

/// x·wᵀ.
pub(crate) fn products<T: Number>(w: &Mapped, x: Matrix<'_>) -> Vec<f32> {
    let rows = w.rows();
    let mut out = vec![0.0; x.rows * rows];
    blocks(&mut out, rows, width(rows)).for_each_init(Vec::new, |panel, mut block| {
        for (first, depth) in pieces(w.columns()) {
            widen(
                panel,
                block.width,
                depth,
                |i| {
                    let row = w.row::<T>(block.first + i);
                    row.get(first..first + depth).unwrap_or_default()
                },
                T::value,
            );
            let weights = Matrix::dense(panel, depth).transposed();
            block.multiply(first > 0, x.columns_from(first, depth), weights);
        }
    });
    out
}

/// x·w.
pub(crate) fn sums<T: Number>(w: &Mapped, x: Matrix<'_>) -> Vec<f32> {
    let columns = w.columns();
    let mut out = vec![0.0; x.rows * columns];
    blocks(&mut out, columns, width(columns)).for_each_init(Vec::new, |panel, mut block| {
        let (start, width) = (block.first, block.width);
        for (first, depth) in pieces(w.rows()) {
            widen(
                panel,
                depth,
                width,
                |i| {
                    let row = w.row::<T>(first + i);
                    row.get(start..start + width).unwrap_or_default()
                },
                T::value,
            );
            let weights = Matrix::dense(panel, width);
            block.multiply(first > 0, x.columns_from(first, depth), weights);
        }
    });
    out
}

/// Fills a panel with `rows` rows of `columns` numbers.
fn widen<'a, S: Copy + 'a>(
    panel: &mut Vec<f32>,
    rows: usize,
    columns: usize,
    row: impl Fn(usize) -> &'a [S],
    value: impl Fn(S) -> f32,
) {
    panel.resize(rows * columns, 0.0);
    widest(
        #[inline(always)]
        |_| {
            for (i, out) in panel.chunks_exact_mut(columns.max(1)).enumerate() {
                for (out, number) in out.iter_mut().zip(row(i)) {
                    *out = value(*number);
                }
            }
        },
    );
}
