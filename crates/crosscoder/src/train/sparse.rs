//! Reconstruction from sparse codes, and the codes' gradients: some tokens per task, some columns of some latents at a time.

use rayon::prelude::*;

use super::entries::{Blocks, Entries};
use super::forward::ROWS;
use super::kernels::vectorised;
use super::tiles::{
    COLUMNS, LANES, NEAR_ROWS, Packed, Tile, add_rows, padded, products, tiles, total,
};

/// Codes whose products are taken together.
const CODES: usize = 32;

/// Codes, and the decoder rows that they are multiplied with.
pub(super) struct Sparse<'a> {
    pub(super) entries: &'a Entries,
    /// [F, width]
    pub(super) decoder: &'a [f32],
    /// 2·D
    pub(super) width: usize,
}

impl Sparse<'_> {
    /// error −= codes·decoder, for all tokens; `error` is [B, width].
    pub(super) fn subtract(&self, error: &mut [f32], packed: &mut Packed) {
        let width = self.width;
        self.by_tile(packed, |part| {
            error
                .par_chunks_mut(ROWS * width)
                .enumerate()
                .for_each(|(task, error)| {
                    vectorised(
                        #[inline(always)]
                        || {
                            for (i, row) in error.chunks_exact_mut(width).enumerate() {
                                part.subtract(part.tile.of_mut(row), task * ROWS + i);
                            }
                        },
                    );
                });
        });
    }

    /// Adds to every code's gradient, `df`, the inner product of its decoder row and its token's gradient by x̂ ([B, width]).
    pub(super) fn add_code_gradients(&self, df: &mut [f32], gradient: &[f32], packed: &mut Packed) {
        let width = self.width;
        self.by_tile(packed, |part| {
            let mut tasks = Vec::with_capacity(gradient.len().div_ceil(ROWS * width));
            let (mut rest, mut from) = (&mut *df, 0);
            for (task, gradient) in gradient.chunks(ROWS * width).enumerate() {
                let count = self.entries.count_of(task * ROWS..(task + 1) * ROWS);
                let df = rest.split_off_mut(..count).unwrap_or_default();
                tasks.push((task * ROWS, gradient, from, df));
                from += count;
            }
            tasks
                .into_par_iter()
                .for_each(|(first, gradient, from, df)| {
                    vectorised(
                        #[inline(always)]
                        || {
                            for (i, row) in gradient.chunks_exact(width).enumerate() {
                                part.add_code_gradients(part.tile.of(row), first + i, df, from);
                            }
                        },
                    );
                });
        });
    }

    /// Runs over every tile and block of latents, with their part of the decoder packed.
    fn by_tile(&self, packed: &mut Packed, mut run: impl FnMut(&Part)) {
        let width = self.width.max(1);
        let blocks = self.entries.blocks(NEAR_ROWS, self.decoder.len() / width);
        for tile in tiles(width) {
            for (block, decoder) in self.decoder.chunks(NEAR_ROWS * width).enumerate() {
                packed.take(decoder, width, &tile);
                run(&Part {
                    entries: self.entries,
                    blocks: &blocks,
                    block,
                    tile: &tile,
                    packed,
                });
            }
        }
    }
}

/// Some columns of some latents.
struct Part<'a> {
    entries: &'a Entries,
    blocks: &'a Blocks,
    block: usize,
    tile: &'a Tile,
    packed: &'a Packed,
}

impl Part<'_> {
    #[inline(always)]
    fn row(&self, latent: u32) -> &[f32; COLUMNS] {
        let first = (self.block * self.blocks.size) as u32;
        self.packed.row(latent - first)
    }

    #[inline(always)]
    fn subtract(&self, error: &mut [f32], row: usize) {
        let codes = self.entries.range(self.blocks.of(row, self.block));
        let codes = codes.filter(|code| code.models.has(self.tile.model));
        let rows = codes.map(|code| (-code.f, self.row(code.latent)));
        let sums = add_rows(padded(error), rows);
        for (error, sum) in error.iter_mut().zip(sums) {
            *error = sum;
        }
    }

    /// `df` begins with code number `from`.
    #[inline(always)]
    fn add_code_gradients(&self, gradient: &[f32], row: usize, df: &mut [f32], from: usize) {
        let gradient = padded(gradient);
        let places = self.blocks.of(row, self.block);
        let df = df.get_mut(places.start.saturating_sub(from)..places.end.saturating_sub(from));
        // Products of some codes first, then their totals: together the compiler would take both apart, number by number.
        let mut sums = [[0f32; LANES]; CODES];
        for (df, first) in df
            .unwrap_or_default()
            .chunks_mut(CODES)
            .zip(places.step_by(CODES))
        {
            let codes = self.entries.range(first..first + df.len());
            for (sums, code) in sums.iter_mut().zip(codes) {
                *sums = products(&gradient, self.row(code.latent));
            }
            let codes = self.entries.range(first..first + df.len());
            for ((df, sums), code) in df.iter_mut().zip(&sums).zip(codes) {
                if code.models.has(self.tile.model) {
                    *df += total(sums);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::Models;
    use super::*;

    /// Numbers that look random and are small integers, so that every order of a sum gives the same bits.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 2_654_435_761 + seed * 40_503) >> 7) as f32 % 17.0 - 8.0)
            .collect()
    }

    #[test]
    fn codes_of_many_latents_and_columns_give_the_plain_products() {
        let (latents, width, tokens) = (2 * NEAR_ROWS + 5, 2 * (COLUMNS + 3), ROWS + 7);
        let decoder = numbers(latents * width, 1);
        let mut entries = Entries::default();
        entries.clear();
        for token in 0..tokens {
            for i in 0..token % 50 {
                let models = [Models::BOTH, Models::of([true, false])][i % 2];
                entries.push(
                    (i * latents / 50 + token % 7) as u32,
                    (i % 5) as f32,
                    models,
                );
            }
            entries.end_row();
        }
        let sparse = Sparse {
            entries: &entries,
            decoder: &decoder,
            width,
        };
        let gradient = numbers(tokens * width, 2);
        let (mut error, mut packed) = (numbers(tokens * width, 3), Packed::default());
        let (mut wanted, mut df) = (error.clone(), vec![1.0; entries.len()]);
        sparse.subtract(&mut error, &mut packed);
        sparse.add_code_gradients(&mut df, &gradient, &mut packed);

        let mut of_codes = df.iter();
        for token in 0..tokens {
            for code in entries.row(token) {
                let mut product = 1.0;
                for d in (0..width).filter(|d| code.models.has(usize::from(*d >= width / 2))) {
                    let weight = decoder[code.latent as usize * width + d];
                    wanted[token * width + d] -= code.f * weight;
                    product += weight * gradient[token * width + d];
                }
                assert_eq!(of_codes.next(), Some(&product));
            }
        }
        assert_eq!(of_codes.next(), None);
        assert_eq!(error, wanted);
    }
}
