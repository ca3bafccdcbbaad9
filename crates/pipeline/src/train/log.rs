//! The metrics of a run: lines in a file as they come, curves out of them in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use api::{Curve, TrainingCurves};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::files::write_whole;
use crate::{Error, Result};

/// One JSON object per logged step, beside a trained dictionary: `stage` (`train`, `trainthres` for the same batch with the inference
/// threshold, or `val` for held-out tokens), `step`, `epoch`,
/// `num_tokens` (seen so far), and whatever was measured.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// Points of a curve that the study keeps, but for validations.
const POINTS: usize = 500;
/// What is worth reading first, without the stage.
const FIRST: [&str; 9] = [
    "loss",
    "fve_total",
    "fve_base",
    "fve_chat",
    "l0",
    "dead_share",
    "l2_loss",
    "sparsity_loss",
    "auxk_loss",
];
/// Where a line is on the axis.
const STAGE: &str = "stage";
const STEP: &str = "step";
const EPOCH: &str = "epoch";
const TOKENS: &str = "num_tokens";

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Step whose update was the last, from 0.
    pub(super) step: u64,
    pub(super) epoch: u64,
    /// Tokens seen.
    pub(super) tokens: u64,
}

/// A file of metrics that lines are added to.
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the file of a run that goes on at `step`, and drops lines that the run will write again.
    pub(super) fn open(folder: &Path, step: u64) -> Result<Self> {
        let path = folder.join(METRICS);
        keep_lines_before(&path, step)?;
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io("write", &path))?;
        Ok(Self { path, file })
    }

    /// Adds what was measured, every field of it.
    pub(super) fn write(
        &mut self,
        stage: &str,
        point: Point,
        metrics: &impl Serialize,
    ) -> Result<()> {
        let fault = |error: serde_json::Error| Error::file(&self.path, error.to_string());
        let mut line = Map::from_iter([
            (STAGE.to_string(), stage.into()),
            (STEP.into(), point.step.into()),
            (EPOCH.into(), point.epoch.into()),
            (TOKENS.into(), point.tokens.into()),
        ]);
        if let Value::Object(fields) = serde_json::to_value(metrics).map_err(fault)? {
            for (name, value) in fields {
                // The axis is this file's own: a validation counts other steps and tokens.
                line.entry(name).or_insert(value);
            }
        }
        // In one call, so that a kill leaves at most the last line unfinished.
        let text = format!("{}\n", Value::Object(line));
        self.file
            .write_all(text.as_bytes())
            .map_err(Error::io("write", &self.path))
    }
}

fn keep_lines_before(path: &Path, step: u64) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let before = |line: &&str| {
        let line: Option<Value> = serde_json::from_str(line).ok();
        line.and_then(|line| line[STEP].as_u64())
            .is_some_and(|found| found < step)
    };
    let kept: Vec<&str> = text.lines().filter(before).collect();
    write_whole(path, |out| {
        kept.iter().try_for_each(|line| writeln!(out, "{line}"))
    })
}

/// The curves of a dictionary that was trained here: every validation, and a few hundred steps of training.
///
/// # Errors
/// A file of metrics that cannot be read.
pub(crate) fn curves(folder: &Path) -> Result<Option<TrainingCurves>> {
    let path = folder.join(METRICS);
    if !path.exists() {
        return Ok(None);
    }
    let file = File::open(&path).map_err(Error::io("read", &path))?;
    let mut points: BTreeMap<u64, (u64, BTreeMap<String, f64>)> = BTreeMap::new();
    let mut validated = BTreeSet::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(Error::io("read", &path))?;
        let Ok(Value::Object(fields)) = serde_json::from_str(&line) else {
            continue;
        };
        let number = |name: &str| fields.get(name).and_then(Value::as_u64);
        let stage = fields.get(STAGE).and_then(Value::as_str);
        let (Some(stage), Some(step), Some(tokens)) = (stage, number(STEP), number(TOKENS)) else {
            continue;
        };
        if stage == "val" {
            validated.insert(step);
        }
        let (_, values) = points.entry(step).or_insert((tokens, BTreeMap::new()));
        for (name, value) in &fields {
            if ![STAGE, STEP, TOKENS].contains(&name.as_str()) {
                flatten(&format!("{stage}/{name}"), value, values);
            }
        }
    }
    let steps: Vec<u64> = points.keys().copied().collect();
    let kept = thin(&steps, &validated);
    points.retain(|step, _| kept.contains(step));
    let mut names: Vec<String> = points
        .values()
        .flat_map(|(_, values)| values.keys().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    names.sort_by_key(|name| rank(name));
    Ok(Some(TrainingCurves {
        steps: points.keys().copied().collect(),
        tokens: points.values().map(|(tokens, _)| *tokens).collect(),
        curves: names
            .into_iter()
            .map(|name| Curve {
                values: points
                    .values()
                    .map(|(_, values)| values.get(&name).copied())
                    .collect(),
                name,
            })
            .collect(),
    }))
}

