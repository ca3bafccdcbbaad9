//! Rows laid out once for products with one matrix after another.

use std::marker::PhantomData;

use pulp::Arch;

use crate::columns::blocks;
use crate::many::{OUTPUTS, Products, ROWS, Scratch, lay};
use crate::tile::{Measure, Shape, UNIT, WithGroups, line_start};
use crate::{Matrix, seven};

/// Rows x `[N, K]` in the layout of the innermost loops.
#[derive(Debug, Default)]
pub struct Laid {
    buffer: Vec<f32>,
    rows: usize,
    columns: usize,
    /// For Strassen's product.
    in_quarters: bool,
}

impl Laid {
    /// Takes rows with neighbouring columns, on all cores.
    pub fn lay(&mut self, x: Matrix<'_>) {
        assert!(x.strides[1] == 1 && x.fits(), "rows lie apart");
        (self.rows, self.columns, self.in_quarters) = (x.rows, x.columns, false);
        let Shape { lanes, .. } = Arch::new().dispatch(WithGroups(Measure));
        lay(&mut self.buffer, x, 0..x.rows, lanes);
    }

    /// Takes rows as [`Laid::lay`] does, for Strassen's product: up to an eighth fewer multiplications, and twice the memory. Every product
    /// is rounded together with those of another row of x and another of w, so it depends on them by a few units in the last place of the
    /// largest, and is not a number where they are none.
    pub fn lay_in_quarters(&mut self, x: Matrix<'_>) {
        assert!(x.strides[1] == 1 && x.fits(), "rows lie apart");
        (self.rows, self.columns, self.in_quarters) = (x.rows, x.columns, true);
        let Shape { lanes, .. } = Arch::new().dispatch(WithGroups(Measure));
        seven::lay(&mut self.buffer, x, lanes);
    }

    /// Writes x·wᵀ, `[N, M]`, for w `[M, K]` with neighbouring columns, on this core. After [`Laid::lay`] a product has the same bits
    /// whatever the other rows of x and w are.
    pub fn products(&self, w: Matrix<'_>, out: &mut [f32]) {
        let (outputs, depth) = (w.rows, self.columns.next_multiple_of(UNIT));
        assert!(
            w.columns == self.columns && w.strides[1] == 1 && w.fits(),
            "a product's factors do not fit"
        );
        assert!(
            out.len() == self.rows * outputs,
            "a product has no room or too much"
        );
        if out.is_empty() {
            return;
        }
        let arch = Arch::new();
        let Shape { lanes, group } = arch.dispatch(WithGroups(Measure));
        if self.in_quarters {
            return seven::products(&self.buffer, self.rows, w, out, [lanes, group]);
        }
        let from = line_start(&self.buffer);
        let laid = from..from + self.rows.next_multiple_of(lanes) * depth;
        let laid = self.buffer.get(laid).unwrap_or_default();
        let count = outputs.div_ceil(OUTPUTS);
        let width = outputs.div_ceil(count).next_multiple_of(group);
        // Some outputs of all rows, then the next ones: w is read from memory once.
        let mut parts: Vec<_> = out
            .chunks_mut(ROWS * outputs)
            .map(|out| blocks(out, outputs, width).into_iter())
            .collect();
        let mut scratch = Scratch::default();
        for _ in 0..count {
            for (part, x) in parts.iter_mut().zip(laid.chunks(ROWS * depth)) {
                let Some(block) = part.next() else { continue };
                arch.dispatch(WithGroups(Products {
                    w: &w,
                    x,
                    block,
                    scratch: &mut scratch,
                    number: PhantomData::<f32>,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| (i * step % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn products_of_rows_laid_out_once_are_the_plain_ones() {
        are_plain(Laid::lay);
    }

    #[test]
    fn products_in_quarters_are_the_plain_ones() {
        are_plain(Laid::lay_in_quarters);
    }

    #[test]
    fn products_in_quarters_are_rounded_little_more() {
        let (rows, outputs, columns) = (64, 48, 2304);
        let fraction = |i: usize| (i * 40_503 % 8191) as f32 / 4096.0 - 1.0;
        let x: Vec<f32> = (0..rows * columns).map(fraction).collect();
        let w: Vec<f32> = (rows * columns..(rows + outputs) * columns)
            .map(fraction)
            .collect();
        let [plain, quarters] = [Laid::lay, Laid::lay_in_quarters].map(|lay| {
            let (mut laid, mut out) = (Laid::default(), vec![f32::NAN; rows * outputs]);
            lay(&mut laid, Matrix::dense(&x, columns));
            laid.products(Matrix::dense(&w, columns), &mut out);
            out
        });
        let norm = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        let largest = norm(&x[..columns]) * norm(&w[..columns]);
        for (a, b) in plain.iter().zip(&quarters) {
            assert!((a - b).abs() < 1e-6 * largest, "{a} and {b}");
        }
    }

    fn are_plain(lay: fn(&mut Laid, Matrix<'_>)) {
        let mut laid = Laid::default();
        for (rows, outputs, columns) in [
            (1, 1, 1),
            (7, 5, 33),
            (16, 12, 32),
            (ROWS + 9, 2 * OUTPUTS + 7, 530),
            (2 * ROWS + 1, 5 * OUTPUTS, 600),
            (4 * ROWS + 3, 7, 40),
        ] {
            let (x, w) = (numbers(rows * columns, 5), numbers(outputs * columns, 7));
            lay(&mut laid, Matrix::dense(&x, columns));
            let mut out = vec![f32::NAN; rows * outputs];
            laid.products(Matrix::dense(&w, columns), &mut out);
            let mut found = out.iter();
            for x in x.chunks_exact(columns) {
                for w in w.chunks_exact(columns) {
                    // Small integers: every order of the sum gives the same bits.
                    let plain: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
                    assert_eq!(found.next(), Some(&plain));
                }
            }
        }
    }
}
