//! What products with mapped matrices cost by their number of rows: `cargo run --release -p matrix --example rows [-- COUNT…]`.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use matrix::{Format, Mapped, MappedFile, Matrix, Part};

/// Rows and columns of the matrices: those of Gemma-2 2B's gate and up, and of its down projection.
const SHAPES: [[usize; 2]; 2] = [[18_432, 2304], [2304, 9216]];
/// Numbers of a file that no cache holds.
const NUMBERS: usize = 1 << 28;
const REPETITIONS: usize = 7;

/// Matrices of one shape that fill the file.
fn matrices(file: &Arc<MappedFile>, [rows, columns]: [usize; 2]) -> Vec<Mapped> {
    let size = rows * columns * Format::Bf16.bytes();
    let part = |first| Part {
        file: file.clone(),
        bytes: first..first + size,
    };
    (0..file.bytes().len() / size)
        .filter_map(|i| Mapped::new(vec![part(i * size)], columns, Format::Bf16))
        .collect()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<(), Box<dyn Error>> {
    let counts: Result<Vec<usize>, _> = env::args().skip(1).map(|count| count.parse()).collect();
    let mut counts = counts?;
    if counts.is_empty() {
        counts = vec![1, 2, 3, 4, 6, 8, 9, 12, 16, 32, 64, 256];
    }
    let file = tempfile::NamedTempFile::new()?;
    let mut out = BufWriter::new(file.as_file());
    for i in 0..NUMBERS as u32 {
        // The upper halves of numbers around 1, of both signs.
        let bits = 0x3f00 | i.wrapping_mul(2_654_435_761) >> 24 | (i & 1) << 15;
        out.write_all(&(bits as u16).to_le_bytes())?;
    }
    out.flush()?;
    let file = Arc::new(MappedFile::open(file.path())?);
    println!("rows   shape of w      per product   GB/s  GFLOP/s");
    for shape in SHAPES {
        let all = matrices(&file, shape);
        let [rows, columns] = shape;
        for count in &counts {
            let x = vec![0.5; count * columns];
            let mut seconds = Vec::new();
            for _ in 0..REPETITIONS {
                // Few rows want every matrix, so that none is in the cache; for many it makes no difference.
                let some = all
                    .get(..all.len().min(1024 / count).max(1))
                    .unwrap_or_default();
                let start = Instant::now();
                for w in some {
                    black_box(w.products(Matrix::dense(&x, columns)));
                }
                seconds.push(start.elapsed().as_secs_f64() / some.len() as f64);
            }
            let seconds = median(seconds);
            println!(
                "{count:4}   {rows:6}x{columns:5}   {:9.2} ms {:6.1} {:8.1}",
                seconds * 1e3,
                (2 * rows * columns) as f64 / seconds / 1e9,
                (2 * rows * columns * count) as f64 / seconds / 1e9
            );
        }
    }
    Ok(())
}
