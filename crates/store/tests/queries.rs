//! Filters, orders and pages of the latent table against a plain reading of the rows; controls drawn from it.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::{cmp::Ordering, collections::HashSet};

use api::{Class, ClassCuts, ControlLatent, LatentRow, Verdict};
use common::{fill, rows};
use serde_json::Value;
use store::{ErrorKind, LatentQuery, Store, Writer};

const COUNT: u32 = 257;

struct Study {
    _folder: tempfile::TempDir,
    store: Store,
    rows: Vec<LatentRow>,
}

fn study() -> Study {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let rows = rows(COUNT, 11);
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows);
    writer.finish().unwrap();
    Study {
        store: Store::open(&path, &ClassCuts::default()).unwrap(),
        _folder: folder,
        rows,
    }
}

impl Study {
    fn ids(&self, query: &LatentQuery) -> Vec<u32> {
        let query = LatentQuery {
            limit: Some(api::MAX_PAGE),
            ..query.clone()
        };
        let page = self.store.latents("btk", &query).unwrap();
        assert_eq!(page.total as usize, page.rows.len());
        assert!(page.next.is_none());
        page.rows.iter().map(|row| row.id).collect()
    }

    fn expected(&self, keep: impl Fn(&LatentRow) -> bool) -> Vec<u32> {
        let kept = self.rows.iter().filter(|row| keep(row));
        kept.map(|row| row.id).collect()
    }
}

/// A column as the wire shows it: the oracle knows nothing of the store's own table of columns.
fn cell(row: &LatentRow, column: &str) -> Value {
    serde_json::to_value(row).unwrap()[column].clone()
}

fn parameters(text: &str) -> LatentQuery {
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap());
    LatentQuery::from_parameters(pairs).unwrap()
}

#[test]
fn filters_agree_with_a_plain_reading() {
    let study = study();
    assert_eq!(study.ids(&LatentQuery::default()), study.expected(|_| true));
    for &class in Class::ALL {
        let query = parameters(&format!("class={}", class.as_str()));
        assert_eq!(study.ids(&query), study.expected(|row| row.class == class));
    }
    for &verdict in Verdict::ALL {
        let query = parameters(&format!("verdict={}", verdict.as_str()));
        let expected = study.expected(|row| row.verdict == Some(verdict));
        assert_eq!(study.ids(&query), expected);
    }
    for query in ["class=shared,other", "class=shared&class=other"] {
        let expected = study.expected(|r| matches!(r.class, Class::Shared | Class::Other));
        assert_eq!(study.ids(&parameters(query)), expected);
    }
    for dead in [true, false] {
        let query = parameters(&format!("dead={dead}"));
        assert_eq!(study.ids(&query), study.expected(|r| r.dead == Some(dead)));
    }
    for column in api::LATENT_COLUMNS {
        if matches!(*column, "class" | "dead" | "label" | "verdict") {
            continue;
        }
        for bound in [0.25, 0.5, 1.0, 3.0] {
            let at_least = study.expected(|r| cell(r, column).as_f64().is_some_and(|x| x >= bound));
            let at_most = study.expected(|r| cell(r, column).as_f64().is_some_and(|x| x <= bound));
            let query = parameters(&format!("min_{column}={bound}"));
            assert_eq!(study.ids(&query), at_least, "min_{column} {bound}");
            let query = parameters(&format!("max_{column}={bound}"));
            assert_eq!(study.ids(&query), at_most, "max_{column} {bound}");
        }
    }
    let query = parameters("class=chat-only&dead=false&min_nu_epsilon=0.2&max_nu_r=1.0&q=label");
    let expected = study.expected(|r| {
        r.class == Class::ChatOnly
            && r.dead == Some(false)
            && r.nu_epsilon.is_some_and(|x| x >= 0.2)
            && r.nu_r.is_some_and(|x| x <= 1.0)
            && r.label.is_some()
    });
    assert_eq!(study.ids(&query), expected);
}

#[test]
fn text_finds_ids_labels_and_tokens() {
    let study = study();
    let search = |q: &str| {
        study.ids(&LatentQuery {
            q: Some(q.into()),
            ..LatentQuery::default()
        })
    };
    let labelled = |text: &str| {
        study.expected(|r| {
            r.label
                .as_deref()
                .is_some_and(|l| l.to_lowercase().contains(text))
        })
    };
    assert_eq!(search("LABEL 3"), labelled("label 3"));
    // Latent 1 fires on " Bomb" and on the newline of its examples, never on " flower".
    assert_eq!(search("bomb"), [1]);
    assert_eq!(search(" BOM "), [1]);
    assert_eq!(search("flower"), [0; 0]);
    let mut with_id = labelled("4");
    with_id.push(4);
    with_id.sort_unstable();
    with_id.dedup();
    assert_eq!(search("4"), with_id);
    assert_eq!(search("  ").len(), COUNT as usize);
    assert_eq!(search("'; DROP TABLE latents; --"), [0; 0]);
    assert_eq!(search("%"), [0; 0]);
}

