//! Reconstruction from sparse codes, and the codes' gradients: some tokens per task, some columns at a time.

use rayon::prelude::*;

use super::entries::Entries;
use super::forward::ROWS;
use super::kernels::{add_scaled, vectorised};
use super::tiles::{Packed, Tile, dot_tiles, padded, tiles};

/// error −= codes·decoder, for all tokens; `error` is [B, width], `decoder` [F, width].
pub(super) fn subtract(
    error: &mut [f32],
    width: usize,
    entries: &Entries,
    decoder: &[f32],
    packed: &mut Packed,
) {
    for tile in tiles(width) {
        packed.take(decoder, width, &tile);
        let packed = &*packed;
        error
            .par_chunks_mut(ROWS * width)
            .enumerate()
            .for_each(|(task, error)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (i, row) in error.chunks_exact_mut(width).enumerate() {
                            subtract_tile(
                                tile.of_mut(row),
                                task * ROWS + i,
                                entries,
                                &tile,
                                packed,
                            );
                        }
                    },
                );
            });
    }
}

#[inline(always)]
fn subtract_tile(error: &mut [f32], row: usize, entries: &Entries, tile: &Tile, packed: &Packed) {
    let mut sums = padded(error);
    for code in entries.row(row) {
        if code.models.has(tile.model) {
            add_scaled(&mut sums, -code.f, packed.row(code.latent));
        }
    }
    for (error, sum) in error.iter_mut().zip(sums) {
        *error = sum;
    }
}

/// Adds to every code's gradient, `df`, the inner product of its decoder row and its token's gradient by x̂ ([B, width]).
pub(super) fn add_code_gradients(
    df: &mut [f32],
    gradient: &[f32],
    width: usize,
    entries: &Entries,
    decoder: &[f32],
    packed: &mut Packed,
) {
    for tile in tiles(width) {
        packed.take(decoder, width, &tile);
        let packed = &*packed;
        let mut tasks = Vec::with_capacity(gradient.len().div_ceil(ROWS * width));
        let mut rest = &mut *df;
        for (task, gradient) in gradient.chunks(ROWS * width).enumerate() {
            let count = entries.count_of(task * ROWS..(task + 1) * ROWS);
            let df = rest.split_off_mut(..count).unwrap_or_default();
            tasks.push((task * ROWS, gradient, df));
        }
        tasks.into_par_iter().for_each(|(first, gradient, df)| {
            vectorised(
                #[inline(always)]
                || {
                    let mut df = df.iter_mut();
                    for (i, row) in gradient.chunks_exact(width).enumerate() {
                        let gradient = padded(tile.of(row));
                        for (code, df) in entries.row(first + i).zip(&mut df) {
                            if code.models.has(tile.model) {
                                *df += dot_tiles(&gradient, packed.row(code.latent));
                            }
                        }
                    }
                },
            );
        });
    }
}
