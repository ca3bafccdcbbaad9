//! Latents beside the nearest ones of another dictionary: filters, bounds, order, pages, and what is not known.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use api::{ClassCuts, LatentMatch, MatchBy};
use common::{fill, rows};
use store::{ErrorKind, MatchQuery, MatchRecord, Matched, OtherMatches, Store, Writer};

const MANY: u32 = 60;

/// Of latent i of the left dictionary: latent i/2 at cosine 1 − i/100 by both rows, and none by the chat row where i is odd.
fn records() -> Vec<MatchRecord> {
    (0..MANY)
        .map(|i| {
            let cosine = 1.0 - f64::from(i) / 100.0;
            let id = i / 2;
            MatchRecord {
                both: Some(Matched { id, cosine }),
                chat: i.is_multiple_of(2).then_some(Matched {
                    id,
                    cosine: -cosine,
                }),
            }
        })
        .collect()
}

fn write(path: &Path, slug: &str, weights: &str, others: &[OtherMatches]) {
    let writer = Writer::replace(path, slug).unwrap();
    fill(&writer, &rows(MANY, u64::from(weights.len() as u32)));
    writer.set_meta("dictionary_sha256", weights).unwrap();
    writer.set_matches(others).unwrap();
    writer.finish().unwrap();
}

fn open(weights_then: &str, weights_now: &str) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(store::DATABASE);
    write(&path, "right", weights_now, &[]);
    let others = [OtherMatches {
        slug: "right".into(),
        sha256: weights_then.into(),
        records: records(),
    }];
    write(&path, "left", "weights of left", &others);
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    (dir, store)
}

fn query(parameters: &str) -> MatchQuery {
    let pairs = parameters.split('&').filter_map(|p| p.split_once('='));
    MatchQuery::from_parameters(pairs).unwrap()
}

fn ids(rows: &[LatentMatch]) -> Vec<u32> {
    rows.iter().map(|row| row.latent.id).collect()
}

#[test]
fn bounds_divide_the_selection_and_both_sides_are_whole_rows() {
    let (_dir, store) = open("w", "w");
    let (left, right) = (store.rows("left").unwrap(), store.rows("right").unwrap());
    let ask = |parameters: &str| store.matches("left", "right", &query(parameters)).unwrap();
    for filter in ["", "dead=false", "class=chat-only,shared&dead=false"] {
        let all = ask(&format!("{filter}&limit=1000"));
        assert!(all.computed.available && all.total == all.selected);
        assert_eq!(all.cosines.counts.iter().sum::<u64>(), all.total);
        let expected = store.latents("left", &query(filter).latents).unwrap();
        assert_eq!(ids(&all.rows).len() as u64, expected.total);
        for row in &all.rows {
            let id = row.latent.id as usize;
            assert_eq!(row.latent, left[id]);
            assert_eq!(row.matched.as_ref(), Some(&right[id / 2]));
            assert!((row.match_cosine.unwrap() - (1.0 - id as f64 / 100.0)).abs() < 1e-6);
        }
        // 0.705 lies between two cosines.
        let matched = ask(&format!("{filter}&min_match_cosine=0.705&limit=1000"));
        let rest = ask(&format!("{filter}&max_match_cosine=0.705&limit=1000"));
        assert!(matched.rows.iter().all(|row| row.match_cosine > Some(0.7)));
        let together: BTreeSet<u32> = ids(&matched.rows)
            .into_iter()
            .chain(ids(&rest.rows))
            .collect();
        assert_eq!(together, ids(&all.rows).into_iter().collect());
        assert_eq!(matched.total + rest.total, all.total);
        assert_eq!(matched.selected, all.selected);
    }
}

#[test]
fn a_latent_without_a_match_is_the_farthest() {
    let (_dir, store) = open("w", "w");
    let ask = |parameters: &str| store.matches("left", "right", &query(parameters)).unwrap();
    let rising = ask("by=chat&sort=match_cosine&limit=1000");
    let even = |id: &u32| id.is_multiple_of(2);
    let unmatched: Vec<u32> = (0..MANY).filter(|id| !even(id)).collect();
    let mut expected = unmatched.clone();
    expected.extend((0..MANY).filter(even));
    assert_eq!(
        ids(&rising.rows),
        expected,
        "without a match by id, then by cosine"
    );
    assert!(
        rising
            .rows
            .iter()
            .all(|row| row.matched.is_some() == even(&row.latent.id))
    );
    let falling = ask("by=chat&sort=-match_cosine&limit=1000");
    assert_eq!(falling.rows.last().unwrap().latent.id, MANY - 1);
    let below = ask("by=chat&max_match_cosine=-2&limit=1000");
    assert_eq!(ids(&below.rows), unmatched);
    assert_eq!(
        ask("by=chat&min_match_cosine=-2").total,
        u64::from(MANY / 2)
    );
}

#[test]
fn pages_in_any_order_put_together_are_the_list() {
    let (_dir, store) = open("w", "w");
    for sort in ["match_cosine", "-match_cosine", "-delta_norm,id", ""] {
        let ask = |more: &str| {
            let parameters = format!("sort={sort}&{more}");
            store.matches("left", "right", &query(&parameters)).unwrap()
        };
        let whole = ask("limit=1000");
        let mut pages = Vec::new();
        for offset in (0..u64::from(MANY) + 7).step_by(7) {
            let page = ask(&format!("offset={offset}&limit=7"));
            assert_eq!(page.total, whole.total);
            pages.extend(page.rows);
        }
        assert_eq!(pages, whole.rows, "{sort}");
    }
}

#[test]
fn what_is_not_known_says_what_to_run() {
    let (_dir, store) = open("then", "now");
    let ask = |left: &str, right: &str| store.matches(left, right, &MatchQuery::default());
    for (left, right, words) in [
        ("right", "left", "not computed"),
        ("left", "right", "other weights"),
    ] {
        let page = ask(left, right).unwrap();
        let reason = page.computed.reason.unwrap();
        assert!(!page.computed.available && page.rows.is_empty() && page.total == 0);
        assert_eq!(page.selected, u64::from(MANY));
        let command = format!("stereoscope analyse STUDY --dictionary {left} --steps matches");
        assert!(
            reason.contains(words) && reason.contains(&command),
            "{reason}"
        );
    }
    assert_eq!(ask("left", "left").unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(ask("left", "none").unwrap_err().kind(), ErrorKind::NotFound);
    for bad in [
        [("by", "base")],
        [("min_match_cosine", "x")],
        [("max_match_cosine", "NaN")],
        [("min_label", "1")],
    ] {
        let refused = MatchQuery::from_parameters(bad)
            .and_then(|query| store.matches("left", "right", &query));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
    }
}

#[test]
fn the_axis_of_cosines_reaches_from_a_tenth_below_the_least_to_1() {
    let (_dir, store) = open("w", "w");
    let page = |by| {
        let query = MatchQuery {
            by,
            ..MatchQuery::default()
        };
        store.matches("left", "right", &query).unwrap()
    };
    let ends = |by| {
        let edges = page(by).cosines.edges;
        (edges[0], *edges.last().unwrap(), edges.len())
    };
    assert_eq!(ends(MatchBy::Both), (0.4, 1.0, 31));
    assert_eq!(ends(MatchBy::Chat), (-1.0, 1.0, 101));
    assert_eq!(MatchBy::ALL.map(MatchBy::as_str), ["both", "chat"]);
}
