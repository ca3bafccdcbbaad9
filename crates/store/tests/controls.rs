//! Random latents in place of chosen ones.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::collections::HashSet;

use api::{ClassCuts, ControlLatent};
use common::{fill, rows};
use store::{ErrorKind, Store, Writer};

/// Latents 0 to 199, whose largest activation is their id: latent 0 never fires.
fn numbered() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(store::DATABASE);
    let mut rows = rows(200, 1);
    for row in &mut rows {
        row.max_activation = Some(f64::from(row.id));
    }
    let writer = Writer::replace(&path, "d").unwrap();
    fill(&writer, &rows);
    writer.finish().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    (dir, store)
}

fn ids(controls: &[ControlLatent]) -> Vec<u32> {
    controls.iter().map(|control| control.id).collect()
}

#[test]
fn controls_fire_as_strongly_and_are_drawn_once() {
    let (_dir, store) = numbered();
    let chosen: Vec<u32> = (90..110).collect();
    let mut drawn = HashSet::new();
    for seed in 0..20 {
        let controls = store.controls("d", &chosen, seed).unwrap();
        assert_eq!(controls.iter().map(|c| c.like).collect::<Vec<_>>(), chosen);
        let unique: HashSet<u32> = ids(&controls).into_iter().collect();
        assert_eq!(unique.len(), chosen.len());
        for control in &controls {
            assert!(!chosen.contains(&control.id));
            assert_eq!(control.max_activation, f64::from(control.id));
            // 20 are chosen and 20 drawn before at most: of the rest the 32 nearest lie within a factor of two.
            let ratio = control.max_activation / control.max_activation_like;
            assert!((0.5..2.0).contains(&ratio), "{control:?}");
        }
        assert_eq!(store.controls("d", &chosen, seed).unwrap(), controls);
        drawn.insert(ids(&controls));
    }
    assert!(drawn.len() > 15, "other seeds draw others");
}

#[test]
fn latents_without_a_largest_activation_have_no_controls() {
    let (_dir, store) = numbered();
    for (latents, kind) in [
        (vec![0], ErrorKind::Invalid),
        (vec![], ErrorKind::Invalid),
        ((0..257).collect(), ErrorKind::Invalid),
        ((1..200).collect(), ErrorKind::Invalid),
        (vec![3, 200], ErrorKind::NotFound),
    ] {
        let error = store.controls("d", &latents, 0).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}
