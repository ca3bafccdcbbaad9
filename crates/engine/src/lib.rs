//! The model worker: prompts through two models and a dictionary, lanes with interventions, generation.
//!
//! [`check`] tells, without reading a weight, whether a pair and its dictionaries fit. [`Engine::start`] loads them on a thread of
//! their own, which then takes requests from a bounded queue. Generations take turns, a piece of the prompt or one token at a time, and
//! short requests go between two turns. The lanes of one model advance in one pass, whose numbers on the CPU are those of each lane alone.
//! A request that fails, even by a panic, fails alone.
//!
//! Where an intervention's positions are a list, every listed position must be one that the request can reach: below the
//! prompt's length, plus `max_new_tokens` when generating. The other kinds of positions may well be empty.

mod activations;
mod check;
mod coding;
mod desk;
mod devices;
mod dictionary;
mod edit;
mod effects;
mod error;
mod explain;
mod generate;
mod group;
mod handle;
mod job;
mod kept;
mod lane;
mod memory;
mod metrics;
mod next;
mod options;
mod pair;
mod pass;
mod places;
mod plan;
mod prompt;
mod reading;
mod rounding;
mod stream;
#[cfg(test)]
mod tests;
mod turns;
mod weights;
mod worker;

pub use check::{Checked, DictionaryFile, check, dictionary_file, plan};
pub(crate) use dictionary::Dictionary;
pub use error::{Error, Result};
pub use gemma::{DeviceChoice, Plan, Size, WeightChoice};
pub use handle::{Engine, Generation};
pub use kept::KeptPrompts;
pub use metrics::{FIRST_TOKEN_BUCKETS, Metrics};
pub use options::{DictionaryOptions, Limits, Options, Precision};
pub use weights::{decoder_rows, weight_rows};
pub use worker::Describe;
