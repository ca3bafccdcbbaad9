//! Everything offline: start a study, collect activations, train a crosscoder, analyse its latents.
//!
//! Each command is a function of an options struct and a [`Progress`]; it resumes after a kill, writes through temporary names, and
//! returns a summary that ends with what to run next.

mod analyse;
mod batches;
mod collect;
mod collection;
mod corpus;
mod edited;
mod effects;
mod error;
mod files;
mod init;
mod memory;
mod merge;
mod order;
mod part;
mod progress;
mod score;
mod shard;
mod state;
mod steer;
mod study;
mod train;

use std::fmt;

pub use analyse::{AnalyseOptions, AnalyseSummary, ScaledLatents, Step, analyse, merge_analyses};
pub use api::{
    Bar, CausalEffects, CausalMetric, CausalScope, Class, ClassCounts, ClassCuts, ConceptBehaviour,
    ConceptScore, ConceptTruth, DictionaryInfo, GroundTruth, LatentRow, LatentTruth, Message,
    Positions, SeedDictionary, SeedLatent, SeedScore, SteeringAction, SteeringDose,
    SteeringOutcome, SteeringTest, TrainingSummary, Verdict,
};
pub use collect::{CollectOptions, CollectSummary, collect};
pub use crosscoder::train::{BiasStart, Settings, WeightFormat};
pub use crosscoder::{CodeNormalization, Edit, Kind};
pub use diffing::auroc;
pub use edited::At;
pub use effects::{EffectOptions, EffectsSummary};
pub use error::{Error, Result};
pub use gemma::{DeviceChoice, readable};
pub use init::{InitOptions, InitSummary, init, reference};
pub use merge::{MergeOptions, MergeSummary, MergedActivations, merge};
pub use order::DataOrder;
pub use part::ShardOf;
pub use progress::{Bars, JsonLines, Progress, Silent};
pub use score::{open_store, read_truth, score_prompts, write_truth};
pub use shard::Precision;
pub use steer::{SteeredPrompt, Steering};
pub use store::manifest::{DictionaryRef, Manifest, ModelRef};
pub use store::{DictionaryFacts, Store};
pub use study::{Dictionaries, Wanted, repositories};
pub use train::{TrainOptions, TrainSummary, train};

/// Ends a summary with the commands that come next.
fn write_next(f: &mut fmt::Formatter<'_>, next: &[String]) -> fmt::Result {
    write!(f, "next:")?;
    next.iter()
        .try_for_each(|command| write!(f, "\n  {command}"))
}
