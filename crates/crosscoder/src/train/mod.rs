//! Training on the CPU: BatchTopK and L1 with hand-written gradients.
//!
//! For BatchTopK only the encoder's product is dense, and where the processor has a matrix unit for bf16 that product only screens: upper
//! bounds tell which codes may be kept, and these alone are computed exactly. Kept codes are few, so reconstruction and all gradients read them as lists, by
//! token and then by latent. L1 does the same once its codes are sparse, and uses matrix products before. Losses, schedules and
//! defaults are those of the paper's training code.
#![allow(clippy::inline_always)] // a loop inside `kernels::vectorised` gets wide vectors only where it is inlined

mod amx;
mod auxiliary;
mod backward;
mod checkpoint;
mod entries;
mod evaluate;
mod forward;
mod kernels;
mod median;
mod metrics;
mod output;
mod parameters;
mod product;
mod resample;
mod save;
mod screen;
mod search;
mod settings;
mod settle;
mod sparse;
#[cfg(test)]
mod tests;
mod tiles;
mod trainer;
mod update;
mod validate;

pub use metrics::{BatchTopKMetrics, StepMetrics, Validation};
pub use save::{Origin, WeightFormat};
pub use settings::{BiasStart, Settings};
pub use trainer::Trainer;
