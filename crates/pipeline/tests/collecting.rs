//! `init` and `collect`: references, shards that do not depend on interruptions, and faults by name.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{
    Study, WIDTH, close, collect_options, expected, fixtures, init_options, reference_corpus,
    sequences, shards, study,
};
use pipeline::{CollectOptions, Manifest, ModelRef, Precision, Progress, Silent, collect, init};

/// Ends the program, as far as a test can, after so many collected tokens.
struct Killer {
    after: u64,
    seen: AtomicU64,
    collecting: AtomicBool,
}

impl Progress for Killer {
    fn start(&self, step: &str, _: &str, _: u64) {
        self.collecting.store(step == "collect", Ordering::Relaxed);
    }
    fn advance(&self, done: u64) {
        if self.collecting.load(Ordering::Relaxed) {
            self.seen.store(done, Ordering::Relaxed);
            assert!(done < self.after, "killed");
        }
    }
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, _: &str) {}
}

fn contents(study: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(study.join("activations"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn message(options: &CollectOptions) -> String {
    collect(options, &Silent).unwrap_err().to_string()
}

#[test]
fn init_refers_and_does_not_copy() {
    let study = study();
    let files = fs::read_dir(&study.path).unwrap().count();
    assert_eq!(files, 1, "study.toml alone");
    let manifest = Manifest::read(&study.path).unwrap();
    assert_eq!(manifest.name, "study");
    assert_eq!(manifest.layer, 2);
    let base = manifest.base.unwrap().path.unwrap();
    assert!(base.is_absolute() && base.ends_with("base"));
    let kinds: Vec<_> = manifest
        .dictionaries
        .iter()
        .map(|d| d.kind.clone().unwrap())
        .collect();
    assert_eq!(kinds, ["l1", "batchtopk"]);

    let mut options = init_options(&study.path);
    options.name = Some("again".into());
    let refused = init(&options).unwrap_err().to_string();
    assert!(refused.contains("--force"), "{refused}");
    options.force = true;
    init(&options).unwrap();
    assert_eq!(Manifest::read(&study.path).unwrap().name, "again");
}

#[test]
fn init_keeps_places_inside_the_study_relative() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("s");
    for model in ["base", "chat"] {
        let inside = study.join("models").join(model);
        fs::create_dir_all(&inside).unwrap();
        for file in fs::read_dir(fixtures().join(model)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), inside.join(file.file_name())).unwrap();
        }
    }
    let mut options = init_options(&study);
    options.base = ModelRef::folder(study.join("models/base"));
    options.chat = ModelRef::folder(study.join("models/chat"));
    init(&options).unwrap();
    let manifest = Manifest::read(&study).unwrap();
    assert_eq!(
        manifest.base.unwrap().path.unwrap(),
        Path::new("models/base")
    );
}

#[test]
fn init_refuses_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("s");
    let refused = |change: &dyn Fn(&mut pipeline::InitOptions), parts: &[&str]| {
        let mut options = init_options(&study);
        change(&mut options);
        let message = init(&options).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
        assert!(!study.join("study.toml").exists());
    };
    refused(&|o| o.layer = 4, &["layer is 4", "0 to 3"]);
    refused(&|o| o.base = ModelRef::folder("/nowhere"), &["/nowhere"]);
    refused(
        &|o| o.base = pipeline::reference("hub:a/b@main"),
        &["hub:a/b@main", "not whole in the cache"],
    );
    refused(&|o| o.dictionaries[0].0 = "No Slug".into(), &["No Slug"]);
    let narrow = folder.path().join("narrow");
    let settings = pipeline::Settings {
        k: 2,
        ..pipeline::Settings::default()
    };
    crosscoder::train::Trainer::new(settings, 7, 5, None)
        .unwrap()
        .save(&narrow, &crosscoder::train::Origin::default())
        .unwrap();
    refused(
        &|o| o.dictionaries[1].1 = ModelRef::folder(&narrow),
        &["batchtopk", "width 7", "48"],
    );
}

