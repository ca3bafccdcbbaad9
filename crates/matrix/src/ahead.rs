//! Asking memory for what is read next while there is still something to compute.

use std::ops::Range;

use pulp::bytemuck::cast_slice;

use crate::stored::StoredRows;

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
    w: &impl StoredRows,
    rows: Range<usize>,
    bytes: Range<usize>,
    steps: usize,
) -> Ahead<impl Iterator<Item = &[u8]>> {
    let count = rows.len() * bytes.len().div_ceil(LINE);
    let rows = rows.map(move |row| w.bytes(row).get(bytes.clone()).unwrap_or_default());
    Ahead {
        lines: rows.flat_map(|bytes| bytes.chunks(LINE)),
        step: count.div_ceil(steps.max(1)),
    }
}

/// Asks for some numbers in so many steps.
#[inline(always)]
pub(crate) fn ahead_of(numbers: &[f32], steps: usize) -> Ahead<impl Iterator<Item = &[u8]>> {
    let lines = cast_slice(numbers).chunks(LINE);
    Ahead {
        step: lines.len().div_ceil(steps.max(1)),
        lines,
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
fn ask(line: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    hint::<{ std::arch::x86_64::_MM_HINT_T1 }>(line);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Asks memory for numbers that are read soon, to be held in the first cache.
#[inline(always)]
pub fn soon(numbers: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in cast_slice(numbers).chunks(LINE) {
        hint::<{ std::arch::x86_64::_MM_HINT_T0 }>(line);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)] // the intrinsic takes a pointer
fn hint<const CACHE: i32>(line: &[u8]) {
    // SAFETY: the instruction is a hint: it reads nothing that a program sees and faults nowhere, and every x86-64 processor has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<CACHE>(line.as_ptr().cast());
    }
}
