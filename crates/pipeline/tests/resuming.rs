//! An analysis that was ended goes on from its checkpoints to the bits of one that was not.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;

use common::{Study, collected, everything};
use pipeline::{
    AnalyseOptions, DeviceChoice, EffectOptions, Progress, ShardOf, Step, analyse, merge_analyses,
    open_store,
};

fn options(study: &Study) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: "batchtopk".into(),
        correlated_sample: 2000,
        checkpoint_seconds: 0,
        effects: EffectOptions {
            effective: Some(100),
            most: 10,
            seeds: 2,
            ..EffectOptions::default()
        },
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

/// Hears what is said and how much of every step was done, and dies where it is told to, as a killed program does.
#[derive(Default)]
struct Listener {
    step: Mutex<String>,
    said: Mutex<Vec<String>>,
    /// Step, and first amount told of it.
    began: Mutex<Vec<(String, u64)>>,
    kill: Option<(&'static str, usize)>,
    told: Mutex<usize>,
}

impl Listener {
    fn killer(step: &'static str, after: usize) -> Self {
        Self {
            kill: Some((step, after)),
            ..Self::default()
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Amount first told of a step.
    fn began(&self, step: &str) -> u64 {
        let began = self.began.lock().unwrap();
        began.iter().find(|(name, _)| name == step).unwrap().1
    }
}

impl Progress for Listener {
    fn start(&self, step: &str, _: &str, _: u64) {
        *self.step.lock().unwrap() = step.into();
        *self.told.lock().unwrap() = 0;
    }
    fn advance(&self, done: u64) {
        let step = self.step.lock().unwrap().clone();
        let told = {
            let mut told = self.told.lock().unwrap();
            *told += 1;
            *told
        };
        if told == 1 {
            self.began.lock().unwrap().push((step.clone(), done));
        }
        let killed = self
            .kill
            .is_some_and(|(name, after)| name == step && told >= after);
        assert!(!killed, "killed");
    }
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, sentence: &str) {
        self.said.lock().unwrap().push(sentence.into());
    }
}

fn killed(options: &AnalyseOptions, step: &'static str, after: usize) {
    let killer = Listener::killer(step, after);
    assert!(catch_unwind(AssertUnwindSafe(|| analyse(options, &killer))).is_err());
}

fn checkpoints(study: &Study) -> Vec<PathBuf> {
    let folder = study.path.join("analysis/batchtopk");
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "checkpoint"))
        .collect();
    paths.sort();
    paths
}

fn shown(study: &Study) -> Vec<String> {
    everything(&open_store(&study.path).unwrap())
}

/// A study, and what an analysis that nothing disturbs says of it.
fn expected() -> (Study, Vec<String>) {
    let study = collected();
    analyse(&options(&study), &Listener::default()).unwrap();
    let all = shown(&study);
    fs::remove_file(study.path.join("study.duckdb")).unwrap();
    (study, all)
}

#[test]
fn a_run_killed_in_every_pass_ends_with_the_same_bits() {
    let (study, expected) = expected();
    assert!(checkpoints(&study).is_empty());
    let options = options(&study);
    for step in ["scan", "effects", "examples", "correlations", "second-scan"] {
        killed(&options, step, 3);
        assert!(!study.path.join("study.duckdb").exists());
    }
    assert_eq!(checkpoints(&study).len(), 5);
    let listener = Listener::default();
    analyse(&options, &listener).unwrap();
    assert_eq!(listener.said().matches("going on from").count(), 5);
    assert!(shown(&study) == expected, "numbers differ");
    assert!(
        checkpoints(&study).is_empty(),
        "a finished analysis keeps none"
    );
}

#[test]
fn what_was_done_is_not_done_again() {
    let (study, _) = expected();
    let options = options(&study);
    let first = Listener::killer("examples", 4);
    assert!(catch_unwind(AssertUnwindSafe(|| analyse(&options, &first))).is_err());
    let second = Listener::killer("examples", 1);
    assert!(catch_unwind(AssertUnwindSafe(|| analyse(&options, &second))).is_err());
    assert!(
        second.began("examples") > first.began("examples"),
        "{} {}",
        second.began("examples"),
        first.began("examples")
    );
    let scanned = second.began.lock().unwrap();
    assert!(
        scanned
            .iter()
            .all(|(step, _)| step != "scan" && step != "effects")
    );
}

#[test]
fn stale_and_broken_checkpoints_are_ignored_with_a_sentence() {
    let (study, expected) = expected();
    let options = options(&study);
    killed(&options, "scan", 3);
    let [broken] = &checkpoints(&study)[..] else {
        panic!("{:?}", checkpoints(&study));
    };
    let mut bytes = fs::read(broken).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(broken, bytes).unwrap();
    let other = AnalyseOptions {
        jump_threshold: None,
        seed: 5,
        ..options.clone()
    };
    killed(&other, "scan", 2);
    let stale = checkpoints(&study);
    assert_eq!(stale.len(), 2, "each run has its own");
    let listener = Listener::default();
    analyse(&options, &listener).unwrap();
    let said = listener.said();
    assert!(!said.contains("going on from"), "{said}");
    for path in stale {
        let name = path.file_name().unwrap().to_str().unwrap();
        let of_it: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(of_it.len(), 1, "{said}");
        assert!(of_it[0].contains("ignored"));
    }
    assert!(said.contains("damaged") && said.contains("other options"));
    assert!(shown(&study) == expected, "numbers differ");
    assert!(checkpoints(&study).is_empty());
}

#[test]
fn a_killed_shard_goes_on_and_leaves_the_others_alone() {
    let study = collected();
    let part = |index, steps: &[Step]| AnalyseOptions {
        shard: Some(ShardOf::new(index, 2).unwrap()),
        steps: steps.to_vec(),
        ..options(&study)
    };
    let mut results = Vec::new();
    for disturbed in [false, true] {
        for steps in [
            &[Step::Scaling, Step::Statistics, Step::Correlated][..],
            &[Step::Examples, Step::Correlated, Step::Effects],
        ] {
            if disturbed {
                let last = if steps.contains(&Step::Effects) {
                    "effects"
                } else {
                    "examples"
                };
                killed(&part(1, steps), last, 2);
                killed(&part(0, steps), last, 2);
                assert!(checkpoints(&study).len() >= 2);
            }
            for index in [0, 1] {
                let listener = Listener::default();
                analyse(&part(index, steps), &listener).unwrap();
                assert_eq!(listener.said().contains("going on from"), disturbed);
                assert!(!listener.said().contains("ignored"), "{}", listener.said());
            }
            merge_analyses(&study.path, DeviceChoice::Cpu, &Listener::default()).unwrap();
        }
        results.push(shown(&study));
        fs::remove_file(study.path.join("study.duckdb")).unwrap();
    }
    assert!(results[0] == results[1], "numbers differ");
    assert!(checkpoints(&study).is_empty());
}