/// Numbers by name; those of a list count from 0.
fn flatten(name: &str, value: &Value, values: &mut BTreeMap<String, f64>) {
    match value {
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                flatten(&format!("{name}_{number}"), value, values);
            }
        }
        _ => {
            if let Some(value) = value.as_f64() {
                values.insert(name.to_string(), value);
            }
        }
    }
}

/// Steps that are kept: the validated ones, and others evenly, the first and the last included.
fn thin(steps: &[u64], validated: &BTreeSet<u64>) -> BTreeSet<u64> {
    let last = steps.len().saturating_sub(1);
    let points = POINTS.min(steps.len());
    (0..points)
        .filter_map(|point| steps.get(point * last / (points - 1).max(1)))
        .chain(validated)
        .copied()
        .collect()
}

/// The order of reading: by what is measured, training before validation.
fn rank(name: &str) -> (usize, String, String) {
    let (stage, measured) = name.split_once('/').unwrap_or(("", name));
    let place = FIRST.iter().position(|first| *first == measured);
    (
        place.unwrap_or(FIRST.len()),
        measured.to_string(),
        stage.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Measured {
        step: u64,
        loss: f64,
        fve: [f64; 2],
    }

    fn measured(loss: f64) -> Measured {
        Measured {
            step: 999,
            loss,
            fve: [0.5, f64::NAN],
        }
    }

    fn point(step: u64) -> Point {
        Point {
            step,
            epoch: step / 2000,
            tokens: (step + 1) * 8,
        }
    }

    #[test]
    fn long_runs_are_thinned_and_validations_stay() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(curves(folder.path()).unwrap(), None);
        let mut log = Log::open(folder.path(), 0).unwrap();
        for step in 0..4001 {
            log.write("train", point(step), &measured(step as f64))
                .unwrap();
            if step == 1233 {
                log.write("val", point(step), &measured(0.25)).unwrap();
            }
        }
        let found = curves(folder.path()).unwrap().unwrap();
        assert_eq!(found.steps.len(), POINTS + 1);
        assert_eq!((found.steps[0], found.steps.last()), (0, Some(&4000)));
        assert_eq!(found.tokens[0], 8);
        let names: Vec<&str> = found.curves.iter().map(|c| c.name.as_str()).collect();
        let expected = [
            "train/loss",
            "val/loss",
            "train/epoch",
            "val/epoch",
            "train/fve_0",
            "val/fve_0",
        ];
        assert_eq!(names, expected, "NaN has no curve");
        let at = found.steps.iter().position(|step| *step == 1233).unwrap();
        assert_eq!(found.curves[1].values[at], Some(0.25));
        assert_eq!(found.curves[1].values.iter().flatten().count(), 1);
        assert_eq!(found.curves[0].values[at], Some(1233.0));
    }

    #[test]
    fn going_on_drops_what_will_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 0).unwrap();
        for step in 0..10 {
            log.write("train", point(step), &measured(1.0)).unwrap();
        }
        log.write("val", point(4), &measured(1.0)).unwrap();
        drop(log);
        let path = folder.path().join(METRICS);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"stage\": \"tr");
        fs::write(&path, &text).unwrap();
        drop(Log::open(folder.path(), 5).unwrap());
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(kept.lines().count(), 6);
        assert!(kept.lines().all(|line| text.contains(line)));
    }
}
