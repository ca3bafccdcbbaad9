//! The step `effects` of `analyse`: what it measures, on which dialogues, and what it leaves alone.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use api::{CausalEffects, CausalMetric, CausalScope};
use common::{Study, collected, sequences, study};
use pipeline::{
    AnalyseOptions, AnalyseSummary, DeviceChoice, EffectOptions, Progress, ShardOf, Silent, Step,
    analyse, open_store,
};

fn options(study: &Study, steps: &[Step], effects: EffectOptions) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: "batchtopk".into(),
        steps: steps.to_vec(),
        effects,
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

fn run(study: &Study, steps: &[Step], effects: EffectOptions) -> AnalyseSummary {
    analyse(&options(study, steps, effects), &Silent).unwrap()
}

fn stored(study: &Study) -> CausalEffects {
    open_store(&study.path)
        .unwrap()
        .effects("batchtopk")
        .unwrap()
}

fn effective(count: usize) -> EffectOptions {
    EffectOptions {
        effective: Some(count),
        ..EffectOptions::default()
    }
}

fn mean(effects: &CausalEffects, name: &str, metric: CausalMetric) -> f64 {
    let setup = effects.setups.iter().find(|s| s.name == name).unwrap();
    setup.measure(CausalScope::All, metric).unwrap().mean
}

#[test]
fn a_full_analysis_measures_effects_on_the_collections_dialogues() {
    let study = collected();
    let summary = run(&study, &[], effective(100));
    assert!(summary.skipped.is_empty(), "{:?}", summary.skipped);
    let shown = summary.to_string();
    let found = summary.effects.unwrap();
    let effects = stored(&study);
    assert_eq!(found.effects, effects);
    assert_eq!(effects.dialogues, 30, "every third of 90 documents is one");
    assert!(effects.source.contains("held out"), "{}", effects.source);
    assert!(effects.candidates >= 2, "{:?}", found.left_out);
    assert_eq!(effects.setups.len(), 15, "{:?}", found.left_out);
    for name in ["random_chat_only", "random_any"] {
        let setup = effects.setups.iter().find(|s| s.name == name).unwrap();
        assert_eq!(
            (setup.sets, setup.latents),
            (5, Some(effects.candidates / 2))
        );
        let one = &effects.setups[0].measures[0];
        assert_eq!(setup.measures[0].count, 5 * one.count);
    }
    for setup in &effects.setups {
        assert!(shown.contains(&setup.name), "{shown}");
        assert_eq!(setup.measures.len(), 12);
        for measure in &setup.measures {
            assert!(measure.mean.is_finite() && measure.half_width.unwrap() >= 0.0);
        }
    }
    let from_chat = |name: &str| mean(&effects, name, CausalMetric::KlFromChat);
    assert_eq!(from_chat("chat"), 0.0);
    assert_eq!(mean(&effects, "base", CausalMetric::KlFromBase), 0.0);
    assert!(from_chat("none") > 0.0 && from_chat("all") != from_chat("none"));
    // The interval's tokens are the assistant's, counted in the shards by their roles.
    let roles: usize = sequences(&study.path)
        .iter()
        .map(|s| answer_tokens(&s.tokens))
        .sum();
    assert_eq!(effects.setups[0].measures[0].count, roles as u64);
}

/// Tokens of the assistant's turn and its end, by the ids of the reference's tokenizer.
fn answer_tokens(ids: &[u32]) -> usize {
    let tokenizer = gemma::Tokenizer::open(common::fixtures().join("chat")).unwrap();
    let start = tokenizer.id("<start_of_turn>").unwrap();
    let Some(second) = ids.iter().rposition(|&id| id == start).filter(|&at| at > 1) else {
        return 0;
    };
    let newline = ids[second..]
        .iter()
        .position(|&id| tokenizer.is_newline(id))
        .unwrap();
    let end = tokenizer.end_of_turn().unwrap();
    let end = ids.iter().rposition(|&id| id == end).unwrap();
    end - (second + newline)
}

#[test]
fn one_step_alone_keeps_what_others_wrote() {
    let study = collected();
    run(&study, &[Step::Scaling, Step::Statistics], effective(100));
    let before = open_store(&study.path)
        .unwrap()
        .rows("batchtopk")
        .unwrap()
        .to_vec();
    assert_eq!(stored(&study), CausalEffects::default());
    let few = EffectOptions {
        most: 4,
        seeds: 2,
        ..effective(100)
    };
    run(&study, &[Step::Effects], few.clone());
    let first = stored(&study);
    assert_eq!(first.dialogues, 4);
    assert_eq!(
        open_store(&study.path).unwrap().rows("batchtopk").unwrap(),
        before
    );
    // The halves need the ratios, which the earlier run left.
    assert!(first.setups.iter().any(|s| s.name == "scaling_best"));
    run(&study, &[Step::Neighbours], few.clone());
    assert_eq!(stored(&study), first);
    run(&study, &[Step::Effects], few);
    assert_eq!(stored(&study), first, "the same again");
}

