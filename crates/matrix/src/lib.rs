//! Products in f32 on the CPU, with matrices in memory or left as bf16 or f32 in mapped files.
#![allow(clippy::inline_always)] // a loop inside `widest` gets wide vectors only where it is inlined

mod ahead;
mod columns;
mod dense;
mod few;
mod file;
mod laid;
mod many;
mod mapped;
mod number;
mod residence;
mod seven;
mod stored;
mod tile;
mod wide;

pub use ahead::soon;
pub use dense::{Destination, Matrix, Write, multiply, products_apart};
pub use file::{Changed, MappedFile};
pub use gemm::Parallelism;
pub use laid::Laid;
pub use mapped::{Mapped, NotFinite, Part};
pub use number::Format;
pub use residence::Residence;
pub use wide::widest;