/// NULLs last either way, ties by id.
fn oracle(rows: &[LatentRow], order: &[(&str, bool)]) -> Vec<u32> {
    let place = |value: &Value, column: &str| -> Option<f64> {
        match column {
            "class" => {
                let class: Class = serde_json::from_value(value.clone()).unwrap();
                Some(Class::ALL.iter().position(|c| *c == class).unwrap() as f64)
            }
            "verdict" => {
                let verdict: Option<Verdict> = serde_json::from_value(value.clone()).unwrap();
                verdict.map(|v| Verdict::ALL.iter().position(|x| *x == v).unwrap() as f64)
            }
            "dead" => value.as_bool().map(|b| f64::from(u8::from(b))),
            _ => value.as_f64(),
        }
    };
    let compare = |a: &LatentRow, b: &LatentRow| {
        for (column, falling) in order {
            let (x, y) = (cell(a, column), cell(b, column));
            let ordering = match (x.is_null(), y.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                _ if *column == "label" => x.as_str().cmp(&y.as_str()),
                _ => place(&x, column).partial_cmp(&place(&y, column)).unwrap(),
            };
            let ordering = if *falling {
                ordering.reverse()
            } else {
                ordering
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        a.id.cmp(&b.id)
    };
    let mut sorted: Vec<&LatentRow> = rows.iter().collect();
    sorted.sort_by(|a, b| compare(a, b));
    sorted.iter().map(|row| row.id).collect()
}

#[test]
fn pages_cover_every_row_once_in_every_order() {
    let study = study();
    let mut orders: Vec<Vec<(&str, bool)>> = Vec::new();
    for column in api::LATENT_COLUMNS {
        orders.extend([vec![(*column, false)], vec![(*column, true)]]);
    }
    orders.push(vec![
        ("class", false),
        ("nu_epsilon", true),
        ("label", false),
    ]);
    orders.push(vec![("nu_epsilon", true), ("id", true)]);
    for order in orders {
        let sort: Vec<String> = order
            .iter()
            .map(|(column, falling)| format!("{}{column}", if *falling { "-" } else { "" }))
            .collect();
        let sort = sort.join(",");
        for limit in [1, 64, 100, 1000] {
            if limit == 1 && order.len() == 1 && order[0].0 != "nu_r" {
                continue;
            }
            let (mut ids, mut cursor) = (Vec::new(), None);
            loop {
                let query = LatentQuery {
                    sort: Some(sort.clone()),
                    cursor,
                    limit: Some(limit),
                    ..LatentQuery::default()
                };
                let page = study.store.latents("btk", &query).unwrap();
                assert_eq!(page.total, u64::from(COUNT));
                assert!(page.rows.len() <= limit);
                ids.extend(page.rows.iter().map(|row| row.id));
                cursor = page.next;
                if let Some(cursor) = &cursor {
                    assert!(
                        cursor.bytes().all(|b| b.is_ascii_alphanumeric()),
                        "{cursor}"
                    );
                } else {
                    break;
                }
            }
            assert_eq!(ids, oracle(&study.rows, &order), "{sort} by {limit}");
        }
    }
}

#[test]
fn a_page_has_a_hundred_rows_unless_told_otherwise() {
    let study = study();
    let page = study.store.latents("btk", &LatentQuery::default()).unwrap();
    assert_eq!(page.rows.len(), 100);
    assert!(page.next.is_some());
}

#[test]
fn columns_are_numbers_in_the_order_of_ids() {
    let study = study();
    let names = ["nu_epsilon", "class", "verdict", "dead", "id"];
    let columns = study.store.columns("btk", &names).unwrap();
    for (index, row) in study.rows.iter().enumerate() {
        let expected = [
            row.nu_epsilon.map(|x| x as f32),
            Class::ALL
                .iter()
                .position(|c| *c == row.class)
                .map(|i| i as f32),
            row.verdict
                .and_then(|v| Verdict::ALL.iter().position(|x| *x == v))
                .map(|i| i as f32),
            row.dead.map(|dead| f32::from(u8::from(dead))),
            Some(row.id as f32),
        ];
        for (column, expected) in columns.iter().zip(expected) {
            let found = column[index];
            assert!(
                expected.map_or(found.is_nan(), |x| x == found),
                "latent {index}: {found} for {expected:?}"
            );
        }
    }
    for bad in ["label", "nu_epsilonn", ""] {
        let error = study.store.columns("btk", &["id", bad]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
    }
}

#[test]
fn values_that_cannot_be_used_are_refused() {
    let study = study();
    for (name, value) in [
        ("class", "chat_only"),
        ("verdict", "yes"),
        ("dead", "1"),
        ("limit", "many"),
        ("limit", "-1"),
        ("min_nu_r", "NaN"),
        ("max_nu_r", "low"),
        ("page", "2"),
    ] {
        let error = LatentQuery::from_parameters([(name, value)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}={value}");
        assert!(error.to_string().contains(name), "{error}");
    }
    for (name, value) in [
        ("limit", "0"),
        ("limit", "1001"),
        ("sort", "delta"),
        ("sort", "id,,nu_r"),
        ("sort", "+id"),
        ("min_delta", "1"),
        ("min_label", "1"),
        ("max_class", "1"),
        ("cursor", "x"),
        ("cursor", "0000000000000000"),
        ("cursor", "ééééééééé"),
    ] {
        let query = LatentQuery::from_parameters([(name, value)]).unwrap();
        let error = study.store.latents("btk", &query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}={value}");
    }
    let page = study
        .store
        .latents("btk", &parameters("sort=-nu_r"))
        .unwrap();
    let query = LatentQuery {
        cursor: page.next,
        ..parameters("sort=nu_r")
    };
    let error = study.store.latents("btk", &query).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Latents 0 to 199, whose largest activation is their id: latent 0 never fires.
fn numbered() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(store::DATABASE);
    let mut rows = rows(200, 1);
    for row in &mut rows {
        row.max_activation = Some(f64::from(row.id));
    }
    let writer = Writer::replace(&path, "d").unwrap();
    writer.set_latents(&rows).unwrap();
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
