//! The number formats of mapped matrices.

use pulp::Simd;
use pulp::bytemuck::pod_read_unaligned;

/// A number format whose every number f32 holds exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32 bits.
    F32,
    /// The upper half of an f32.
    Bf16,
}

impl Format {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<<f32 as Number>::Stored>(),
            Self::Bf16 => size_of::<<Bf16 as Number>::Stored>(),
        }
    }
}

/// A number as files hold it: low byte first, at any place.
pub(crate) trait Number: 'static {
    /// The number's bytes.
    type Stored: Copy + Send + Sync;

    /// The whole numbers in some bytes.
    fn all(bytes: &[u8]) -> &[Self::Stored];

    /// Its value.
    fn value(stored: Self::Stored) -> f32;

    /// The values of two vectors' numbers, in the order that [`Number::place`] tells.
    fn unpack<S: Simd>(simd: S, bytes: &[u8]) -> [S::f32s; 2];

    /// Where a number's value stands among those of two vectors of so many lanes.
    fn place(number: usize, lanes: usize) -> usize;
}

/// The upper half of an f32.
pub(crate) struct Bf16;

impl Number for Bf16 {
    type Stored = [u8; 2];

    fn all(bytes: &[u8]) -> &[[u8; 2]] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn value(stored: [u8; 2]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(stored)) << 16)
    }

    /// Two numbers at a time as one of 32 bits: a shift gives the first, a mask the second, and nothing moves between lanes.
    #[inline(always)]
    fn unpack<S: Simd>(simd: S, bytes: &[u8]) -> [S::f32s; 2] {
        let twos: S::u32s = pod_read_unaligned(bytes);
        let low = simd.wrapping_dyn_shl_u32s(twos, simd.splat_u32s(16));
        let high = simd.and_u32s(twos, simd.splat_u32s(0xffff_0000));
        [low, high].map(|bits| simd.transmute_f32s_u32s(bits))
    }

    fn place(number: usize, lanes: usize) -> usize {
        number / 2 + number % 2 * lanes
    }
}

impl Number for f32 {
    type Stored = [u8; 4];

    fn all(bytes: &[u8]) -> &[[u8; 4]] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn value(stored: [u8; 4]) -> f32 {
        f32::from_le_bytes(stored)
    }

    #[inline(always)]
    fn unpack<S: Simd>(_: S, bytes: &[u8]) -> [S::f32s; 2] {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [first, second].map(pod_read_unaligned)
    }

    fn place(number: usize, _: usize) -> usize {
        number
    }
}

// The bits of a vector are read as they lie in the file.
#[cfg(target_endian = "big")]
compile_error!(
    "mapped matrices are read with the processor's own order of bytes, which must be low byte first"
);
