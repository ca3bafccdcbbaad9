//! Ground truth comes back as it was written, and goes when the dictionary is analysed anew.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use api::{
    Bar, Class, ClassCuts, ConceptTruth, GroundTruth, LatentTruth, Positions, SteeringAction,
    SteeringDose, SteeringOutcome, SteeringTest,
};
use common::{fill, rows};
use store::{Error, Store, Writer};

fn truth(slug: &str) -> GroundTruth {
    GroundTruth {
        dictionary: slug.into(),
        cut: 0.75,
        chat_only: 3,
        concepts: vec![ConceptTruth {
            concept: "false statement".into(),
            against: "true statements".into(),
            positives: 30,
            negatives: 30,
            bar: Some(Bar::AtLeast(0.97)),
            above_cut: Some(LatentTruth {
                latent: 2,
                class: Class::ChatOnly,
                delta_norm: 0.8,
                auroc_validation: 1.0,
                auroc: 1.0 / 3.0,
                threshold: f64::from(0.1f32),
                precision: None,
                recall: 0.0,
                label: None,
            }),
            ..ConceptTruth::default()
        }],
        steering: vec![SteeringTest {
            concept: "false statement".into(),
            action: SteeringAction::Add,
            positions: Positions::Template,
            above_cut: false,
            control: true,
            sets: vec![vec![0], vec![1]],
            prompts: "true statements".into(),
            prompt: Some("Is it true that a lion eats meat?".into()),
            answer: Some("No, that is not true.".into()),
            count: 30,
            outcome: SteeringOutcome::Corrects,
            undisturbed: 0.0,
            doses: vec![SteeringDose {
                dose: 0.5,
                share: 0.1,
            }],
            chosen: 0.5,
            bar: Some(Bar::AtMost(0.1)),
        }],
        ..GroundTruth::default()
    }
}

fn absent(store: &Store, slug: &str) -> bool {
    matches!(store.truth(slug), Err(Error::NoTruth { dictionary }) if dictionary == slug)
}

#[test]
fn truth_comes_back_and_goes_with_the_analysis_it_speaks_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let open = || Store::open(&path, &ClassCuts::default()).unwrap();
    for slug in ["a", "b"] {
        let writer = Writer::replace(&path, slug).unwrap();
        fill(&writer, &rows(5, 1));
        writer.finish().unwrap();
    }
    let before = open();
    assert!(absent(&before, "a") && absent(&before, "b"));
    assert!(matches!(
        before.truth("c"),
        Err(Error::UnknownDictionary { .. })
    ));
    for slug in ["a", "b"] {
        let writer = Writer::amend(&path, slug).unwrap();
        writer.set_truth(&truth(slug)).unwrap();
        writer.finish().unwrap();
    }
    let after = open();
    assert_eq!(after.truth("a").unwrap(), truth("a"));
    assert_eq!(after.truth("b").unwrap(), truth("b"));
    assert_ne!(before.revision(), after.revision());

    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &rows(5, 2));
    writer.finish().unwrap();
    assert!(absent(&open(), "a"));
    assert_eq!(open().truth("b").unwrap(), truth("b"));
}

#[test]
fn a_database_from_before_ground_truth_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let connection = duckdb::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE truth").unwrap();
    connection.close().unwrap();
    assert!(absent(
        &Store::open(&path, &ClassCuts::default()).unwrap(),
        "a"
    ));
    let writer = Writer::amend(&path, "a").unwrap();
    writer.set_truth(&truth("a")).unwrap();
    writer.finish().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    assert_eq!(store.truth("a").unwrap(), truth("a"));
    let mut weights = Store::in_memory(&ClassCuts::default());
    weights.add_weights("l1", rows(3, 1)).unwrap();
    assert!(absent(&weights, "l1"));
}
