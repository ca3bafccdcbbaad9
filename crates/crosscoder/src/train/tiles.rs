//! A few columns of a wide matrix at a time.
//!
//! Sparse codes read rows at random. Some columns of all rows, packed side by side, stay in the processor's cache meanwhile; whole rows
//! of thousands of numbers do not.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::add_scaled;

/// Columns of a tile.
pub(super) const COLUMNS: usize = 64;
/// Rows read at random together: with [`COLUMNS`] columns they take two megabytes, a core's own cache.
pub(super) const NEAR_ROWS: usize = 8192;
/// So many rows before its turn, memory is asked for a row.
pub(super) const AHEAD: usize = 8;
/// Partial sums of an inner product.
pub(super) const LANES: usize = 16;
/// Rows per task of packing.
const ROWS: usize = 512;

/// Some neighbouring columns of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) model: usize,
    /// At most [`COLUMNS`] of them.
    pub(super) columns: Range<usize>,
}

impl Tile {
    /// The tile's part of a row of both models.
    #[inline(always)]
    pub(super) fn of<'a>(&self, row: &'a [f32]) -> &'a [f32] {
        row.get(self.columns.clone()).unwrap_or_default()
    }

    /// As [`Tile::of`], to be written.
    #[inline(always)]
    pub(super) fn of_mut<'a>(&self, row: &'a mut [f32]) -> &'a mut [f32] {
        row.get_mut(self.columns.clone()).unwrap_or_default()
    }
}

/// The tiles of rows of `width` numbers: base's half, then chat's. None has columns of both.
pub(super) fn tiles(width: usize) -> impl Iterator<Item = Tile> {
    let half = width / 2;
    let firsts = move |model| (0..half).step_by(COLUMNS).map(move |first| (model, first));
    (0..2).flat_map(firsts).map(move |(model, first)| Tile {
        model,
        columns: model * half + first..model * half + half.min(first + COLUMNS),
    })
}

/// One row of a tile. Vectors that straddle cache lines would take twice as long to read.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Row([f32; COLUMNS]);

/// A tile's columns of every row, and zeros up to [`COLUMNS`].
#[derive(Debug, Default)]
pub(super) struct Packed {
    rows: Vec<Row>,
}

impl Packed {
    /// Takes the tile's columns of a matrix [rows, width].
    pub(super) fn take(&mut self, matrix: &[f32], width: usize, tile: &Tile) {
        self.rows
            .resize(matrix.len() / width.max(1), Row([0.0; COLUMNS]));
        self.rows
            .par_chunks_mut(ROWS)
            .zip(matrix.par_chunks(ROWS * width.max(1)))
            .for_each(|(packed, rows)| {
                let rows = || rows.chunks_exact(width.max(1));
                let mut next = rows().skip(AHEAD);
                for (packed, row) in packed.iter_mut().zip(rows()) {
                    if let Some(row) = next.next() {
                        matrix::soon(tile.of(row));
                    }
                    packed.0 = padded(tile.of(row));
                }
            });
    }

    /// One row; zeros where there is none.
    #[inline(always)]
    pub(super) fn row(&self, row: u32) -> &[f32; COLUMNS] {
        const NONE: [f32; COLUMNS] = [0.0; COLUMNS];
        self.rows.get(row as usize).map_or(&NONE, |row| &row.0)
    }

    /// Asks memory for a row.
    #[inline(always)]
    pub(super) fn ask(&self, row: u32) {
        if let Some(row) = self.rows.get(row as usize) {
            matrix::soon(&row.0);
        }
    }
}

/// Some numbers, and zeros up to [`COLUMNS`].
#[inline(always)]
pub(super) fn padded(values: &[f32]) -> [f32; COLUMNS] {
    if let Ok(whole) = values.try_into() {
        return whole;
    }
    let mut padded = [0.0; COLUMNS];
    for (slot, value) in padded.iter_mut().zip(values) {
        *slot = *value;
    }
    padded
}

/// start + Σ factor·row. The sums stay in registers: an array of all columns would not.
#[inline(always)]
pub(super) fn add_rows<'a>(
    start: [f32; COLUMNS],
    rows: impl Iterator<Item = (f32, &'a [f32; COLUMNS])>,
) -> [f32; COLUMNS] {
    let mut sums = start;
    let Ok([a, b, c, d]): Result<&mut [[f32; LANES]; COLUMNS / LANES], _> =
        sums.as_chunks_mut::<LANES>().0.try_into()
    else {
        return start;
    };
    let (mut e, mut f, mut g, mut h) = (*a, *b, *c, *d);
    for (factor, row) in rows {
        let Ok([s, t, u, v]): Result<&[[f32; LANES]; COLUMNS / LANES], _> =
            row.as_chunks::<LANES>().0.try_into()
        else {
            continue;
        };
        add_scaled(&mut e, factor, s);
        add_scaled(&mut f, factor, t);
        add_scaled(&mut g, factor, u);
        add_scaled(&mut h, factor, v);
    }
    (*a, *b, *c, *d) = (e, f, g, h);
    sums
}

/// Inner product of two padded tiles, some columns apart added up; [`total`] of them is the whole.
#[inline(always)]
pub(super) fn products(a: &[f32; COLUMNS], b: &[f32; COLUMNS]) -> [f32; LANES] {
    let mut sums = [0f32; LANES];
    let parts = a.as_chunks::<LANES>().0.iter();
    for (a, b) in parts.zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums
}

/// Sum of all lanes, halves added to halves.
#[inline(always)]
pub(super) fn total(sums: &[f32; LANES]) -> f32 {
    let (low, high) = sums.split_at(LANES / 2);
    let mut folded = [0f32; LANES / 2];
    for ((fold, a), b) in folded.iter_mut().zip(low).zip(high) {
        *fold = a + b;
    }
    let [a, b, c, d, e, f, g, h] = folded;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_column_once_and_keep_models_apart() {
        for half in [1, 5, COLUMNS, COLUMNS + 1, 3 * COLUMNS - 1] {
            let mut columns = Vec::new();
            for tile in tiles(2 * half) {
                assert!((1..=COLUMNS).contains(&tile.columns.len()), "{tile:?}");
                for column in tile.columns {
                    assert_eq!(usize::from(column >= half), tile.model);
                    columns.push(column);
                }
            }
            assert_eq!(columns, (0..2 * half).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_narrow_tile_after_a_wide_one_is_padded_with_zeros() {
        let width = 2 * (COLUMNS + 1);
        let matrix: Vec<f32> = (0..3 * width).map(|i| 1.0 + i as f32).collect();
        let mut packed = Packed::default();
        for tile in tiles(width) {
            packed.take(&matrix, width, &tile);
            for row in 0..3 {
                let from = row as usize * width;
                let wanted = tile.of(&matrix[from..from + width]);
                assert_eq!(&packed.row(row)[..wanted.len()], wanted);
                assert!(packed.row(row)[wanted.len()..].iter().all(|x| *x == 0.0));
            }
        }
        assert_eq!(packed.row(3), &[0.0; COLUMNS]);
    }
}
