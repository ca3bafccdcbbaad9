//! Dense products of a training step, one block of latents or of tokens at a time.

use gemm::{Parallelism, gemm};

/// Largest number of latents in a block.
pub(super) const MAX_BLOCK: usize = 512;
/// Smallest number of latents in a block, where there are as many.
const MIN_BLOCK: usize = 128;
/// Blocks aimed at, so that every thread finds work.
const BLOCKS: usize = 16;

/// Latents per block. A block is one task, and its size depends on the dictionary only, so the order of every sum is the same on any
/// number of threads.
pub(super) fn block_size(latents: usize) -> usize {
    latents
        .div_ceil(BLOCKS)
        .next_multiple_of(MIN_BLOCK)
        .clamp(MIN_BLOCK, MAX_BLOCK)
}

/// A row-major matrix, or the transpose of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    /// Of the values as they are stored.
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers.
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        Self {
            values,
            rows: values.len() / columns.max(1),
            columns,
            transposed: false,
        }
    }

    /// The transpose.
    pub(super) fn transposed(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    /// Rows and columns.
    fn size(&self) -> [usize; 2] {
        if self.transposed {
            [self.columns, self.rows]
        } else {
            [self.rows, self.columns]
        }
    }

    /// Distance between two rows and between two columns.
    fn strides(&self) -> [isize; 2] {
        let columns = self.columns as isize;
        if self.transposed {
            [1, columns]
        } else {
            [columns, 1]
        }
    }
}

/// What a product does to its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// out = a·b
    Set,
    /// out −= a·b
    Subtract,
}

/// The product a·b into `out`, row-major. Does nothing if the sizes do not fit.
#[allow(unsafe_code)] // the matrix library takes pointers and strides
pub(super) fn multiply(out: &mut [f32], a: Matrix, b: Matrix, write: Write) {
    let ([rows, inner], [depth, columns]) = (a.size(), b.size());
    if inner != depth || out.len() != rows * columns || out.is_empty() {
        return;
    }
    let ([a_row, a_column], [b_row, b_column]) = (a.strides(), b.strides());
    let factor = if write == Write::Set { 1.0 } else { -1.0 };
    // SAFETY: `out` is [rows, columns], `a` [rows, inner] and `b` [inner, columns], each of at least this size with these strides;
    // `out` is borrowed alone.
    unsafe {
        gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            write == Write::Subtract,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_column,
            b_row,
            1.0f32,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
