//! Partial analyses: what one run of an array found in its share of the data, in a file until all are there and merged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use api::ClassCounts;
use serde::{Deserialize, Serialize};
use store::manifest::Manifest;

use super::findings::Findings;
use super::identity::Identity;
use super::{AnalyseOptions, AnalyseSummary, Context, Step, checkpoint, weights, write};
use crate::state::{read_state, write_state};
use crate::{DeviceChoice, Error, Progress, Result, ShardOf};

/// Folder inside a study, with a folder for each dictionary.
const FOLDER: &str = "analysis";

/// A partial file.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    identity: Identity,
    shard: ShardOf,
    findings: Findings,
}

/// The folder of a dictionary's partial analyses and checkpoints.
pub(super) fn folder(study: &Path, slug: &str) -> PathBuf {
    study.join(FOLDER).join(slug)
}

fn path(folder: &Path, shard: ShardOf) -> PathBuf {
    folder.join(format!("part-{}-of-{}.bin", shard.index, shard.count))
}

/// The shard that a file's name tells; `None` for another file.
fn shard_of(path: &Path) -> Option<ShardOf> {
    let name = path.file_name()?.to_str()?;
    let (index, count) = name
        .strip_prefix("part-")?
        .strip_suffix(".bin")?
        .split_once("-of-")?;
    let (index, count) = (index.parse().ok()?, count.parse().ok()?);
    (index < count).then_some(ShardOf { index, count })
}

fn again(study: &Path, slug: &str, shard: ShardOf) -> String {
    format!(
        "`stereoscope analyse {} --dictionary {slug} --shard {shard}`",
        study.display()
    )
}

/// The command that runs further steps of a dictionary, which may be shared out.
pub(super) fn command(options: &AnalyseOptions, steps: &[Step]) -> String {
    let steps: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
    format!(
        "stereoscope analyse {} --dictionary {} --steps {}",
        options.study.display(),
        options.dictionary,
        steps.join(",")
    )
}

/// Gathers this run's share and writes it to its partial file, unless an earlier run finished the same.
pub(super) fn write(
    context: &Context<'_>,
    shard: ShardOf,
    steps: &BTreeSet<Step>,
    mut skipped: Vec<String>,
) -> Result<AnalyseSummary> {
    let (study, slug) = (&context.options.study, &context.options.dictionary);
    let folder = folder(study, slug);
    let path = path(&folder, shard);
    let identity = Identity::of(context, steps);
    let finished = read_state::<Part>(&path, "").is_ok_and(|part| part.identity == identity);
    if finished {
        context
            .progress
            .say(&format!("{} is there already", path.display()));
    } else {
        if !steps.iter().any(|step| step.is_shared()) {
            return Err(Error::Mismatch(
                "none of these steps reads activations or runs dialogues, so there is nothing to share out; run without --shard".into(),
            ));
        }
        let findings = Findings::measure(context, steps, &mut skipped)?;
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let part = Part {
            identity,
            shard,
            findings,
        };
        write_state(&path, &part)?;
    }
    checkpoint::clear(context, steps)?;
    let rows = weights::rows(&context.crosscoder, &context.manifest.classes);
    let count = |class| rows.iter().filter(|row| row.class == class).count() as u64;
    let classes = api::Class::ALL.iter().map(|&class| (class, count(class)));
    Ok(AnalyseSummary {
        dictionary: slug.clone(),
        shard: Some(shard),
        latents: rows.len(),
        tokens: Some(context.shards().iter().map(|(entry, _)| entry.tokens).sum()),
        counts: ClassCounts {
            classes: classes.collect(),
            ..ClassCounts::default()
        },
        effects: None,
        skipped,
        next: vec![format!("stereoscope merge {}", study.display())],
    })
}

