//! Reconstruction from sparse codes, and inner products with their rows: some tokens per task, some columns of some latents at a time.

use rayon::prelude::*;

use super::entries::{Blocks, Entries};
use super::forward::ROWS;
use super::kernels::vectorised;
use super::tiles::{
    AHEAD, COLUMNS, LANES, NEAR_ROWS, Packed, Tile, add_rows, padded, products, tiles, total,
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
    /// error −= codes·decoder, for all tokens; `error` is [B, width]. `products` become, by model, of every code the inner product of its
    /// decoder row and what is left of its token's error; 0 where the code is not active in the model.
    pub(super) fn subtract(
        &self,
        error: &mut [f32],
        products: &mut [Vec<f32>; 2],
        packed: &mut Packed,
    ) {
        for products in products.iter_mut() {
            products.clear();
            products.resize(self.entries.len(), 0.0);
        }
        let blocks = self.blocks();
        let last = blocks.count.saturating_sub(1);
        for tile in tiles(self.width) {
            let Some(products) = products.get_mut(tile.model) else {
                continue;
            };
            for block in 0..blocks.count {
                let part = self.part(&tile, &blocks, block, packed);
                // After the last block a token's error is whole in this tile, and in the first cache with the rows that made it.
                let rows = error.par_chunks_mut(self.task());
                self.each_task(
                    rows,
                    products,
                    #[inline(always)]
                    |task: Task<'_, &mut [f32]>| {
                        for (row, error) in
                            (task.first..).zip(task.rows.chunks_exact_mut(self.width))
                        {
                            part.subtract(tile.of_mut(error), row);
                            if block == last {
                                part.multiply(tile.of(error), row, task.products, task.code);
                            }
                        }
                    },
                );
            }
            for block in 0..last {
                let part = self.part(&tile, &blocks, block, packed);
                self.multiply_part(&part, error, products);
            }
        }
    }

    /// Adds to every code's product the inner product of its decoder row and its token's row of `rows`, [B, width].
    pub(super) fn multiply(&self, rows: &[f32], products: &mut [f32], packed: &mut Packed) {
        let blocks = self.blocks();
        for tile in tiles(self.width) {
            for block in 0..blocks.count {
                let part = self.part(&tile, &blocks, block, packed);
                self.multiply_part(&part, rows, products);
            }
        }
    }

    fn multiply_part(&self, part: &Part, rows: &[f32], products: &mut [f32]) {
        let rows = rows.par_chunks(self.task());
        self.each_task(
            rows,
            products,
            #[inline(always)]
            |task: Task<'_, &[f32]>| {
                for (row, numbers) in (task.first..).zip(task.rows.chunks_exact(self.width)) {
                    let numbers = part.tile.of(numbers);
                    part.multiply(numbers, row, task.products, task.code);
                }
            },
        );
    }

    /// Numbers of a task's rows.
    fn task(&self) -> usize {
        (ROWS * self.width).max(1)
    }

    fn blocks(&self) -> Blocks {
        let latents = self.decoder.len() / self.width.max(1);
        self.entries.blocks(NEAR_ROWS, latents)
    }

    /// A tile of a block of latents, packed.
    fn part<'a>(
        &'a self,
        tile: &'a Tile,
        blocks: &'a Blocks,
        block: usize,
        packed: &'a mut Packed,
    ) -> Part<'a> {
        let size = NEAR_ROWS * self.width.max(1);
        let decoder = self.decoder.chunks(size).nth(block);
        packed.take(decoder.unwrap_or_default(), self.width, tile);
        Part {
            entries: self.entries,
            blocks,
            block,
            tile,
            packed,
        }
    }

    /// Runs over all tokens, [`ROWS`] per task, with the products of their codes.
    fn each_task<R: Send>(
        &self,
        rows: impl IndexedParallelIterator<Item = R>,
        products: &mut [f32],
        run: impl Fn(Task<'_, R>) + Sync,
    ) {
        let (mut rest, mut code) = (products, 0);
        let tasks = (0..rows.len()).map(|task| {
            let first = task * ROWS;
            let count = self.entries.count_of(first..first + ROWS);
            let own = rest.split_off_mut(..count).unwrap_or_default();
            code += count;
            (first, code - count, own)
        });
        let tasks: Vec<_> = tasks.collect();
        let tasks = rows.zip(tasks);
        tasks.for_each(|(rows, (first, code, products))| {
            vectorised(
                #[inline(always)]
                || {
                    run(Task {
                        first,
                        rows,
                        code,
                        products,
                    });
                },
            );
        });
    }
}

