//! `train`: reproducible, resumable, and in the study when it is done.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use common::{Study, collected, study};
use pipeline::{
    AnalyseOptions, ConceptTruth, DeviceChoice, GroundTruth, JsonLines, Kind, LatentTruth,
    Manifest, Progress, Settings, Silent, TrainOptions, analyse, open_store, read_truth,
    score_prompts, train, write_truth,
};

fn options(study: &Study, kind: Kind) -> TrainOptions {
    TrainOptions {
        study: study.path.clone(),
        slug: "new".into(),
        dict_size: Some(64),
        settings: Settings {
            kind,
            steps: 40,
            k: 8,
            lr: Some(2e-3),
            warmup_steps: 5,
            decay_start: Some(30),
            threshold_start_step: 10,
            threshold_beta: 0.9,
            dead_after_tokens: 2000,
            norm_init_scale: Some(0.1),
            seed: 3,
            ..Settings::default()
        },
        batch: 128,
        validation: 0.2,
        target_rms: Some(1.0),
        checkpoint_every: 10,
        log_every: 1,
        note: Some("a test".into()),
        ..TrainOptions::default()
    }
}

fn weights(study: &Path) -> Vec<u8> {
    fs::read(study.join("dictionaries/new/model.safetensors")).unwrap()
}

/// Ends the run, as far as a test can, at a step.
struct Killer(f64);