/// Merges the partial analyses of every dictionary that has some, writes them to the study's database as one run would, and removes
/// their files.
///
/// # Errors
/// Parts that are missing, damaged, or of different configurations; what [`super::analyse`] refuses.
pub fn merge_analyses(
    study: &Path,
    device: DeviceChoice,
    progress: &dyn Progress,
) -> Result<Vec<AnalyseSummary>> {
    let manifest = Manifest::read(study)?;
    let mut summaries = Vec::new();
    for dictionary in &manifest.dictionaries {
        let files = files(&folder(study, &dictionary.slug))?;
        if let Some(last) = files.last() {
            let (identity, findings) = together(study, &dictionary.slug, &files, last.0)?;
            let options = identity.options(study, &dictionary.slug, device);
            summaries.push(finish(&options, &identity, findings, progress)?);
            for (_, path) in &files {
                fs::remove_file(path).map_err(Error::io("delete", path))?;
            }
        }
    }
    Ok(summaries)
}

/// Partial files of a folder, in the order of shards.
fn files(folder: &Path) -> Result<Vec<(ShardOf, PathBuf)>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = paths
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("read", folder))?;
    let mut files: Vec<(ShardOf, PathBuf)> = paths
        .into_iter()
        .filter_map(|path| Some((shard_of(&path)?, path)))
        .collect();
    files.sort_by_key(|(shard, _)| (shard.count, shard.index));
    Ok(files)
}

/// All parts' findings, in the order of shards whatever the order of writing. `last` is a shard of the array.
fn together(
    study: &Path,
    slug: &str,
    files: &[(ShardOf, PathBuf)],
    last: ShardOf,
) -> Result<(Identity, Findings)> {
    let count = last.count;
    if let Some((_, path)) = files.iter().find(|(shard, _)| shard.count != count) {
        return Err(Error::file(
            path,
            format!(
                "is a part of another division than that into {count}; delete the parts of the division that does not count"
            ),
        ));
    }
    let there: BTreeSet<usize> = files.iter().map(|(shard, _)| shard.index).collect();
    let missing = (0..count).filter(|index| !there.contains(index));
    let missing: Vec<String> = missing
        .map(|index| again(study, slug, ShardOf { index, count }))
        .collect();
    if !missing.is_empty() {
        return Err(Error::Mismatch(format!(
            "dictionary {slug} has {} of {count} partial analyses; run {} and merge again",
            there.len(),
            missing.join(", ")
        )));
    }
    let mut all: Option<(Identity, Findings)> = None;
    for (shard, path) in files {
        let remedy = format!("delete it and run {} again", again(study, slug, *shard));
        let part: Part = read_state(path, &remedy)?;
        if part.shard != *shard {
            return Err(Error::file(
                path,
                format!("holds shard {} under another name; {remedy}", part.shard),
            ));
        }
        match &mut all {
            None => all = Some((part.identity, part.findings)),
            Some((identity, _)) if *identity != part.identity => {
                return Err(Error::file(
                    path,
                    format!(
                        "differs from the part before it in {}; run all shards with the same options over the same study",
                        identity.difference(&part.identity)
                    ),
                ));
            }
            Some((_, findings)) => findings.merge(part.findings)?,
        }
    }
    all.ok_or_else(|| Error::Mismatch(format!("dictionary {slug} has no partial analyses")))
}

fn finish(
    options: &AnalyseOptions,
    identity: &Identity,
    findings: Findings,
    progress: &dyn Progress,
) -> Result<AnalyseSummary> {
    let mut skipped = Vec::new();
    let context = Context::open(options, progress, &mut skipped)?;
    let now = Identity::of(&context, &identity.steps);
    if now != *identity {
        return Err(Error::file(
            &folder(&options.study, &options.dictionary),
            format!(
                "holds partial analyses that differ from the study as it is now in {}; run all shards again",
                identity.difference(&now)
            ),
        ));
    }
    let steps = context.runnable(&mut skipped);
    for sentence in &skipped {
        progress.say(sentence);
    }
    let mut summary = write::write(&context, &steps, findings, skipped)?;
    if Step::FILL_ROWS.iter().any(|step| steps.contains(step)) && context.pair.is_some() {
        let later = command(options, &Step::AFTER_MERGE);
        // Latents that fire together first: joint histograms start from them.
        let place = summary.next.len().saturating_sub(1);
        summary.next.insert(place, later);
    }
    Ok(summary)
}
