//! Matrices of whose rows products are taken.

use pulp::bytemuck::cast_slice;

use crate::number::Number;
use crate::{Mapped, Matrix};

/// A matrix whose rows are at hand as they are stored.
pub(crate) trait StoredRows: Sync {
    /// Number of rows.
    fn count(&self) -> usize;

    /// Numbers in a row.
    fn width(&self) -> usize;

    /// One row; empty where there is none.
    fn bytes(&self, row: usize) -> &[u8];

    /// One row's numbers; none where there is no such row.
    fn numbers<T: Number>(&self, row: usize) -> &[T::Stored] {
        T::all(self.bytes(row))
    }
}

impl StoredRows for Mapped {
    fn count(&self) -> usize {
        self.rows()
    }

    fn width(&self) -> usize {
        self.columns()
    }

    fn bytes(&self, row: usize) -> &[u8] {
        self.row_bytes(row)
    }
}

/// Rows with neighbouring columns in memory, as f32.
impl StoredRows for Matrix<'_> {
    fn count(&self) -> usize {
        self.rows
    }

    fn width(&self) -> usize {
        self.columns
    }

    fn bytes(&self, row: usize) -> &[u8] {
        cast_slice(self.row(row))
    }
}
