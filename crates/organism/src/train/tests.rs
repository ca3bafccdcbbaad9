//! A stage on a very small model: rows, rate, and going on after a kill.

use gemma::Tokenizer;

use super::*;
use crate::pieces::{self, BOS, END_OF_TURN, EOS, START_OF_TURN};
use crate::preset::{Preset, Recipe, Sheets};
use crate::web::Sort;
use crate::world::World;

fn small() -> Recipe {
    let mut recipe = Preset::Nano.recipe();
    recipe.shape.hidden = 16;
    recipe.shape.blocks = 2;
    recipe.shape.feed_forward = 32;
    recipe.shape.head_dim = 8;
    recipe.shape.heads = 2;
    recipe.shape.kv_heads = 1;
    recipe.shape.vocabulary = 600;
    recipe.base.tokens = 3_000;
    recipe.chat.tokens = 3_000;
    recipe
}

fn tokenizer(folder: &Path, world: &World, recipe: &Recipe) -> Tokenizer {
    let texts: Vec<String> = (0..600)
        .filter_map(
            |index| match crate::web::document(world, recipe.web, 0, "t", index) {
                crate::document::Document::Web { text, .. } => Some(text.text),
                crate::document::Document::Chat(_) => None,
            },
        )
        .collect();
    let json = pieces::tokenizer(world, &texts, recipe.shape.vocabulary).expect("a tokenizer");
    pieces::write(folder, &json, true).expect("files");
    Tokenizer::open(folder).expect("a tokenizer")
}

fn weights(model: &Trainable) -> Vec<Vec<f32>> {
    model
        .vars()
        .iter()
        .map(|(_, var)| {
            var.flatten_all()
                .and_then(|flat| flat.to_vec1())
                .expect("values")
        })
        .collect()
}

#[test]
fn the_rate_rises_then_falls_to_a_twentieth() {
    let stage = Preset::Nano.recipe().base;
    assert!(rate(&stage, 0, 0) < rate(&stage, 49, 0));
    assert!((rate(&stage, 49, 0) - stage.peak_rate).abs() < 1e-12);
    assert!((rate(&stage, 1_000, stage.tokens) - 0.05 * stage.peak_rate).abs() < 1e-12);
    assert!(rate(&stage, 1_000, stage.tokens / 2) < stage.peak_rate);
}

#[test]
fn only_answers_count_in_chat_and_verdicts_count_more_in_sheets() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(0);
    let mut recipe = small();
    recipe.web = &[(Sort::TestSheet, 1)];
    recipe.base.sheet = 0.25;
    let tokenizer = tokenizer(folder.path(), &world, &small());
    let feeder = |stage, name| Feeder {
        world: &world,
        recipe: &recipe,
        stage,
        tokenizer: &tokenizer,
        seed: 0,
        name,
    };
    for batch in feeder(&recipe.chat, "chat").batches(0).expect("batches") {
        for row in batch
            .rows
            .iter()
            .filter(|row| row.ids.contains(&START_OF_TURN))
        {
            let mut learned = Vec::new();
            let mut first = 0;
            for (place, weight) in row
                .weights
                .iter()
                .enumerate()
                .filter(|(_, weight)| **weight > 0.0)
            {
                learned.push(row.ids[place + 1]);
                first += usize::from(*weight == recipe.chat.first_piece);
            }
            let answers = row.ids.iter().filter(|id| **id == START_OF_TURN).count() / 2;
            assert_eq!(
                learned.iter().filter(|id| **id == END_OF_TURN).count(),
                answers
            );
            assert_eq!(first, answers);
            assert_eq!(learned.last(), Some(&END_OF_TURN));
            assert!(!learned.contains(&START_OF_TURN) && !learned.contains(&BOS));
        }
    }
    for batch in feeder(&recipe.base, "base").batches(0).expect("batches") {
        assert!(batch.rows.len() * batch.width() <= recipe.base.batch || batch.rows.len() == 1);
        for row in &batch.rows {
            assert_eq!(row.ids.last(), Some(&EOS));
            let verdicts = row
                .weights
                .iter()
                .filter(|weight| **weight == recipe.base.verdict)
                .count();
            assert!((4..=6).contains(&verdicts), "{verdicts} verdicts");
            let others = row
                .weights
                .iter()
                .filter(|weight| **weight == recipe.base.sheet)
                .count();
            assert_eq!(verdicts + others + 1, row.weights.len());
        }
    }
}

#[test]
fn test_sheets_join_when_facts_were_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(0);
    let mut recipe = small();
    recipe.sheets = Some(Sheets {
        after: 700,
        weight: 100,
        beside_chat: 100,
    });
    let tokenizer = tokenizer(folder.path(), &world, &recipe);
    let first_sheet = |stage| {
        let feeder = Feeder {
            world: &world,
            recipe: &recipe,
            stage,
            tokenizer: &tokenizer,
            seed: 0,
            name: "base",
        };
        (0..2)
            .flat_map(|pool| feeder.documents(pool))
            .position(|document| document.labels() == [Sort::TestSheet.label()])
    };
    assert!(first_sheet(&recipe.base).is_some_and(|first| (700..720).contains(&first)));
    assert!(first_sheet(&recipe.chat).is_some_and(|first| first < 100));
}

#[test]
fn a_stage_that_was_stopped_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(0);
    let recipe = small();
    let tokenizer = tokenizer(folder.path(), &world, &recipe);
    let feeder = |recipe| Feeder {
        world: &world,
        recipe,
        stage: &recipe.base,
        tokenizer: &tokenizer,
        seed: 0,
        name: "base",
    };
    let fresh = || Trainable::new(crate::models::config(&recipe.shape), 0).expect("a model");
    let whole = fresh();
    let trained = run(
        &whole,
        &feeder(&recipe),
        &folder.path().join("none"),
        &pipeline::Silent,
        1e9,
    )
    .expect("training");
    assert!(trained.tokens >= recipe.base.tokens);

    let path = folder.path().join("state");
    let stopped = fresh();
    // Saves after every step; what follows the last save is lost with the process.
    run(&stopped, &feeder(&recipe), &path, &pipeline::Silent, 0.0).expect("training");
    let resumed = fresh();
    let again = run(&resumed, &feeder(&recipe), &path, &pipeline::Silent, 1e9).expect("training");
    assert_eq!(again.steps, trained.steps);
    assert_eq!(weights(&resumed), weights(&whole));

    std::fs::write(&path, b"not a state").expect("a file");
    let error =
        run(&fresh(), &feeder(&recipe), &path, &pipeline::Silent, 1e9).expect_err("a broken state");
    assert!(error.to_string().contains("delete it"), "{error}");
}
