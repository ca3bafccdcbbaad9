//! `analyse`: everything the explorer shows of a dictionary's latents, into `study.duckdb`.

mod causal;
mod checkpoint;
mod chunks;
mod context;
mod correlated;
mod examples;
mod findings;
mod identity;
mod largest;
mod lens;
mod matches;
mod neighbours;
mod options;
mod parts;
mod reading;
mod scaling;
mod scan;
mod second;
mod weights;
mod write;

use crate::{Progress, Result};

pub(crate) use checkpoint::Checkpoint;
pub(crate) use chunks::chunk_tokens;
pub(crate) use context::Context;
use findings::Findings;
pub use options::{AnalyseOptions, AnalyseSummary, ScaledLatents, Step};
pub use parts::merge_analyses;

/// Computes norms, classes and cosines, and every step that is asked for and has its data; writes them to the study's database, where
/// other dictionaries' rows stay. A run that is ended leaves the old database; the same run again goes on from the checkpoints of its
/// passes. With a shard, the steps that read activations or run dialogues do that share of them and write a partial file for `merge`
/// instead.
///
/// # Errors
/// An unknown or broken dictionary; models, activations and dictionary that do not fit each other; broken shards; a disk that is full.
pub fn analyse(options: &AnalyseOptions, progress: &dyn Progress) -> Result<AnalyseSummary> {
    let mut skipped = Vec::new();
    let context = Context::open(options, progress, &mut skipped)?;
    let steps = context.runnable(&mut skipped);
    for sentence in &skipped {
        progress.say(sentence);
    }
    if let Some(shard) = options.shard.filter(|shard| shard.count > 1) {
        return parts::write(&context, shard, &steps, skipped);
    }
    let findings = Findings::measure(&context, &steps, &mut skipped)?;
    let summary = write::write(&context, &steps, findings, skipped)?;
    checkpoint::clear(&context, &steps)?;
    Ok(summary)
}
