//! Causal effects come back as they were written, and stay when other parts are written anew.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use api::{CausalEffects, CausalMeasure, CausalMetric, CausalScope, CausalSetup, ClassCuts};
use common::{fill, rows};
use store::{Store, Writer};

fn measure(scope: CausalScope, mean: f64, count: u64) -> CausalMeasure {
    let variance = (count > 1).then_some(0.5);
    CausalMeasure {
        scope,
        metric: CausalMetric::KlFromChat,
        mean,
        variance,
        count,
        half_width: diffing::half_width(variance, count),
    }
}

fn effects() -> CausalEffects {
    let setup = |name: &str, latents, sets, mean| CausalSetup {
        name: name.into(),
        description: format!("what {name} does"),
        latents,
        sets,
        measures: vec![
            measure(CausalScope::All, mean, 100),
            measure(CausalScope::First, mean / 2.0, 1),
        ],
    };
    CausalEffects {
        dialogues: 12,
        source: "12 dialogues of the collection".into(),
        candidates: 40,
        setups: vec![
            setup("none", None, 1, 0.5),
            setup("random_any", Some(20), 5, 0.25),
            // Alphabetical order is not the order of showing.
            setup("all", None, 1, 0.125),
        ],
    }
}

#[test]
fn effects_come_back_in_order_and_survive_other_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let open = || Store::open(&path, &ClassCuts::default()).unwrap();
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let before = open();
    assert_eq!(before.effects("btk").unwrap(), CausalEffects::default());
    assert!(before.effects("l1").is_err());

    let writer = Writer::amend(&path, "btk").unwrap();
    writer.set_effects(&effects()).unwrap();
    writer.finish().unwrap();
    let after = open();
    assert_eq!(after.effects("btk").unwrap(), effects());
    assert_ne!(before.revision(), after.revision());

    let writer = Writer::amend(&path, "btk").unwrap();
    writer.set_meta("corpus", "other").unwrap();
    writer.finish().unwrap();
    let writer = Writer::replace(&path, "l1").unwrap();
    fill(&writer, &rows(5, 2));
    writer.finish().unwrap();
    assert_eq!(open().effects("btk").unwrap(), effects());
    assert_eq!(open().effects("l1").unwrap(), CausalEffects::default());

    let fewer = CausalEffects {
        setups: effects().setups[..1].to_vec(),
        ..effects()
    };
    let writer = Writer::amend(&path, "btk").unwrap();
    writer.set_effects(&fewer).unwrap();
    writer.finish().unwrap();
    assert_eq!(open().effects("btk").unwrap(), fewer);
}

#[test]
fn a_dictionary_known_by_its_weights_has_none() {
    let mut store = Store::in_memory(&ClassCuts::default());
    store.add_weights("l1", rows(3, 1)).unwrap();
    assert_eq!(store.effects("l1").unwrap(), CausalEffects::default());
}