impl Progress for Killer {
    fn start(&self, _: &str, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn figures(&self, figures: &[(&str, f64)]) {
        let step = figures.iter().find(|(name, _)| *name == "step").unwrap().1;
        assert!(step < self.0, "killed");
    }
    fn finish(&self) {}
    fn say(&self, _: &str) {}
}

#[test]
fn a_dictionary_is_trained_and_named_in_the_study() {
    let study = collected();
    for (kind, name) in [(Kind::BatchTopK, "batchtopk"), (Kind::L1, "l1")] {
        let options = TrainOptions {
            slug: format!("new-{name}"),
            ..options(&study, kind)
        };
        let summary = train(&options, &Silent).unwrap();
        let fve = summary.training.fve.unwrap();
        assert!(fve.iter().all(|f| (0.05..1.0).contains(f)), "{fve:?}");
        assert_eq!(summary.training.tokens, Some(40 * 128));
        assert!(summary.next[0].contains("analyse"));
        let header = crosscoder::open(&summary.folder).unwrap();
        assert_eq!((header.kind, header.dict_size), (kind, 64));
        assert!(header.normalized);
        let manifest = Manifest::read(&study.path).unwrap();
        let entry = manifest.dictionary(&options.slug).unwrap();
        assert_eq!(entry.kind.as_deref(), Some(name));
        assert_eq!(entry.note.as_deref(), Some("a test"));
        let lines = fs::read_to_string(summary.folder.join("metrics.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 41, "every step, and the validation at the end");
        assert_eq!(lines[0]["stage"], "train");
        assert_eq!(
            (&lines[40]["stage"], &lines[40]["step"]),
            (&"val".into(), &39.into())
        );
        assert_eq!(lines[7]["num_tokens"], 8 * 128);
        assert!(lines[0]["loss"].is_number() && lines[40]["fve_chat"].is_number());

        let analysis = AnalyseOptions {
            study: study.path.clone(),
            dictionary: options.slug.clone(),
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        };
        analyse(&analysis, &Silent).unwrap();
        let facts = open_store(&study.path)
            .unwrap()
            .dictionary(&options.slug)
            .unwrap();
        let stored = facts.training.unwrap();
        common::close(&stored.fve.unwrap(), &fve, 1e-12, "fve");
        assert_eq!(stored.steps, Some(40));
        assert_eq!(stored.settings, summary.training.settings);
        assert_eq!(facts.latents, 64);
        let curves = open_store(&study.path)
            .unwrap()
            .curves(&options.slug)
            .unwrap();
        assert_eq!(curves.steps, (0..40).collect::<Vec<_>>());
        assert_eq!(curves.tokens[39], 40 * 128);
        let curve = |name: &str| {
            let found = curves.curves.iter().find(|curve| curve.name == name);
            found.unwrap().values.clone()
        };
        assert_eq!(curve("train/loss")[3], lines[3]["loss"].as_f64());
        let last = curve("val/l0");
        assert_eq!((last[38], last[39]), (None, stored.l0));
        assert_eq!(curves.curves[0].name, "train/loss", "worth reading first");
    }
    let hidden: Vec<_> = fs::read_dir(study.path.join("dictionaries"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn training_is_reproducible_and_resumes_bit_for_bit() {
    let study = collected();
    let whole = options(&study, Kind::BatchTopK);
    train(&whole, &Silent).unwrap();
    let expected = weights(&study.path);
    let metrics = fs::read(study.path.join("dictionaries/new/metrics.jsonl")).unwrap();

    let refused = train(&whole, &Silent).unwrap_err().to_string();
    assert!(refused.contains("--force"), "{refused}");
    let again = TrainOptions {
        force: true,
        ..whole.clone()
    };
    let killed = catch_unwind(AssertUnwindSafe(|| {
        train(&again, &Killer(25.0)).map(|_| ())
    }));
    assert!(killed.is_err());
    assert_eq!(
        weights(&study.path),
        expected,
        "the old dictionary stays until the new one is done"
    );

    let other = TrainOptions {
        resume: true,
        batch: 64,
        ..again.clone()
    };
    assert!(
        train(&other, &Silent)
            .unwrap_err()
            .to_string()
            .contains("other settings")
    );
    let resumed = TrainOptions {
        resume: true,
        ..again
    };
    let summary = train(&resumed, &Silent).unwrap();
    assert_eq!(summary.resumed, 20);
    assert_eq!(weights(&study.path), expected);
    let written = fs::read(study.path.join("dictionaries/new/metrics.jsonl")).unwrap();
    assert_eq!(written, metrics);
    let none = train(&resumed, &Silent).unwrap_err().to_string();
    assert!(none.contains("without --resume"), "{none}");

    let seeded = TrainOptions {
        settings: Settings {
            seed: 4,
            ..whole.settings.clone()
        },
        force: true,
        ..whole
    };
    train(&seeded, &Silent).unwrap();
    assert_ne!(weights(&study.path), expected);
}

#[test]
fn batches_are_measured_with_the_inference_threshold_too_and_nothing_changes() {
    let study = collected();
    for (kind, expected) in [(Kind::BatchTopK, 7), (Kind::L1, 0)] {
        let run = |threshold_every| {
            let options = TrainOptions {
                threshold_every,
                force: true,
                ..options(&study, kind)
            };
            let folder = train(&options, &Silent).unwrap().folder;
            let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
            let lines: Vec<serde_json::Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let measured = lines
                .into_iter()
                .filter(|line| line["stage"] == "trainthres");
            (weights(&study.path), measured.collect::<Vec<_>>())
        };
        let (plain, none) = run(0);
        let (measured, lines) = run(4);
        assert!(plain == measured, "measuring changes the weights");
        assert!(none.is_empty());
        // Steps 12, 16, … 36: the estimate begins after step 10.
        assert_eq!(lines.len(), expected);
        for line in &lines {
            assert_eq!(line["step"].as_u64().unwrap() % 4, 0);
            assert!(line["l0"].as_f64().unwrap() > 0.0 && line["fve_total"].is_number());
        }
    }
}

#[test]
fn epochs_count_passes_over_the_training_tokens() {
    let study = collected();
    let passes = |epochs| {
        let options = TrainOptions {
            epochs: Some(epochs),
            force: true,
            settings: Settings {
                decay_start: None,
                ..options(&study, Kind::BatchTopK).settings
            },
            ..options(&study, Kind::BatchTopK)
        };
        train(&options, &Silent).unwrap().training.steps.unwrap()
    };
    let one = passes(1.0);
    assert!(one > 3);
    assert_eq!(passes(3.0), 3 * one);
}

#[test]
fn retraining_removes_what_was_said_of_the_old_dictionary() {
    let study = collected();
    let options = options(&study, Kind::BatchTopK);
    train(&options, &Silent).unwrap();
    let analysis = AnalyseOptions {
        study: study.path.clone(),
        dictionary: "new".into(),
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    };
    analyse(&analysis, &Silent).unwrap();
    assert!(open_store(&study.path).unwrap().is_analysed("new"));
    let again = TrainOptions {
        force: true,
        ..options
    };
    train(&again, &Silent).unwrap();
    let store = open_store(&study.path).unwrap();
    assert!(!store.is_analysed("new"));
}

#[test]
fn training_needs_activations_and_sense() {
    let bare = study();
    let refused = train(&options(&bare, Kind::L1), &Silent)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("stereoscope collect"), "{refused}");
    let study = collected();
    let good = options(&study, Kind::BatchTopK);
    for (bad, part) in [
        (
            TrainOptions {
                slug: "A slug".into(),
                ..good.clone()
            },
            "A slug",
        ),
        (
            TrainOptions {
                batch: 10_000_000,
                ..good.clone()
            },
            "smaller batch",
        ),
        (
            TrainOptions {
                batch: 0,
                ..good.clone()
            },
            "batch",
        ),
        (
            TrainOptions {
                validation: 0.9,
                ..good.clone()
            },
            "0.9",
        ),
        (
            TrainOptions {
                dict_size: Some(4),
                ..good.clone()
            },
            "k",
        ),
        (
            TrainOptions {
                epochs: Some(-1.0),
                ..good.clone()
            },
            "-1",
        ),
    ] {
        let message = train(&bad, &Silent).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert!(!study.path.join("dictionaries/new").exists());
    }
    assert!(
        Manifest::read(&study.path)
            .unwrap()
            .dictionary("new")
            .is_err()
    );
}

#[test]
fn prompts_are_scored_and_concepts_written() {
    let study = collected();
    let analysis = AnalyseOptions {
        study: study.path.clone(),
        dictionary: "batchtopk".into(),
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    };
    let mut truth = GroundTruth {
        dictionary: "batchtopk".into(),
        ..GroundTruth::default()
    };
    let missing = write_truth(&study.path, &truth, &[]).unwrap_err();
    assert!(missing.to_string().contains("stereoscope analyse"));
    analyse(&analysis, &Silent).unwrap();
    // Prompts of the corpus: their scores are what the examples say.
    let sequences = common::sequences(&study.path);
    let prompts: Vec<Vec<u32>> = sequences.iter().take(5).map(|s| s.tokens.clone()).collect();
    let spans: Vec<_> = prompts.iter().map(|p| 1..p.len()).collect();
    let scores = score_prompts(
        &study.path,
        "batchtopk",
        &prompts,
        &spans,
        DeviceChoice::Cpu,
        &Silent,
    )
    .unwrap();
    let store = open_store(&study.path).unwrap();
    for latent in 0..store.rows("batchtopk").unwrap().len() as u32 {
        let page = store
            .examples("batchtopk", latent, None, None, Some(200))
            .unwrap();
        for example in page.examples.iter().filter(|e| e.sequence < 5) {
            let expected = example.values[1..].iter().copied().fold(0.0, f32::max);
            let found = scores[example.sequence as usize][latent as usize];
            assert!(
                (found - expected).abs() <= 1e-4 * expected.max(1.0),
                "{found} {expected}"
            );
        }
    }
    for spans in [vec![1..2; 4], vec![0..0; 5], vec![0..999; 5]] {
        let refused = score_prompts(
            &study.path,
            "batchtopk",
            &prompts,
            &spans,
            DeviceChoice::Cpu,
            &Silent,
        );
        assert!(refused.unwrap_err().to_string().contains("span"));
    }

    assert!(read_truth(&study.path, "batchtopk").unwrap().is_none());
    let best = LatentTruth {
        latent: 9,
        class: api::Class::Other,
        delta_norm: 0.95,
        auroc_validation: 1.0,
        auroc: 0.97,
        threshold: 0.5,
        precision: Some(1.0),
        recall: 0.5,
        label: Some("harm".into()),
    };
    truth.concepts.push(ConceptTruth {
        concept: "harm".into(),
        against: "benign".into(),
        positives: 3,
        negatives: 2,
        above_cut: Some(best.clone()),
        any_class: Some(best),
        ..ConceptTruth::default()
    });
    write_truth(&study.path, &truth, &[(9, "harm".into())]).unwrap();
    let found = read_truth(&study.path, "batchtopk").unwrap();
    assert_eq!(found.as_ref(), Some(&truth));
    let store = open_store(&study.path).unwrap();
    let detail = store.latent("batchtopk", 9).unwrap();
    assert_eq!(detail.row.label.as_deref(), Some("harm"));
    assert_eq!(detail.concepts.len(), 1, "a latent is named once");
    assert_eq!(detail.concepts[0].auroc, 0.97);
    assert_eq!(
        detail.concepts[0].class,
        api::Class::ChatOnly,
        "by the study's cuts"
    );
    let stranger = write_truth(&study.path, &truth, &[(4096, "x".into())]);
    assert!(stranger.unwrap_err().to_string().contains("4096"));
    // Labels survive a new analysis of the same dictionary.
    analyse(&analysis, &Silent).unwrap();
    let store = open_store(&study.path).unwrap();
    assert_eq!(
        store.latent("batchtopk", 9).unwrap().row.label.as_deref(),
        Some("harm")
    );
}

#[test]
fn progress_is_one_json_object_per_line() {
    #[derive(Clone, Default)]
    struct Sink(std::sync::Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    let study = collected();
    let lines = JsonLines::new(Box::new(sink.clone()));
    train(&options(&study, Kind::BatchTopK), &lines).unwrap();
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(objects[0]["event"], "progress");
    let last = objects
        .iter()
        .rfind(|o| o["step"] == "train" || o["unit"] == "tokens")
        .unwrap();
    assert_eq!(last["done"], 40 * 128);
    assert_eq!(last["total"], 40 * 128);
    assert!(last["fve_chat"].is_number() && last["per_second"].is_number());
}
