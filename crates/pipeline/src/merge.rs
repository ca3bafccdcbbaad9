//! `merge`: what many workers made, put together as one would have made it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use store::manifest::Manifest;

use crate::analyse::merge_analyses;
use crate::collect::Plan;
use crate::collection::{Collection, folder};
use crate::{AnalyseSummary, DeviceChoice, Error, Progress, Result};

/// What `merge` needs.
#[derive(Clone, Debug, Default)]
pub struct MergeOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Where the models run, should an analysis need them.
    pub device: DeviceChoice,
}

/// What `merge` did.
#[derive(Clone, Debug, Serialize)]
pub struct MergeSummary {
    /// The activations, where they are collected in parts.
    pub activations: Option<MergedActivations>,
    /// The analyses that were there in parts.
    pub analyses: Vec<AnalyseSummary>,
    /// Commands that come next.
    pub next: Vec<String>,
}

/// A collection that was put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergedActivations {
    /// Shards.
    pub shards: usize,
    /// Sequences.
    pub sequences: u64,
    /// Tokens.
    pub tokens: u64,
}

impl fmt::Display for MergeSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(merged) = &self.activations {
            writeln!(
                f,
                "the activations are complete: {} tokens in {} sequences, {} shards",
                merged.tokens, merged.sequences, merged.shards
            )?;
        }
        for analysis in &self.analyses {
            writeln!(f, "{analysis}")?;
        }
        crate::write_next(f, &self.next)
    }
}

/// Puts together whatever parts of a study are there: shards of activations, partial analyses. The result depends on the parts alone,
/// not on the order in which they were made; merging again changes nothing.
///
/// # Errors
/// Nothing to merge; parts that are missing, broken, or of different configurations.
pub fn merge(options: &MergeOptions, progress: &dyn Progress) -> Result<MergeSummary> {
    let study = &options.study;
    let shown = study.display();
    let activations = Plan::open(&folder(study))?
        .map(|plan| collection(study, plan))
        .transpose()?;
    let analyses = merge_analyses(study, options.device, progress)?;
    if activations.is_none() && analyses.is_empty() {
        return Err(Error::Mismatch(format!(
            "{shown} has no parts to merge; run `stereoscope collect` or `stereoscope analyse` with --shard I/N for every I below N first"
        )));
    }
    Ok(MergeSummary {
        activations: activations.map(|merged| MergedActivations {
            shards: merged.shards.len(),
            sequences: merged.sequences,
            tokens: merged.tokens,
        }),
        next: vec![if analyses.is_empty() {
            format!("stereoscope train {shown} --slug SLUG --kind batchtopk")
        } else {
            format!("stereoscope serve {shown}")
        }],
        analyses,
    })
}

/// Puts the shards of a plan together and names the corpora in the study.
pub(crate) fn collection(study: &Path, plan: Plan) -> Result<Collection> {
    let collection = Collection::merge(&folder(study), plan)?;
    let names = collection.identity.corpora.iter();
    let names: Vec<String> = names.map(|corpus| corpus.name.clone()).collect();
    let mut manifest = Manifest::read(study)?;
    if manifest.corpora != names {
        manifest.corpora = names;
        manifest.write(study)?;
    }
    Ok(collection)
}
