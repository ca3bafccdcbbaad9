//! Matrices of bf16 numbers that stay in their mapped files.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

/// A bf16 number as it is stored, low byte first.
pub(crate) type Bf16 = [u8; 2];

/// Some rows of a file.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) map: Arc<Mmap>,
    /// Place of the rows in the file, a whole number of rows.
    pub(crate) bytes: Range<usize>,
}

/// A matrix `[M, K]` of bf16 numbers: parts of files, one below the other.
#[derive(Clone)]
pub(crate) struct Bf16Matrix {
    parts: Arc<[Part]>,
    /// First row of every part, and the number of all rows.
    firsts: Arc<[usize]>,
    columns: usize,
}

impl Bf16Matrix {
    /// Puts parts one below the other; `None` where one is not made of whole rows.
    pub(crate) fn new(parts: Vec<Part>, columns: usize) -> Option<Self> {
        let row = columns.checked_mul(size_of::<Bf16>()).filter(|n| *n > 0)?;
        let mut firsts = vec![0];
        let mut rows = 0;
        for part in &parts {
            part.map.get(part.bytes.clone())?;
            if !part.bytes.len().is_multiple_of(row) {
                return None;
            }
            rows += part.bytes.len() / row;
            firsts.push(rows);
        }
        Some(Self {
            parts: parts.into(),
            firsts: firsts.into(),
            columns,
        })
    }

    /// M.
    pub(crate) fn rows(&self) -> usize {
        self.firsts.last().copied().unwrap_or_default()
    }

    /// K.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// One row; empty where there is none.
    pub(crate) fn row(&self, row: usize) -> &[Bf16] {
        let part = self.firsts.partition_point(|first| *first <= row) - 1;
        let (Some(part), Some(first)) = (self.parts.get(part), self.firsts.get(part)) else {
            return &[];
        };
        let bytes = size_of::<Bf16>() * self.columns;
        let start = part.bytes.start + (row - first) * bytes;
        let bytes = part.map.get(start..start + bytes).unwrap_or_default();
        bytes.as_chunks().0
    }
}

impl fmt::Debug for Bf16Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mapped bf16 [{}, {}]", self.rows(), self.columns)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use candle_core::{DType, Device, Result, Tensor};
    use half::bf16;
    use memmap2::Mmap;

    use super::{Bf16Matrix, Part};

    /// Matrices of random bf16 numbers, written to a file and mapped, one below the other; and all of them as f32 in memory.
    #[allow(unsafe_code)] // maps a file that this test alone has
    pub(crate) fn mapped(rows: &[usize], columns: usize) -> Result<(Bf16Matrix, Tensor)> {
        let count = rows.iter().sum::<usize>();
        let all = Tensor::randn(0.0f32, 1.0, (count, columns), &Device::Cpu)?;
        let all = all.to_dtype(DType::BF16)?;
        let numbers: Vec<bf16> = all.flatten_all()?.to_vec1()?;
        let mut file = tempfile::tempfile()?;
        // An odd place: nothing in a file is aligned.
        file.write_all(&[0])?;
        for number in numbers {
            file.write_all(&number.to_le_bytes())?;
        }
        // SAFETY: the file has no name, so nobody else can change it.
        let map = Arc::new(unsafe { Mmap::map(&file)? });
        let mut start = 1;
        let parts = rows.iter().map(|rows| {
            let bytes = start..start + 2 * rows * columns;
            start = bytes.end;
            Part {
                map: map.clone(),
                bytes,
            }
        });
        let matrix = Bf16Matrix::new(parts.collect(), columns).unwrap();
        Ok((matrix, all.to_dtype(DType::F32)?))
    }

    #[test]
    fn parts_are_read_one_below_the_other() -> Result<()> {
        let (matrix, all) = mapped(&[3, 1, 5], 7)?;
        assert_eq!((matrix.rows(), matrix.columns()), (9, 7));
        for (i, row) in all.to_vec2::<f32>()?.iter().enumerate() {
            let found = matrix
                .row(i)
                .iter()
                .map(|x| bf16::from_le_bytes(*x).to_f32());
            assert_eq!(&found.collect::<Vec<_>>(), row);
        }
        assert!(matrix.row(9).is_empty());
        Ok(())
    }

    #[test]
    fn a_part_of_a_row_is_refused() -> Result<()> {
        let (matrix, _) = mapped(&[2], 6)?;
        assert!(Bf16Matrix::new(matrix.parts.to_vec(), 5).is_none());
        assert!(Bf16Matrix::new(matrix.parts.to_vec(), 4).is_some());
        assert!(Bf16Matrix::new(matrix.parts.to_vec(), 0).is_none());
        Ok(())
    }
}