#[test]
fn collected_activations_are_the_references() {
    let study = study();
    let corpus = reference_corpus(study.path.parent().unwrap());
    let options = CollectOptions {
        corpora: vec![corpus],
        ..collect_options(&study)
    };
    let summary = collect(&options, &Silent).unwrap();
    assert_eq!(
        (summary.sequences, summary.truncated, summary.empty),
        (2, 0, 0)
    );
    let found: Vec<f64> = sequences(&study.path)
        .iter()
        .flat_map(|s| s.activations.iter().map(|&x| f64::from(x)))
        .collect();
    close(&found, &expected()["activations"], 1e-4, "activations");
    assert_eq!(
        Manifest::read(&study.path).unwrap().corpora,
        ["reference.jsonl"]
    );
}

#[test]
fn shards_hold_tokens_kinds_origins_and_statistics() {
    let study = study();
    let summary = collect(&collect_options(&study), &Silent).unwrap();
    let sequences = sequences(&study.path);
    assert_eq!(summary.sequences, 90);
    assert_eq!(sequences.len(), 90);
    assert!(summary.shards > 2);
    assert!(
        sequences
            .iter()
            .all(|s| s.kinds[0] == 0 && s.kinds[1..].iter().all(|&k| k > 0))
    );
    assert!(
        sequences[0].kinds.contains(&1),
        "a dialogue has template tokens"
    );
    assert!(!sequences[1].kinds.contains(&1));
    assert!(sequences[0].roles.contains(&1) && sequences[0].roles.contains(&2));
    assert!(sequences[1].roles.iter().all(|&role| role == 0));
    assert_eq!(sequences[0].origin["labels"][0], "qa");
    assert_eq!(sequences[1].origin["source"], "corpus.jsonl: web");

    let text = fs::read_to_string(study.path.join("activations/manifest.json")).unwrap();
    let contents: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(contents["tokens"], summary.tokens);
    for model in 0..2 {
        let values: Vec<f64> = sequences
            .iter()
            .flat_map(|s| s.activations.chunks(WIDTH).skip(model).step_by(2))
            .map(|row| f64::from(row[5]))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let moments = &contents["moments"][model];
        close(
            &[moments["mean"][5].as_f64().unwrap()],
            &[mean],
            1e-9,
            "mean",
        );
        close(
            &[moments["m2"][5].as_f64().unwrap()],
            &[squares],
            1e-9,
            "m2",
        );
    }
}

#[test]
fn an_interrupted_run_gives_the_same_shards() {
    let (whole, broken) = (study(), study());
    fs::copy(&whole.corpus, &broken.corpus).unwrap();
    collect(&collect_options(&whole), &Silent).unwrap();

    let killer = Killer {
        after: 1300,
        seen: AtomicU64::new(0),
        collecting: AtomicBool::new(false),
    };
    let run = catch_unwind(AssertUnwindSafe(|| {
        collect(&collect_options(&broken), &killer).map(|_| ())
    }));
    assert!(run.is_err() && killer.seen.load(Ordering::Relaxed) >= 1300);
    assert!(!broken.path.join("activations/manifest.json").exists());
    let finished = shards(&broken.path);
    assert!(!finished.is_empty() && finished.len() < shards(&whole.path).len());
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = finished.iter().map(|path| written(path)).collect();
    // What a kill in the middle of writing leaves.
    let half = broken
        .path
        .join("activations/shard-00009-0123456789abcdef.safetensors.tmp");
    fs::write(&half, "half").unwrap();

    let summary = collect(&collect_options(&broken), &Silent).unwrap();
    assert_eq!(summary.resumed, finished.len());
    let after: Vec<_> = finished.iter().map(|path| written(path)).collect();
    assert_eq!(before, after, "finished shards are not done again");
    fs::remove_file(half).unwrap();
    assert!(contents(&whole.path) == contents(&broken.path));

    let again = collect(&collect_options(&whole), &Silent).unwrap();
    assert_eq!(again.resumed, again.shards);
}

