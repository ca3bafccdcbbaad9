//! Matrices whose numbers stay in mapped files.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use pulp::Arch;
use rayon::prelude::*;

use crate::file::{Changed, MappedFile};
use crate::number::{Bf16, Format, Number};
use crate::{Matrix, few, many};

/// Numbers that one task looks at.
const TASK: usize = 1 << 20;

/// Some rows in a file.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: Arc<MappedFile>,
    /// Place of the rows in the file: a whole number of rows.
    pub bytes: Range<usize>,
}

/// A number that is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotFinite {
    /// The part it is in.
    pub part: usize,
    /// Its place in the part.
    pub element: usize,
    /// What it is.
    pub value: f32,
}

/// A matrix `[M, K]`: parts of files, one below the other.
#[derive(Clone)]
pub struct Mapped {
    parts: Arc<[Part]>,
    /// First row of every part, and the number of all rows.
    firsts: Arc<[usize]>,
    columns: usize,
    format: Format,
}

impl Mapped {
    /// Puts parts one below the other; `None` where one is outside its file or not made of whole rows.
    pub fn new(parts: Vec<Part>, columns: usize, format: Format) -> Option<Self> {
        let row = columns.checked_mul(format.bytes()).filter(|n| *n > 0)?;
        let mut firsts = vec![0];
        let mut rows = 0;
        for part in &parts {
            part.file.bytes().get(part.bytes.clone())?;
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
            format,
        })
    }

    /// M.
    pub fn rows(&self) -> usize {
        self.firsts.last().copied().unwrap_or_default()
    }

    /// K.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The parts' bytes, one below the other, as they lie in their files.
    pub fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| {
            let bytes = part.file.bytes().get(part.bytes.clone());
            bytes.unwrap_or_default()
        })
    }

    /// The first number that is NaN or infinite. Reads every number, on all cores, so that the pages are at hand afterwards.
    pub fn not_finite(&self) -> Option<NotFinite> {
        self.parts.iter().enumerate().find_map(|(part, place)| {
            let bytes = place.file.bytes().get(place.bytes.clone())?;
            let found = match self.format {
                Format::F32 => not_finite::<f32>(bytes),
                Format::Bf16 => not_finite::<Bf16>(bytes),
            };
            found.map(|(element, value)| NotFinite {
                part,
                element,
                value,
            })
        })
    }

    /// Fails when one of the files was written to or cut.
    ///
    /// # Errors
    /// [`Changed`].
    pub fn check(&self) -> Result<(), Changed> {
        self.parts.iter().try_for_each(|part| part.file.check())
    }

    /// Writes `scale` times a row into `out` `[K]`; says whether there is such a row and it has this length.
    pub fn copy_row(&self, row: usize, scale: f32, out: &mut [f32]) -> bool {
        match self.format {
            Format::F32 => copy::<f32>(self.row::<f32>(row), scale, out),
            Format::Bf16 => copy::<Bf16>(self.row::<Bf16>(row), scale, out),
        }
    }

    /// Some columns, `[M, J]`, row-major; 0 for a column that is not there.
    pub fn columns_at(&self, columns: &[u32]) -> Vec<f32> {
        match self.format {
            Format::F32 => gather::<f32>(self, columns),
            Format::Bf16 => gather::<Bf16>(self, columns),
        }
    }

    /// x·wᵀ for this w and x `[N, K]` with neighbouring columns: `[N, M]`, row-major. Empty where the widths differ.
    pub fn products(&self, x: Matrix<'_>) -> Vec<f32> {
        self.products_on(x, Arch::new())
    }

    /// As [`Mapped::products`], with the vectors of a processor at hand.
    fn products_on(&self, x: Matrix<'_>, arch: Arch) -> Vec<f32> {
        if x.columns != self.columns || !x.fits() || x.strides[1] != 1 {
            return Vec::new();
        }
        match (self.format, x.rows <= few::FEW) {
            (Format::F32, true) => few::products::<f32>(self, x, arch),
            (Format::Bf16, true) => few::products::<Bf16>(self, x, arch),
            (Format::F32, false) => many::products::<f32>(self, x, arch),
            (Format::Bf16, false) => many::products::<Bf16>(self, x, arch),
        }
    }

    /// As [`Mapped::products`]; every row has the bits that it has alone.
    pub fn products_apart(&self, x: Matrix<'_>) -> Vec<f32> {
        if x.columns != self.columns || !x.fits() || x.strides[1] != 1 {
            return Vec::new();
        }
        match self.format {
            Format::F32 => few::products::<f32>(self, x, Arch::new()),
            Format::Bf16 => few::products::<Bf16>(self, x, Arch::new()),
        }
    }

    /// As [`Mapped::sums`]; every row has the bits that it has alone.
    pub fn sums_apart(&self, x: Matrix<'_>) -> Vec<f32> {
        if x.columns != self.rows() || !x.fits() || x.strides[1] != 1 {
            return Vec::new();
        }
        match self.format {
            Format::F32 => few::sums::<f32>(self, x),
            Format::Bf16 => few::sums::<Bf16>(self, x),
        }
    }

    /// x·w for this w and x `[N, M]` with neighbouring columns: `[N, K]`, row-major. Empty where the sizes differ.
    pub fn sums(&self, x: Matrix<'_>) -> Vec<f32> {
        self.sums_on(x, Arch::new())
    }

    /// As [`Mapped::sums`], with the vectors of a processor at hand.
    fn sums_on(&self, x: Matrix<'_>, arch: Arch) -> Vec<f32> {
        if x.columns != self.rows() || !x.fits() || x.strides[1] != 1 {
            return Vec::new();
        }
        match (self.format, x.rows <= few::FEW) {
            (Format::F32, true) => few::sums::<f32>(self, x),
            (Format::Bf16, true) => few::sums::<Bf16>(self, x),
            (Format::F32, false) => many::sums::<f32>(self, x, arch),
            (Format::Bf16, false) => many::sums::<Bf16>(self, x, arch),
        }
    }

    /// One row, whose format the caller knows; empty where there is none.
    pub(crate) fn row<T: Number>(&self, row: usize) -> &[T::Stored] {
        T::all(self.row_bytes(row))
    }

    /// One row as it is stored; empty where there is none.
    pub(crate) fn row_bytes(&self, row: usize) -> &[u8] {
        let part = self.firsts.partition_point(|first| *first <= row);
        let Some(part) = part.checked_sub(1) else {
            return &[];
        };
        let (Some(part), Some(first)) = (self.parts.get(part), self.firsts.get(part)) else {
            return &[];
        };
        let bytes = self.format.bytes() * self.columns;
        let start = part.bytes.start + (row - first) * bytes;
        part.file
            .bytes()
            .get(start..start + bytes)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mapped {:?} [{}, {}]",
            self.format,
            self.rows(),
            self.columns
        )
    }
}

