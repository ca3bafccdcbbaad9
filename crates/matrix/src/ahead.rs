//! Asking memory for what is read next while there is still something to compute.

use std::ops::Range;

use crate::Mapped;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the lines of some rows, a few at every step.
pub(crate) struct Ahead<I> {
    lines: I,
    step: usize,
}

/// Asks for some bytes of every row of `rows` in so many steps.
#[inline(always)]
pub(crate) fn ahead(
    w: &Mapped,
    rows: Range<usize>,
    bytes: Range<usize>,
    steps: usize,
) -> Ahead<impl Iterator<Item = &[u8]>> {
    let count = rows.len() * bytes.len().div_ceil(LINE);
    let rows = rows.map(move |row| w.row_bytes(row).get(bytes.clone()).unwrap_or_default());
    Ahead {
        lines: rows.flat_map(|bytes| bytes.chunks(LINE)),
        step: count.div_ceil(steps.max(1)),
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Ahead<I> {
    /// Asks for the next few lines.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        self.lines.by_ref().take(self.step).for_each(ask);
    }
}

/// Asks for a line, to be held in the second cache.
#[inline(always)]
#[allow(unsafe_code)] // the intrinsic takes a pointer
fn ask(line: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint: it reads nothing that a program sees and faults nowhere, and every x86-64 processor has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