#[test]
fn tokens_and_context_bound_the_collection() {
    let study = study();
    let all = collect(&collect_options(&study), &Silent).unwrap();
    let lengths: Vec<u64> = sequences(&study.path)
        .iter()
        .map(|s| s.tokens.len() as u64)
        .collect();
    for bound in [lengths[0], lengths[0] + lengths[1] - 1, 777] {
        let options = CollectOptions {
            tokens: bound,
            force: true,
            ..collect_options(&study)
        };
        let summary = collect(&options, &Silent).unwrap();
        let mut sum = 0;
        let fitting: Vec<u64> = lengths
            .iter()
            .copied()
            .take_while(|length| {
                sum += length;
                sum <= bound
            })
            .collect();
        assert_eq!(summary.sequences, fitting.len() as u64, "{bound}");
        assert_eq!(summary.tokens, fitting.iter().sum::<u64>());
    }
    let refused = message(&CollectOptions {
        tokens: 5,
        ..collect_options(&study)
    });
    assert!(
        refused.contains("--tokens") && refused.contains("--force"),
        "{refused}"
    );
    let too_few = message(&CollectOptions {
        tokens: 2,
        force: true,
        ..collect_options(&study)
    });
    assert!(too_few.contains("larger bound"), "{too_few}");
    let cut = CollectOptions {
        context: 8,
        force: true,
        ..collect_options(&study)
    };
    let summary = collect(&cut, &Silent).unwrap();
    assert_eq!(summary.sequences, all.sequences);
    assert_eq!(
        summary.truncated,
        lengths.iter().filter(|&&l| l > 8).count() as u64
    );
    assert!(sequences(&study.path).iter().all(|s| s.tokens.len() <= 8));
}

#[test]
fn half_precision_is_half_the_size() {
    let study = study();
    collect(&collect_options(&study), &Silent).unwrap();
    let size = |study: &Study| -> u64 {
        shards(&study.path)
            .iter()
            .map(|p| fs::metadata(p).unwrap().len())
            .sum()
    };
    let full = size(&study);
    for precision in [Precision::Bf16, Precision::F16] {
        let options = CollectOptions {
            precision,
            force: true,
            ..collect_options(&study)
        };
        collect(&options, &Silent).unwrap();
        assert!(size(&study) < full * 6 / 10);
    }
}

#[test]
fn plain_text_and_several_corpora_are_read_in_order() {
    let study = study();
    let text = study.corpus.with_file_name("notes.txt");
    fs::write(&text, "The owl eats.\n\n\nLima is in Peru.\nSo it is.\n\n").unwrap();
    let empty = study.corpus.with_file_name("empty.jsonl");
    fs::write(&empty, "{\"text\": \"\"}\n{\"text\": \"Norway\"}\n").unwrap();
    let options = CollectOptions {
        corpora: vec![text, empty],
        ..collect_options(&study)
    };
    let summary = collect(&options, &Silent).unwrap();
    assert_eq!((summary.sequences, summary.empty), (3, 1));
    let sources: Vec<_> = sequences(&study.path)
        .iter()
        .map(|s| s.origin["source"].clone())
        .collect();
    assert_eq!(sources, ["notes.txt", "notes.txt", "empty.jsonl"]);
    let text = fs::read_to_string(study.path.join("activations/manifest.json")).unwrap();
    let contents: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |shard: usize| contents["shards"][shard]["corpus"].as_u64();
    assert_eq!((of(0), of(1)), (Some(0), Some(1)), "one corpus a shard");
    assert_eq!(contents["identity"]["corpora"][1]["name"], "empty.jsonl");
}

#[test]
fn broken_corpora_are_named() {
    let study = study();
    let missing = CollectOptions {
        corpora: vec![study.path.join("no.jsonl")],
        ..collect_options(&study)
    };
    assert!(message(&missing).contains("no.jsonl"));
    let none = CollectOptions {
        corpora: Vec::new(),
        ..collect_options(&study)
    };
    assert!(message(&none).contains("--corpus"));
    for (line, part) in [
        ("{\"text\": 1}", "line 2"),
        (
            "{\"messages\": [{\"role\": \"wizard\", \"content\": \"x\"}]}",
            "line 2",
        ),
    ] {
        fs::write(&study.corpus, format!("{{\"text\": \"fine\"}}\n{line}\n")).unwrap();
        let refused = message(&collect_options(&study));
        assert!(refused.contains(part), "{refused}");
    }
}
