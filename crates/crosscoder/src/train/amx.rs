//! Products of bf16 tiles on the processor's matrix unit (Intel AMX), with sums in f32.
#![allow(unsafe_code)] // tile instructions and the request to use them have no safe form

use std::marker::PhantomData;
#[cfg(target_arch = "x86_64")]
use std::{arch::asm, sync::LazyLock};

/// Rows of a panel: two tiles.
pub(super) const PANEL: usize = 32;
/// Columns that one step multiplies: a tile's row of bf16.
pub(super) const DEPTH: usize = 32;
/// A row of a tile: words of two bf16. Rows that straddle cache lines would halve the speed.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; DEPTH / 2]);
/// Lines that a panel has for every step: two tiles of 16 rows.
pub(super) const STEP_LINES: usize = PANEL;
/// Sums of a product of two panels: four tiles, [2, 2, 16, 16].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [f32; PANEL * PANEL]);

/// The matrix unit, set up for this thread while this lives.
pub(super) struct Unit {
    /// Tiles belong to a thread.
    thread: PhantomData<*mut ()>,
}

/// Whether this processor has the unit and the system lets us use it.
pub(super) fn is_available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static AVAILABLE: LazyLock<bool> = LazyLock::new(ask);
        *AVAILABLE
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Looks for tiles and their bf16 product (CPUID leaf 7), then asks Linux for the tiles' state.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn ask() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_STATE: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    const BF16_AND_TILES: u32 = (1 << 22) | (1 << 24);
    if std::arch::x86_64::__cpuid(0).eax < 7
        || std::arch::x86_64::__cpuid_count(7, 0).edx & BF16_AND_TILES != BF16_AND_TILES
    {
        return false;
    }
    let answer: i64;
    // SAFETY: arch_prctl(ARCH_REQ_XCOMP_PERM) reads two numbers and changes what state the kernel keeps for this process; systems
    // that do not know it answer with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") REQUEST_STATE,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Shapes of the eight tiles: 16 rows of 64 bytes each.
#[cfg(target_arch = "x86_64")]
#[repr(C, align(64))]
struct Shapes([u8; 64]);

#[cfg(target_arch = "x86_64")]
static SHAPES: Shapes = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Shapes(bytes)
};

impl Unit {
    /// The unit, if there is one.
    pub(super) fn open() -> Option<Self> {
        if !is_available() {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has tiles and the system keeps them; the shapes are valid and outlive the instruction.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack));
        }
        Some(Self {
            thread: PhantomData,
        })
    }

    /// Sums of the products of every row of `a` with every row of `b`, panels of the same steps: into `sums`, or added to them.
    /// Panels of other lengths give nothing.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn multiply(&self, sums: &mut Sums, a: &[Line], b: &[Line], adds: bool) {
        let steps = a.len() / STEP_LINES;
        if steps == 0 || a.len() != b.len() || a.len() != steps * STEP_LINES {
            return;
        }
        let _ = self.thread;
        // SAFETY: this thread's tiles have the shapes that `open` gave them. Every load and store is of 16 rows of 64 bytes one after
        // another: 1,024 bytes, of which `sums` has four; `a` and `b` have two each for every step.
        unsafe {
            if adds {
                asm!(
                    "tileloadd tmm0, [{c} + {row}]",
                    "tileloadd tmm1, [{c} + {row} + 1024]",
                    "tileloadd tmm2, [{c} + {row} + 2048]",
                    "tileloadd tmm3, [{c} + {row} + 3072]",
                    c = in(reg) sums.0.as_ptr(),
                    row = in(reg) 64usize,
                    options(nostack, readonly),
                );
            } else {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nostack, nomem),
                );
            }
            asm!(
                "2:",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm6, [{b} + {row}]",
                "tileloadd tmm5, [{a} + {row} + 1024]",
                "tileloadd tmm7, [{b} + {row} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {row}], tmm0",
                "tilestored [{c} + {row} + 1024], tmm1",
                "tilestored [{c} + {row} + 2048], tmm2",
                "tilestored [{c} + {row} + 3072], tmm3",
                a = inout(reg) a.as_ptr() => _,
                b = inout(reg) b.as_ptr() => _,
                c = in(reg) sums.0.as_mut_ptr(),
                steps = inout(reg) steps => _,
                row = in(reg) 64usize,
                options(nostack),
            );
        }
    }

    /// There is no unit to multiply with.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn multiply(&self, _: &mut Sums, _: &[Line], _: &[Line], _: bool) {}
}

impl Drop for Unit {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this thread opened the unit.
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}
