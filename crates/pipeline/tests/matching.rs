//! The nearest latents of the study's other dictionaries, against every cosine computed plainly.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use api::{LatentMatch, MatchBy};
use common::{Study, fixtures, load, study};
use crosscoder::Crosscoder;
use pipeline::{
    AnalyseOptions, DeviceChoice, DictionaryRef, Manifest, Progress, Silent, Step, analyse,
    open_store,
};
use store::{LatentQuery, MatchQuery};

fn options(study: &Study, dictionary: &str) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: dictionary.into(),
        steps: vec![Step::Matches],
        checkpoint_seconds: 0,
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

/// All matches of a dictionary with another, in the order of ids.
fn found(study: &Study, left: &str, right: &str, by: MatchBy) -> Vec<LatentMatch> {
    let query = MatchQuery {
        by,
        latents: LatentQuery {
            limit: Some(api::MAX_PAGE),
            ..LatentQuery::default()
        },
        ..MatchQuery::default()
    };
    let page = open_store(&study.path)
        .unwrap()
        .matches(left, right, &query)
        .unwrap();
    assert_eq!(page.computed.reason, None);
    page.rows
}

/// What a latent writes into the models that count.
fn written(crosscoder: &Crosscoder, id: u32, by: MatchBy) -> Vec<f64> {
    let models: &[usize] = if by == MatchBy::Both { &[0, 1] } else { &[1] };
    let rows = models.iter().flat_map(|&m| crosscoder.residual_row(m, id));
    rows.map(f64::from).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn no_other_latent_is_nearer() {
    let study = study();
    let slugs = ["l1", "batchtopk"];
    for slug in slugs {
        analyse(&options(&study, slug), &Silent).unwrap();
    }
    for (left, right) in [(slugs[0], slugs[1]), (slugs[1], slugs[0])] {
        let (one, other) = (load(left), load(right));
        let mut differ = 0;
        let both = found(&study, left, right, MatchBy::Both);
        for by in MatchBy::ALL {
            let rows = found(&study, left, right, by);
            assert_eq!(rows.len(), one.dict_size());
            for (id, row) in (0u32..).zip(&rows) {
                assert_eq!(row.latent.id, id);
                let mine = written(&one, id, by);
                let cosines: Vec<f64> = (0..other.dict_size() as u32)
                    .map(|id| cosine(&mine, &written(&other, id, by)))
                    .collect();
                let best = cosines
                    .iter()
                    .copied()
                    .filter(|x| !x.is_nan())
                    .fold(-2.0, f64::max);
                let Some(matched) = &row.matched else {
                    assert!(mine.iter().all(|x| *x == 0.0) && row.match_cosine.is_none());
                    continue;
                };
                let stored = row.match_cosine.unwrap();
                assert!((stored - cosines[matched.id as usize]).abs() < 1e-6);
                assert!((stored - best).abs() < 1e-5, "{id}: {stored}, {best}");
                differ += usize::from(row.matched != both[id as usize].matched);
            }
        }
        assert!(differ > 0, "the chat rows alone find other latents");
    }
}

/// Dies when so many blocks are done, as a killed program does, and hears where a run began.
struct Killer {
    left: AtomicU64,
    began: AtomicU64,
}

impl Progress for Killer {
    fn start(&self, _: &str, _: &str, _: u64) {}
    fn advance(&self, done: u64) {
        if self.began.load(Ordering::Relaxed) == 0 {
            self.began.store(done, Ordering::Relaxed);
        }
        assert_ne!(self.left.fetch_sub(1, Ordering::Relaxed), 1, "killed");
    }
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, _: &str) {}
}

#[test]
fn an_ended_run_goes_on_with_the_next_dictionary() {
    let study = study();
    let mut manifest = Manifest::read(&study.path).unwrap();
    manifest.dictionaries.push(DictionaryRef {
        slug: "again".into(),
        path: Some(fixtures().join("crosscoder-l1")),
        ..DictionaryRef::default()
    });
    manifest.write(&study.path).unwrap();
    for other in ["l1", "again"] {
        analyse(&options(&study, other), &Silent).unwrap();
    }
    let options = options(&study, "batchtopk");
    let killer = |left: u64| Killer {
        left: left.into(),
        began: 0.into(),
    };
    assert!(catch_unwind(AssertUnwindSafe(|| analyse(&options, &killer(2)))).is_err());
    let heir = killer(u64::MAX);
    analyse(&options, &heir).unwrap();
    let latents = load("batchtopk").dict_size() as u64;
    assert_eq!(
        heir.began.into_inner(),
        2 * latents,
        "the first dictionary is not matched again"
    );
    for by in MatchBy::ALL {
        let pairs = |other: &str| -> Vec<(Option<u32>, Option<f64>)> {
            let rows = found(&study, "batchtopk", other, by);
            let pair = |row: LatentMatch| (row.matched.map(|m| m.id), row.match_cosine);
            rows.into_iter().map(pair).collect()
        };
        // The other two have the same weights.
        assert_eq!(pairs("l1"), pairs("again"));
    }
}

#[test]
fn a_dictionary_that_is_not_there_is_told() {
    let study = study();
    let mut manifest = Manifest::read(&study.path).unwrap();
    manifest.dictionaries.push(DictionaryRef {
        slug: "gone".into(),
        path: Some("nowhere".into()),
        ..DictionaryRef::default()
    });
    manifest.write(&study.path).unwrap();
    analyse(&options(&study, "batchtopk"), &Silent).unwrap();
    let summary = analyse(&options(&study, "l1"), &Silent).unwrap();
    let told = summary
        .skipped
        .iter()
        .filter(|s| s.contains("matches with gone"));
    assert_eq!(told.count(), 1, "{:?}", summary.skipped);
    assert_eq!(found(&study, "l1", "batchtopk", MatchBy::Both).len(), 128);
}
