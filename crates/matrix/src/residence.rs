//! Where large matrices are kept.

/// Where matrices that the CPU computes with are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residence {
    /// Large ones in their files, small ones in memory.
    #[default]
    Automatic,
    /// In memory, as f32: quicker where they are small.
    Memory,
    /// In their files, mapped, with arithmetic in f32 on what is stored.
    Files,
}

impl Residence {
    /// Whether matrices of so many numbers stay in their files; `large` is the number from which they do by themselves.
    pub fn in_files(self, numbers: u64, large: u64) -> bool {
        match self {
            Self::Automatic => numbers >= large,
            Self::Memory => false,
            Self::Files => true,
        }
    }
}
