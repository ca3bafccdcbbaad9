//! Checkpoints of an analysis: what a long pass has gathered so far, in a file until the analysis is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::identity::Identity;
use super::{Context, Step, parts};
use crate::files::fingerprint;
use crate::state::{read_state, write_state};
use crate::{Error, Progress, Result, ShardOf};

/// Writing takes at most one part in so many of a pass.
const SHARE: u32 = 20;
/// How the file of a checkpoint ends.
const ENDING: &str = ".checkpoint";

/// The checkpoint of one pass. Its name holds a hash of everything that determines what the pass gathers, so that another run's is never
/// taken for it.
pub(crate) struct Checkpoint<'a> {
    path: PathBuf,
    /// What the names of all checkpoints of this pass over this share of the data begin with.
    prefix: String,
    every: Duration,
    last: Instant,
    /// How long the last writing took.
    took: Duration,
    progress: &'a dyn Progress,
}

/// The passes of an analysis that keep checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Scan,
    Examples,
    Correlations,
    Matches,
    Second,
    Effects,
}

impl Pass {
    const ALL: [Self; 6] = [
        Self::Scan,
        Self::Examples,
        Self::Correlations,
        Self::Matches,
        Self::Second,
        Self::Effects,
    ];

    /// Its name, in files and as the progress shows it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Examples => "examples",
            Self::Correlations => "correlations",
            Self::Matches => "matches",
            Self::Second => "second-scan",
            Self::Effects => "effects",
        }
    }

    /// Whether a run of these steps makes this pass.
    fn belongs_to(self, steps: &BTreeSet<Step>) -> bool {
        let of: &[Step] = match self {
            Self::Scan => &[Step::Scaling, Step::Baselines, Step::Statistics],
            Self::Examples => &[Step::Examples, Step::Correlated],
            Self::Correlations => &[Step::Correlated],
            Self::Matches => &[Step::Matches],
            Self::Second => &[Step::Verification, Step::Joint],
            Self::Effects => &[Step::Effects],
        };
        of.iter().any(|step| steps.contains(step))
    }

    fn prefix(self, shard: ShardOf) -> String {
        format!("{}-{}-of-{}-", self.as_str(), shard.index, shard.count)
    }
}

/// The share of the data that a run reads.
fn share(context: &Context<'_>) -> ShardOf {
    context.options.shard.unwrap_or(ShardOf::ALL)
}

fn folder(context: &Context<'_>) -> PathBuf {
    parts::folder(&context.options.study, &context.options.dictionary)
}

/// Checkpoints whose names begin so, unfinished ones too.
fn named(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(prefix) && name.contains(ENDING)
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

impl<'a> Checkpoint<'a> {
    /// The checkpoint of a pass of this run. `more` is what determines the pass beside options, study and share of the data.
    pub(super) fn of(
        context: &'a Context<'_>,
        steps: &BTreeSet<Step>,
        pass: Pass,
        more: &impl Serialize,
    ) -> Self {
        let hash = fingerprint(&(
            env!("CARGO_PKG_VERSION"),
            Identity::of(context, steps),
            share(context),
            context.device.is_cpu(),
            more,
        ));
        let prefix = pass.prefix(share(context));
        let path = folder(context).join(format!("{prefix}{hash}{ENDING}"));
        let every = Duration::from_secs(context.options.checkpoint_seconds);
        Self::at(path, prefix, every, context.progress)
    }

    /// A checkpoint in a file, written again after this time at the earliest. Other checkpoints of the pass have names that begin with the
    /// prefix.
    pub(crate) fn at(
        path: PathBuf,
        prefix: String,
        every: Duration,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            path,
            prefix,
            every,
            last: Instant::now(),
            took: Duration::ZERO,
            progress,
        }
    }

    /// How much of the pass an ended run had done, and what it had gathered; `None`, with a sentence where there is a file, if there is
    /// nothing to go on from.
    pub(crate) fn load<S: DeserializeOwned>(&self) -> Option<(u64, S)> {
        let others = self.path.parent().map(|folder| named(folder, &self.prefix));
        let others = others.into_iter().flatten();
        for other in
            others.filter(|other| *other != self.path && other.extension() == self.path.extension())
        {
            self.progress.say(&format!(
                "ignored {}: other options, models or activations made it; it is removed when this analysis is done",
                other.display()
            ));
        }
        if !self.path.exists() {
            return None;
        }
        let remedy = "the pass starts anew";
        let found = read_state(&self.path, remedy);
        match &found {
            Ok(_) => self
                .progress
                .say(&format!("going on from {}", self.path.display())),
            Err(error) => self.progress.say(&format!("ignored {error}")),
        }
        found.ok()
    }

    /// Keeps what is gathered, if it is time to. `done` counts what [`Checkpoint::load`] skips.
    ///
    /// # Errors
    /// A disk that is full.
    pub(crate) fn offer<S: Serialize>(&mut self, done: u64, state: &S) -> Result<()> {
        // Large states are written more seldom, that writing may not become the work.
        let wait = if self.every.is_zero() {
            Duration::ZERO
        } else {
            self.every.max(SHARE * self.took)
        };
        if self.last.elapsed() < wait {
            return Ok(());
        }
        let from = Instant::now();
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        }
        write_state(&self.path, &(done, state))?;
        self.last = Instant::now();
        self.took = self.last - from;
        Ok(())
    }
}

/// Removes the checkpoints of the passes that these steps made, once their result is written.
///
/// # Errors
/// A file that cannot be deleted.
pub(super) fn clear(context: &Context<'_>, steps: &BTreeSet<Step>) -> Result<()> {
    let passes = Pass::ALL.into_iter().filter(|pass| pass.belongs_to(steps));
    for path in passes.flat_map(|pass| named(&folder(context), &pass.prefix(share(context)))) {
        fs::remove_file(&path).map_err(Error::io("delete", &path))?;
    }
    Ok(())
}
