//! Training on the CPU: BatchTopK and L1 with hand-written sparse gradients.
//!
//! Only the encoder's product is dense. Kept codes are few, so reconstruction and all gradients read them as lists, by token and
//! then by latent. Losses, schedules and defaults are those of the paper's training code.

mod auxiliary;
mod backward;
mod checkpoint;
mod entries;
mod forward;
mod kernels;
mod median;
mod metrics;
mod output;
mod parameters;
mod product;
mod save;
mod settings;
#[cfg(test)]
mod tests;
mod trainer;

pub use metrics::{StepMetrics, Validation};
pub use save::Origin;
pub use settings::{BiasStart, Settings};
pub use trainer::Trainer;