/// Some tokens.
struct Task<'a, R> {
    /// The first one.
    first: usize,
    rows: R,
    /// Their first code.
    code: usize,
    /// Of their codes.
    products: &'a mut [f32],
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
    /// Where a latent's row is packed.
    #[inline(always)]
    fn place(&self, latent: u32) -> u32 {
        latent.wrapping_sub((self.block * self.blocks.size) as u32)
    }

    #[inline(always)]
    fn row(&self, latent: u32) -> &[f32; COLUMNS] {
        self.packed.row(self.place(latent))
    }

    #[inline(always)]
    fn subtract(&self, error: &mut [f32], row: usize) {
        let places = self.blocks.of(row, self.block);
        let after = self.entries.latents.get(places.start + AHEAD..);
        let after = after.unwrap_or_default();
        let rows = self.entries.range(places).enumerate().map(|(i, code)| {
            if let Some(latent) = after.get(i) {
                self.packed.ask(self.place(*latent));
            }
            let has = code.models.has(self.tile.model);
            (if has { -code.f } else { 0.0 }, self.row(code.latent))
        });
        let sums = add_rows(padded(error), rows);
        for (error, sum) in error.iter_mut().zip(sums) {
            *error = sum;
        }
    }

    /// `products` begin with code number `from`.
    #[inline(always)]
    fn multiply(&self, numbers: &[f32], row: usize, into: &mut [f32], from: usize) {
        let numbers = padded(numbers);
        let places = self.blocks.of(row, self.block);
        let into = into.get_mut(places.start.saturating_sub(from)..places.end.saturating_sub(from));
        // Products of some codes first, then their totals: together the compiler would take both apart, number by number.
        let mut sums = [[0f32; LANES]; CODES];
        for (into, first) in into
            .unwrap_or_default()
            .chunks_mut(CODES)
            .zip(places.step_by(CODES))
        {
            let codes = self.entries.range(first..first + into.len());
            for (sums, code) in sums.iter_mut().zip(codes) {
                *sums = products(&numbers, self.row(code.latent));
            }
            let codes = self.entries.range(first..first + into.len());
            for ((into, sums), code) in into.iter_mut().zip(&sums).zip(codes) {
                if code.models.has(self.tile.model) {
                    *into += total(sums);
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
        let others = numbers(tokens * width, 2);
        let (mut error, mut packed) = (numbers(tokens * width, 3), Packed::default());
        let (mut wanted, mut with_others) = (error.clone(), vec![1.0; entries.len()]);
        let mut with_error = [vec![f32::NAN; 3], Vec::new()];
        sparse.subtract(&mut error, &mut with_error, &mut packed);
        sparse.multiply(&others, &mut with_others, &mut packed);

        for token in 0..tokens {
            for code in entries.row(token) {
                for d in (0..width).filter(|d| code.models.has(usize::from(*d >= width / 2))) {
                    wanted[token * width + d] -= code.f * decoder[code.latent as usize * width + d];
                }
            }
        }
        assert_eq!(error, wanted);
        let mut number = 0;
        for token in 0..tokens {
            for code in entries.row(token) {
                let product = |rows: &[f32], model: usize| -> f32 {
                    let columns = model * width / 2..(model + 1) * width / 2;
                    let columns = columns.filter(|_| code.models.has(model));
                    let of =
                        |d| decoder[code.latent as usize * width + d] * rows[token * width + d];
                    columns.map(of).sum()
                };
                for (model, products) in with_error.iter().enumerate() {
                    assert_eq!(products[number], product(&error, model));
                }
                let both = product(&others, 0) + product(&others, 1);
                assert_eq!(with_others[number], 1.0 + both);
                number += 1;
            }
        }
        assert_eq!(number, entries.len());
    }
}
