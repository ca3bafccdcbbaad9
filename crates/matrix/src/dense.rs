//! Dense products of matrices in memory.

use gemm::{Parallelism, gemm};
use pulp::Arch;

use crate::few;

/// A matrix of any strides.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// From its first element on.
    pub data: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Distances between rows and between columns.
    pub strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers, one behind the other.
    pub fn dense(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            rows: data.len() / columns.max(1),
            columns,
            strides: [columns, 1],
        }
    }

    /// With rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        let [row, column] = self.strides;
        Self {
            rows: self.columns,
            columns: self.rows,
            strides: [column, row],
            ..self
        }
    }

    /// Numbers of a row whose columns are neighbours; empty where there is none.
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        if row >= self.rows {
            return &[];
        }
        let start = row * self.strides[0];
        self.data
            .get(start..start + self.columns)
            .unwrap_or_default()
    }

    /// Whether every element lies within the data.
    pub(crate) fn fits(&self) -> bool {
        let last = |size: usize, stride: usize| size.saturating_sub(1) * stride;
        self.rows * self.columns == 0
            || last(self.rows, self.strides[0]) + last(self.columns, self.strides[1])
                < self.data.len()
    }
}

/// How a product is stored.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    /// Distance between rows.
    pub stride: usize,
    /// What becomes of what is there.
    pub write: Write,
}

/// What a product does to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Takes its place.
    Set,
    /// Is added to it.
    Add,
    /// Is taken from it.
    Subtract,
}

/// Writes a·b into `out`, or adds or subtracts it there; `a.columns` equals `b.rows` and no size is 0.
pub fn multiply(
    out: &mut [f32],
    to: Destination,
    a: Matrix<'_>,
    b: Matrix<'_>,
    cores: Parallelism,
) {
    assert!(
        to.stride >= b.columns && (a.rows - 1) * to.stride + b.columns <= out.len(),
        "a product has no room"
    );
    assert!(
        a.fits() && b.fits() && a.columns == b.rows && a.rows * b.columns > 0,
        "a product's factors do not fit"
    );
    // SAFETY: `out` is borrowed alone and holds the product, and both factors' elements lie within their slices, as was just checked.
    #[allow(unsafe_code)] // the matrix library takes pointers and strides
    unsafe {
        gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            to.stride as isize,
            to.write != Write::Set,
            a.data.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.data.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            1.0,
            if to.write == Write::Subtract {
                -1.0
            } else {
                1.0
            },
            false,
            false,
            false,
            cores,
        );
    }
}

/// x·wᵀ for w `[M, K]` and x `[N, K]` with neighbouring columns: `[N, M]`, row-major, of which every row has the bits that it has alone.
/// Empty where the widths differ.
pub fn products_apart(w: Matrix<'_>, x: Matrix<'_>) -> Vec<f32> {
    let neighbours = w.strides[1] == 1 && x.strides[1] == 1;
    if w.columns != x.columns || !neighbours || !w.fits() || !x.fits() {
        return Vec::new();
    }
    few::products::<f32>(&w, x, Arch::new())
}
