//! Products with mapped matrices are those of the same numbers in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::sync::Arc;

use matrix::{Format, Mapped, MappedFile, Matrix, Part};

/// Numbers between −1 and 1 that f32 and bf16 hold exactly, from a fixed generator.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = |state: &mut u64| {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count)
        .map(|_| f32::from_bits(next(&mut state).to_bits() & 0xffff_0000))
        .collect()
}

/// A file of these numbers after one byte: nothing in a file is aligned.
fn file(numbers: &[f32], format: Format) -> Arc<MappedFile> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[0]).unwrap();
    for number in numbers {
        match format {
            Format::F32 => file.write_all(&number.to_le_bytes()),
            Format::Bf16 => file.write_all(&number.to_le_bytes()[2..]),
        }
        .unwrap();
    }
    file.flush().unwrap();
    // The map outlives the name.
    Arc::new(MappedFile::open(file.path()).unwrap())
}

/// A mapped matrix in parts of so many rows.
fn mapped(all: &[f32], rows: &[usize], columns: usize, format: Format) -> Mapped {
    let file = file(all, format);
    let mut start = 1;
    let parts = rows.iter().map(|rows| {
        let bytes = start..start + rows * columns * format.bytes();
        start = bytes.end;
        Part {
            file: file.clone(),
            bytes,
        }
    });
    Mapped::new(parts.collect(), columns, format).unwrap()
}

/// a·b in f64, with the sum of magnitudes that bounds its rounding.
fn exact(a: &[f32], b: impl Fn(usize, usize) -> f32, [n, k, m]: [usize; 3]) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for i in 0..n {
        for j in 0..m {
            let terms = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b(l, j)));
            out.push(terms.fold((0.0, 0.0), |(sum, size), term| {
                (sum + term, size + term.abs())
            }));
        }
    }
    out
}

fn assert_close(found: &[f32], expected: &[(f64, f64)]) {
    assert_eq!(found.len(), expected.len());
    for (found, (sum, size)) in found.iter().zip(expected) {
        let error = (f64::from(*found) - sum).abs();
        assert!(error <= 1e-6 * size, "{found} {sum} of {size}");
    }
}

const SHAPES: [(&[usize], usize); 4] = [
    (&[1], 1),
    (&[3, 2], 7),
    (&[70, 1, 130], 200),
    (&[300, 90], 1333),
];

#[test]
fn equal_those_of_the_same_numbers_in_memory() {
    for format in [Format::F32, Format::Bf16] {
        for (parts, columns) in SHAPES {
            let rows: usize = parts.iter().sum();
            let all = numbers(rows * columns, 1);
            let w = mapped(&all, parts, columns, format);
            assert_eq!((w.rows(), w.columns()), (rows, columns));
            for count in [0, 1, 2, 3, 8, 9, 16, 40, 515] {
                // So many rows go by in parts, whatever the shape.
                if count > 100 && columns > 300 {
                    continue;
                }
                // Rows of a wider matrix, as the gate's are of gate and up.
                let stride = columns.max(rows) + 9;
                let wide = numbers(count * stride, 2);
                let narrow = |width: usize| -> Vec<f32> {
                    wide.chunks(stride)
                        .flat_map(|row| row[..width].to_vec())
                        .collect()
                };
                let x = |columns| Matrix {
                    data: &wide,
                    rows: count,
                    columns,
                    strides: [stride, 1],
                };
                let expected = exact(
                    &narrow(columns),
                    |k, m| all[m * columns + k],
                    [count, columns, rows],
                );
                assert_close(&w.products(x(columns)), &expected);
                let expected = exact(
                    &narrow(rows),
                    |k, m| all[k * columns + m],
                    [count, rows, columns],
                );
                assert_close(&w.sums(x(rows)), &expected);
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_company() {
    let (rows, columns) = (100, 64);
    let w = mapped(&numbers(rows * columns, 3), &[rows], columns, Format::Bf16);
    // Few rows, and many.
    for (count, least) in [(7, 1), (60, 9)] {
        let x = numbers(count * columns, 4);
        let together = w.products(Matrix::dense(&x, columns));
        let some = x.chunks(least * columns).zip(together.chunks(least * rows));
        for (x, together) in some.filter(|(x, _)| x.len() == least * columns) {
            assert_eq!(w.products(Matrix::dense(x, columns)), together);
        }
    }
}

#[test]
fn rows_are_copied_and_scaled() {
    for format in [Format::F32, Format::Bf16] {
        let all = numbers(8 * 6, 5);
        let w = mapped(&all, &[4, 4], 6, format);
        let mut row = [0.0; 6];
        assert!(w.copy_row(7, 2.5, &mut row));
        let expected: Vec<f32> = all[42..].iter().map(|x| x * 2.5).collect();
        assert_eq!(row[..], expected);
        assert!(!w.copy_row(8, 1.0, &mut row));
        assert!(!w.copy_row(0, 1.0, &mut row[..5]));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let all = numbers(12, 6);
    let file = file(&all, Format::Bf16);
    let part = |bytes| {
        vec![Part {
            file: file.clone(),
            bytes,
        }]
    };
    assert!(Mapped::new(part(1..25), 6, Format::Bf16).is_some());
    assert!(Mapped::new(part(1..25), 5, Format::Bf16).is_none());
    assert!(Mapped::new(part(1..25), 0, Format::Bf16).is_none());
    assert!(Mapped::new(part(3..27), 6, Format::Bf16).is_none());
    let w = Mapped::new(part(1..25), 6, Format::Bf16).unwrap();
    assert!(w.products(Matrix::dense(&all[..5], 5)).is_empty());
    assert!(w.sums(Matrix::dense(&all[..6], 6)).is_empty());
}

#[test]
fn a_number_that_is_none_is_found() {
    for format in [Format::F32, Format::Bf16] {
        for (at, value) in [(0, f32::NAN), (77, f32::INFINITY), (99, f32::NEG_INFINITY)] {
            let mut all = numbers(100, 7);
            assert_eq!(mapped(&all, &[4, 6], 10, format).not_finite(), None);
            all[at] = value;
            let found = mapped(&all, &[4, 6], 10, format).not_finite().unwrap();
            assert_eq!(found.part * 40 + found.element, at);
            assert!(!found.value.is_finite());
        }
    }
}
