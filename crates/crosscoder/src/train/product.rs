//! The one dense product of a training step: every token with every encoder row, in blocks of latents.

use gemm::{Parallelism, gemm};

/// Latents per block. A block is one task, so the order of every sum is the same on any number of threads.
pub(super) const BLOCK: usize = 128;

/// out = x·encoderᵀ with `x` [rows, width], `encoder` [latents, width] and `out` [rows, latents], all row-major.
/// Does nothing if `out` has another size.
pub(super) fn product(out: &mut [f32], x: &[f32], encoder: &[f32], width: usize) {
    if width == 0 || out.is_empty() {
        return;
    }
    let (rows, latents) = (x.len() / width, encoder.len() / width);
    if out.len() != rows * latents {
        return;
    }
    multiply(out, x, encoder, [rows, latents, width]);
}

#[allow(unsafe_code)] // the matrix library takes pointers and strides
fn multiply(out: &mut [f32], x: &[f32], encoder: &[f32], [rows, latents, width]: [usize; 3]) {
    // SAFETY: `out` is [rows, latents], `x` [rows, width] and `encoder` [latents, width], row-major and of exactly these sizes or
    // larger, as the caller checked; `out` is borrowed alone.
    unsafe {
        gemm(
            rows,
            latents,
            width,
            out.as_mut_ptr(),
            1,
            latents as isize,
            false,
            x.as_ptr(),
            1,
            width as isize,
            encoder.as_ptr(),
            width as isize,
            1,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
