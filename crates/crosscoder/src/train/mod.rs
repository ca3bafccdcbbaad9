//! Training on the CPU: BatchTopK and L1 with hand-written sparse gradients.

mod settings;

pub use settings::{BiasStart, Settings};
