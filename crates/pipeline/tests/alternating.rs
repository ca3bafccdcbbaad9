//! Training on several corpora: one token of each in turn, or all in proportion; validated on the way.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::fs;
use std::sync::Mutex;

use common::{Study, study};
use pipeline::{
    CollectOptions, DataOrder, Progress, Settings, Silent, TrainOptions, collect, train,
};

fn weights(study: &Study) -> Vec<u8> {
    fs::read(study.path.join("dictionaries/new/model.safetensors")).unwrap()
}

/// Keeps what is said and the figures of the live line.
#[derive(Default)]
struct Listener {
    said: Mutex<Vec<String>>,
    figures: Mutex<Vec<String>>,
}

impl Progress for Listener {
    fn start(&self, _: &str, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn figures(&self, figures: &[(&str, f64)]) {
        let names = figures.iter().map(|(name, _)| (*name).to_string());
        *self.figures.lock().unwrap() = names.collect();
    }
    fn finish(&self) {}
    fn say(&self, sentence: &str) {
        self.said.lock().unwrap().push(sentence.to_string());
    }
}

#[test]
fn several_corpora_alternate_and_are_validated_on_the_way() {
    let study = study();
    let [web, chat] = ["web.jsonl", "chat.jsonl"].map(|name| study.corpus.with_file_name(name));
    let text = fs::read_to_string(&study.corpus).unwrap();
    let (talk, pages): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.contains("messages"));
    fs::write(&web, pages.join("\n")).unwrap();
    fs::write(&chat, talk.join("\n")).unwrap();
    let collection = CollectOptions {
        corpora: vec![web, chat],
        ..common::collect_options(&study)
    };
    collect(&collection, &Silent).unwrap();
    let alternate = TrainOptions {
        study: study.path.clone(),
        slug: "new".into(),
        dict_size: Some(64),
        settings: Settings {
            steps: 12,
            k: 8,
            lr: Some(2e-3),
            ..Settings::default()
        },
        batch: 64,
        validation: 0.2,
        target_rms: Some(1.0),
        validate_every: 5,
        checkpoint_every: 0,
        log_every: 1,
        ..TrainOptions::default()
    };
    let listener = Listener::default();
    let summary = train(&alternate, &listener).unwrap();
    let said = listener.said.lock().unwrap().join("\n");
    assert!(
        said.contains("stay unused") && said.contains("--order mix"),
        "{said}"
    );
    assert!(said.contains("after step 10: on held-out tokens"), "{said}");
    for name in ["fve_base", "fve_chat", "l0", "dead", "loss"] {
        let figures = listener.figures.lock().unwrap();
        assert!(figures.iter().any(|figure| figure == name), "{name}");
    }
    let metrics = fs::read_to_string(summary.folder.join("metrics.jsonl")).unwrap();
    let validated: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["stage"] == "val")
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(validated, [4, 9, 11]);
    let order = |summary: &pipeline::TrainSummary| {
        let settings = &summary.training.settings;
        settings.iter().find(|s| s.0 == "order").unwrap().1.clone()
    };
    assert_eq!(order(&summary), "alternate");
    let kept = weights(&study);

    // What is measured on the way changes nothing.
    let unwatched = TrainOptions {
        validate_every: 0,
        log_every: 7,
        force: true,
        ..alternate.clone()
    };
    train(&unwatched, &Silent).unwrap();
    assert_eq!(weights(&study), kept);
    let mixed = TrainOptions {
        order: Some(DataOrder::Mix),
        ..unwatched
    };
    let summary = train(&mixed, &Silent).unwrap();
    assert_eq!(order(&summary), "mix");
    assert_ne!(weights(&study), kept);
}