/// Some columns, row-major.
fn gather<T: Number>(matrix: &Mapped, columns: &[u32]) -> Vec<f32> {
    let mut out = vec![0.0; matrix.rows() * columns.len()];
    if columns.is_empty() {
        return out;
    }
    out.par_chunks_mut(columns.len())
        .enumerate()
        .for_each(|(row, out)| {
            let numbers = matrix.row::<T>(row);
            for (out, column) in out.iter_mut().zip(columns) {
                let number = numbers.get(*column as usize);
                *out = number.map_or(0.0, |number| T::value(*number));
            }
        });
    out
}

/// Writes `scale` times some numbers; says whether there are as many as places.
fn copy<T: Number>(numbers: &[T::Stored], scale: f32, out: &mut [f32]) -> bool {
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = T::value(*number) * scale;
    }
    !numbers.is_empty() && numbers.len() == out.len()
}

/// The first number that is NaN or infinite, and where it is.
fn not_finite<T: Number>(bytes: &[u8]) -> Option<(usize, f32)> {
    let bad = |number: &T::Stored| !T::value(*number).is_finite();
    T::all(bytes)
        .par_chunks(TASK)
        .enumerate()
        .find_map_first(|(task, numbers)| {
            // One pass without an early end is the quicker one.
            let any = numbers.iter().fold(false, |any, number| any | bad(number));
            let at = any.then(|| numbers.iter().position(bad)).flatten()?;
            let value = numbers.get(at).map_or(f32::NAN, |number| T::value(*number));
            Some((task * TASK + at, value))
        })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use pulp::Arch;
    use rayon::ThreadPoolBuilder;

    use super::{Mapped, Part};
    use crate::{Format, MappedFile, Matrix};

    /// So many numbers between −1 and 1 that bf16 holds exactly.
    fn numbers(count: usize) -> Vec<f32> {
        let number = |i: usize| (i * 7919 + i * i % 613) % 257;
        (0..count)
            .map(|i| number(i) as f32 / 128.0 - 1.0)
            .map(|x| f32::from_bits(x.to_bits() & 0xffff_0000))
            .collect()
    }

    fn mapped(rows: usize, columns: usize, format: Format) -> io::Result<Mapped> {
        let mut file = tempfile::NamedTempFile::new()?;
        for number in numbers(rows * columns) {
            let bytes = number.to_le_bytes();
            file.write_all(bytes.get(4 - format.bytes()..).unwrap_or_default())?;
        }
        file.flush()?;
        let part = Part {
            file: Arc::new(MappedFile::open(file.path())?),
            bytes: 0..rows * columns * format.bytes(),
        };
        Mapped::new(vec![part], columns, format).ok_or(io::ErrorKind::InvalidData.into())
    }

    #[test]
    fn a_processor_without_vectors_computes_the_same_up_to_rounding() -> io::Result<()> {
        for format in [Format::F32, Format::Bf16] {
            let (rows, columns) = (133, 77);
            let w = mapped(rows, columns, format)?;
            for count in [1, 2, 3, 7, 8, 9, 17, 31, 32, 33, 50] {
                let x = numbers(count * rows.max(columns));
                let x = |columns| Matrix {
                    rows: count,
                    ..Matrix::dense(&x, columns)
                };
                let pairs = [
                    (
                        w.products(x(columns)),
                        w.products_on(x(columns), Arch::Scalar),
                    ),
                    (w.sums(x(rows)), w.sums_on(x(rows), Arch::Scalar)),
                ];
                for (found, expected) in pairs {
                    assert!(!found.is_empty() && found.len() == expected.len());
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * columns as f32;
                    assert!(found.iter().zip(&expected).all(near), "{format:?} {count}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() -> io::Result<()> {
        let (rows, columns) = (700, 300);
        let w = mapped(rows, columns, Format::Bf16)?;
        let x = numbers(600 * rows);
        for count in [1, 6, 40, 600] {
            let both = || {
                let x = |columns| Matrix {
                    rows: count,
                    ..Matrix::dense(&x, columns)
                };
                [w.products(x(columns)), w.sums(x(rows))]
            };
            let with = |threads| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build();
                pool.map(|pool| pool.install(both))
                    .map_err(io::Error::other)
            };
            assert!(with(1)? == with(3)?, "{count}");
        }
        Ok(())
    }
}
