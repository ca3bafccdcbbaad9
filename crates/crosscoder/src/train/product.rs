//! Dense products of a training step, one block of latents or of tokens at a time.

use matrix::{Destination, Matrix, Parallelism, Write};

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

/// The product a·b into `out`, row-major, on this core. Does nothing where a size is 0.
pub(super) fn multiply(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, write: Write) {
    if a.rows * a.columns * b.columns > 0 {
        let stride = b.columns;
        let to = Destination { stride, write };
        matrix::multiply(out, to, a, b, Parallelism::None);
    }
}
