//! Rows laid out once for products with one matrix after another.

use std::marker::PhantomData;

use pulp::Arch;

use crate::Matrix;
use crate::columns::blocks;
use crate::many::{OUTPUTS, Products, ROWS, Scratch, lay};
use crate::tile::{Measure, Shape, UNIT, WithGroups, line_start};

/// Rows x `[N, K]` in the layout of the innermost loops.
#[derive(Debug, Default)]
pub struct Laid {
    buffer: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Laid {
    /// Takes rows with neighbouring columns, on all cores.
    pub fn lay(&mut self, x: Matrix<'_>) {
        assert!(x.strides[1] == 1 && x.fits(), "rows lie apart");
        (self.rows, self.columns) = (x.rows, x.columns);
        let Shape { lanes, .. } = Arch::new().dispatch(WithGroups(Measure));
        lay(&mut self.buffer, x, 0..x.rows, lanes);
    }

    /// Writes x·wᵀ, `[N, M]`, for w `[M, K]` with neighbouring columns, on this core. A product has the same bits whatever the other rows
    /// of x and w are.
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
        let mut laid = Laid::default();
        for (rows, outputs, columns) in [(1, 1, 1), (7, 5, 33), (ROWS + 9, 2 * OUTPUTS + 7, 530)] {
            let (x, w) = (numbers(rows * columns, 5), numbers(outputs * columns, 7));
            laid.lay(Matrix::dense(&x, columns));
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
