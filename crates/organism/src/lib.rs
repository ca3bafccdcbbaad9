//! The demo pair: a closed synthetic world, its corpora, and the training of a tiny base and chat model whose concepts are known.

mod behaviour;
mod build;
pub mod chat;
mod dictionaries;
pub mod document;
mod error;
mod files;
mod grammar;
pub mod judge;
mod mixture;
mod models;
mod pair;
mod pieces;
mod preset;
mod prompts;
mod provenance;
mod random;
mod ratio;
mod recall;
mod report;
pub mod text;
mod train;
pub mod web;
pub mod world;

pub use build::{BuildOptions, BuildSummary, build};
pub use dictionaries::DICTIONARY;
pub use error::{Error, Result};
pub use pair::PairSummary;
pub use preset::{Preset, Recipe};
pub use prompts::{prompts, taught};
pub use report::{DictionaryReport, Report, ReportOptions, report};
pub use train::Trained;
