//! Crosscoder dictionaries: files, encode, decode, training.
//!
//! A crosscoder reads the residuals of two models at one token and writes one sparse code f, from which a decoder per model
//! rebuilds both. Index 0 is the base model, 1 the chat model; activations are [N, 2, D] row-major, f32.
//! The folder layout is that of the dictionary_learning library: `model.safetensors`, `config.json`, `trainer_config.json`.

mod codes;
mod crosscoder;
mod decode;
mod edit;
mod encode;
mod error;
mod few;
mod file;
mod header;
mod normalization;
mod normalizer;
mod resting;
mod rows;
mod select;
pub mod train;

pub use codes::{Active, Codes, Halves};
pub use crosscoder::Crosscoder;
pub use edit::{Chosen, Edit, Unedited};
pub use error::{Error, Result};
pub use few::Few;
pub use header::{Header, Kind, open};
pub use matrix::Residence;
pub use normalization::CodeNormalization;
pub use normalizer::Normalizer;
pub use rows::decoder_rows;
pub use select::{Selection, top_k_over_batch};
