//! A row-major matrix split into blocks of columns, so that tasks may each write one.

use std::marker::PhantomData;

/// Some columns of a matrix that others write other columns of.
pub(crate) struct Block<'a> {
    /// Its first number.
    out: *mut f32,
    /// Distance between rows.
    stride: usize,
    /// Number of rows.
    pub(crate) rows: usize,
    /// First column in the whole matrix.
    pub(crate) first: usize,
    /// Number of columns.
    pub(crate) width: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block's numbers belong to it alone, as those of a `&mut [f32]` would.
#[allow(unsafe_code)]
unsafe impl Send for Block<'_> {}

/// Splits a matrix with rows of `columns` numbers into blocks of `width` columns, the last one with what remains.
pub(crate) fn blocks(out: &mut [f32], columns: usize, width: usize) -> Vec<Block<'_>> {
    let width = width.max(1);
    blocks_to(
        out,
        columns,
        (1..=columns.div_ceil(width)).map(|n| n * width),
    )
}

/// Splits a matrix with rows of `columns` numbers into blocks that end before the given columns, which rise.
pub(crate) fn blocks_to(
    out: &mut [f32],
    columns: usize,
    ends: impl Iterator<Item = usize>,
) -> Vec<Block<'_>> {
    let rows = out.len() / columns.max(1);
    let start = out.as_mut_ptr();
    let mut first = 0;
    let block = |end: usize| {
        let end = end.clamp(first, columns);
        let block = Block {
            out: start.wrapping_add(first),
            stride: columns,
            rows,
            first,
            width: end - first,
            lifetime: PhantomData,
        };
        first = end;
        block
    };
    ends.map(block).collect()
}

impl Block<'_> {
    /// The block's part of one row.
    #[allow(unsafe_code)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(
            row < self.rows,
            "a block of {} rows has no row {row}",
            self.rows
        );
        // SAFETY: the row's numbers of these columns lie within the matrix; this block alone has them, and it is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.out.add(row * self.stride), self.width) }
    }
}
