//! The number formats of mapped matrices.

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
}