#[test]
fn dialogues_of_a_file_need_no_collection() {
    let study = study();
    let file = study.path.join("mine.jsonl");
    let one = |text: &str| serde_json::json!({"messages": [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": text}]});
    let question = serde_json::json!({"messages": [{"role": "user", "content": "Is it?"}]});
    fs::write(
        &file,
        format!("{}\n{question}\n{}\n", one("It is."), one("It is not.")),
    )
    .unwrap();
    let mine = EffectOptions {
        dialogues: Some(file.clone()),
        ..EffectOptions::default()
    };
    let summary = run(&study, &[Step::Effects], mine.clone());
    let found = summary.effects.unwrap();
    assert_eq!(found.effects.dialogues, 2, "a question alone has no answer");
    assert_eq!(found.effects.source, "2 dialogues of mine.jsonl");
    assert_eq!(stored(&study), found.effects);
    assert!(!found.left_out.is_empty());

    let refused = |content: String| {
        fs::write(&file, content).unwrap();
        let options = options(&study, &[Step::Effects], mine.clone());
        analyse(&options, &Silent).unwrap_err().to_string()
    };
    let text = refused("{\"text\": \"hi\"}\n".into());
    assert!(
        text.contains("line 1") && text.contains("messages"),
        "{text}"
    );
    let unanswered = refused(format!("{question}\n"));
    assert!(
        unanswered.contains("mine.jsonl") && unanswered.contains("answer"),
        "{unanswered}"
    );
    assert_eq!(stored(&study), found.effects, "a refusal changes nothing");
}

#[test]
fn without_dialogues_or_in_shards_the_step_is_skipped_with_a_sentence() {
    let bare = study();
    let skipped = run(
        &bare,
        &[Step::Neighbours, Step::Effects],
        EffectOptions::default(),
    )
    .skipped;
    assert!(
        skipped
            .iter()
            .any(|s| s.contains("effects") && s.contains("collect")),
        "{skipped:?}"
    );

    let web = study();
    let lines: Vec<String> = (0..20)
        .map(|i| format!("{{\"text\": \"Peru eats {i} owls.\"}}\n"))
        .collect();
    fs::write(&web.corpus, lines.concat()).unwrap();
    pipeline::collect(&common::collect_options(&web), &Silent).unwrap();
    let skipped = run(&web, &[], EffectOptions::default()).skipped;
    assert!(
        skipped
            .iter()
            .any(|s| s.contains("effects") && s.contains("--dialogues")),
        "{skipped:?}"
    );

    let dialogues = collected();
    let part = AnalyseOptions {
        shard: Some(ShardOf { index: 0, count: 2 }),
        ..options(
            &dialogues,
            &[Step::Scaling, Step::Effects],
            EffectOptions::default(),
        )
    };
    let skipped = analyse(&part, &Silent).unwrap().skipped;
    assert!(
        skipped[0].contains("effects") && skipped[0].contains("merge"),
        "{skipped:?}"
    );
}

/// Dies in the middle of the effects, as a killed program does.
#[derive(Default)]
struct Killer(Mutex<String>);

impl Progress for Killer {
    fn start(&self, step: &str, _: &str, _: u64) {
        *self.0.lock().unwrap() = step.into();
    }
    fn advance(&self, done: u64) {
        let step = self.0.lock().unwrap().clone();
        assert!(step != "effects" || done < 3, "killed");
    }
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, _: &str) {}
}

#[test]
fn a_killed_run_leaves_the_study_as_it_was() {
    let study = collected();
    run(&study, &[Step::Effects], effective(100));
    let database = study.path.join("study.duckdb");
    let (before, bytes) = (stored(&study), fs::read(&database).unwrap());
    let other = options(&study, &[], effective(50));
    let killed = catch_unwind(AssertUnwindSafe(|| analyse(&other, &Killer::default())));
    assert!(killed.is_err());
    assert!(
        fs::read(&database).unwrap() == bytes,
        "the database changed"
    );
    assert_eq!(stored(&study), before);
    let finished = analyse(&other, &Silent).unwrap();
    assert_eq!(stored(&study), finished.effects.unwrap().effects);
}
