//! What is written comes back, other dictionaries stay, and a database that does not fit is refused.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;

use api::{Betas, ClassCuts, LatentRow};
use common::{concept, examples, fill, histogram, lens, rows, template, training};
use store::{Error, ErrorKind, LatentQuery, Store, Writer};

/// What weights alone give of the same rows.
fn weights(rows: &[LatentRow]) -> Vec<LatentRow> {
    rows.iter()
        .map(|row| LatentRow {
            id: row.id,
            class: row.class,
            delta_norm: row.delta_norm,
            norm_base: row.norm_base,
            norm_chat: row.norm_chat,
            decoder_cosine: row.decoder_cosine,
            dead: None,
            label: None,
            verdict: None,
            nu_epsilon: None,
            nu_r: None,
            betas: Betas::default(),
            frequency: None,
            active_tokens: None,
            tokens: None,
            max_activation: None,
            mean_activation: None,
            template_share: None,
        })
        .collect()
}

fn open(path: &std::path::Path) -> Store {
    Store::open(path, &ClassCuts::default()).unwrap()
}

#[test]
fn everything_written_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let rows = rows(5, 1);
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows);
    writer.finish().unwrap();
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "only the database stays"
    );

    let store = open(&path);
    assert_eq!(store.dictionaries(), ["btk"]);
    assert_eq!(store.rows("btk").unwrap(), rows);
    let facts = store.dictionary("btk").unwrap();
    assert!(facts.analysed);
    assert_eq!((facts.latents, facts.tokens), (5, Some(1000)));
    assert_eq!(facts.training, Some(training()));
    assert_eq!(facts.meta["corpus"], "web.jsonl");
    assert_eq!(facts.concepts.len(), 1);
    assert_eq!(facts.concepts[0].class, api::Class::ChatOnly);
    let counted: u64 = facts.delta_norm.counts.iter().sum();
    let known = rows.iter().filter(|row| row.delta_norm.is_some()).count();
    assert_eq!(counted, known as u64);

    let detail = store.latent("btk", 1).unwrap();
    assert_eq!(detail.row, rows[1]);
    assert_eq!(detail.histogram, Some(histogram().to_histogram()));
    assert_eq!(detail.lens_base, Some(lens(1.0)));
    assert_eq!(detail.lens_chat, Some(lens(3.0)));
    let neighbours: Vec<_> = detail.neighbours.iter().map(|n| (n.id, n.cosine)).collect();
    assert_eq!(neighbours, [(3, f64::from(0.9f32)), (0, -0.25)]);
    assert_eq!(detail.neighbours[0].class, rows[3].class);
    let groups: Vec<u32> = detail.groups.iter().map(|group| group.group).collect();
    assert_eq!(groups, [4, 2]);
    assert_eq!(detail.concepts.len(), 1);
    let shares: Vec<_> = detail
        .shares
        .iter()
        .map(|s| {
            (
                s.part.as_str(),
                s.tokens,
                s.active_tokens,
                s.mean_activation,
            )
        })
        .collect();
    assert_eq!(shares, [("web", 500, 0, None), ("chat", 500, 4, Some(0.5))]);
    let twins = |id: u32| -> Vec<u32> {
        let twins = store.latent("btk", id).unwrap().twins;
        twins.iter().map(|twin| twin.near.id).collect()
    };
    assert_eq!(
        (twins(1), twins(2), twins(0)),
        (vec![3, 2], vec![1, 4], vec![])
    );
    let correlated: Vec<_> = detail
        .correlated
        .iter()
        .map(|c| (c.id, c.correlation, c.together, c.class))
        .collect();
    assert_eq!(
        correlated,
        [(4, 0.75, 7, rows[4].class), (0, 0.5, 7, rows[0].class)]
    );
    assert_eq!(store.template_latent("btk", 1).unwrap(), template());
    assert_eq!(
        store.template_latent("btk", 2).unwrap(),
        diffing::TemplateLatent::default()
    );
    assert_eq!(store.template_tokens("btk").unwrap()["ctrl"], 40);
    let plain = store.latent("btk", 0).unwrap();
    assert!(plain.histogram.is_none() && plain.lens_base.is_none() && plain.concepts.is_empty());

    let maxima = store.max_activations("btk").unwrap();
    assert_eq!(maxima[2], rows[2].max_activation.map(|x| x as f32));
}

#[test]
fn examples_are_paged_strongest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let store = open(&path);
    for (group, expected) in [
        (None, vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0]),
        (Some(4), vec![6.0, 5.0, 4.0]),
        (Some(2), vec![3.0, 2.0, 1.0]),
        (Some(5), vec![]),
    ] {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store
                .examples("btk", 1, group, cursor.as_deref(), Some(2))
                .unwrap();
            assert_eq!(page.total, expected.len() as u64);
            found.extend(page.examples);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let maxima: Vec<f64> = found.iter().map(|example| example.max).collect();
        assert_eq!(maxima, expected, "group {group:?}");
        if let Some(first) = found.first().filter(|_| group.is_none()) {
            assert_eq!(first.values, [0.0, 6.0, 0.0, 3.0]);
            assert_eq!(first.tokens[1].text, " Bomb");
            assert_eq!(first.tokens[3].kind, api::TokenKind::Template);
            assert_eq!(first.source, "web: 0");
        }
    }
    let other_order = store.examples("btk", 1, Some(4), None, Some(1)).unwrap();
    let refused = store.examples("btk", 1, None, other_order.next.as_deref(), None);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    let refused = store.examples("btk", 1, None, None, Some(0));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.examples("btk", 0, None, None, None).unwrap().total, 0);
}

#[test]
fn a_writer_keeps_other_dictionaries_and_an_amended_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let (first, second) = (rows(5, 1), rows(6, 2));
    for (slug, rows) in [("a", &first), ("b", &second)] {
        let writer = Writer::replace(&path, slug).unwrap();
        writer.set_study_meta("seed", "7").unwrap();
        fill(&writer, rows);
        writer.finish().unwrap();
    }
    let before = open(&path);
    let revision = before.revision().to_string();
    assert_eq!(before.rows("a").unwrap(), first);
    assert_eq!(before.rows("b").unwrap(), second);
    assert_eq!(before.latent("a", 1).unwrap().lens_chat, Some(lens(3.0)));

    // Also while a reader has the old file open.
    let writer = Writer::amend(&path, "b").unwrap();
    writer.set_concepts(&[concept(2), concept(3)]).unwrap();
    writer.set_labels(&[(2, "refusal".into())]).unwrap();
    writer.finish().unwrap();
    let amended = open(&path);
    assert_eq!(
        amended.rows("b").unwrap()[2].label.as_deref(),
        Some("refusal")
    );
    let labels = amended
        .rows("b")
        .unwrap()
        .iter()
        .filter(|r| r.label.is_some());
    assert_eq!(labels.count(), 1);
    assert_eq!(amended.dictionary("b").unwrap().concepts.len(), 2);
    assert_eq!(
        amended.latent("b", 1).unwrap().histogram,
        Some(histogram().to_histogram())
    );
    assert_eq!(amended.examples("b", 1, None, None, None).unwrap().total, 6);
    assert_eq!(amended.rows("a").unwrap(), first);
    assert_eq!(
        amended.dictionary("a").unwrap(),
        before.dictionary("a").unwrap()
    );
    assert_ne!(amended.revision(), revision);

    let writer = Writer::replace(&path, "a").unwrap();
    writer.set_latents(&second).unwrap();
    writer.finish().unwrap();
    let replaced = open(&path);
    assert_eq!(replaced.rows("b").unwrap(), amended.rows("b").unwrap());
    assert_eq!(
        replaced.examples("a", 1, None, None, None).unwrap().total,
        0
    );
    assert!(replaced.dictionary("a").unwrap().counts.verdicts.is_empty());
    assert!(
        replaced
            .rows("a")
            .unwrap()
            .iter()
            .all(|row| row.verdict.is_none())
    );
}

/// Bytes of the file, and rows of the table of sequences.
fn size(path: &std::path::Path) -> (u64, u64) {
    let connection = duckdb::Connection::open(path).unwrap();
    let rows = connection
        .query_row("SELECT count(*) FROM sequences", [], |row| row.get(0))
        .unwrap();
    connection.close().unwrap();
    (fs::metadata(path).unwrap().len(), rows)
}

#[test]
fn dictionaries_of_one_collection_share_its_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let write = |slug: &str, collection: &str, keep: std::ops::Range<usize>| {
        let writer = Writer::replace(&path, slug).unwrap();
        fill(&writer, &rows(5, 1));
        let (sequences, records, _) = examples(3);
        writer
            .set_examples(
                collection,
                &sequences[keep.clone()],
                records[keep].to_vec(),
                [],
            )
            .unwrap();
        writer.finish().unwrap();
    };
    let maxima = |slug: &str| -> Vec<(u64, f64)> {
        let page = open(&path).examples(slug, 1, None, None, None).unwrap();
        page.examples.iter().map(|e| (e.sequence, e.max)).collect()
    };
    write("a", "x", 0..4);
    write("b", "x", 2..6);
    assert_eq!(size(&path).1, 6, "two of them are shared");
    assert_eq!(maxima("a"), [(0, 6.0), (1, 5.0), (2, 4.0), (3, 3.0)]);
    assert_eq!(maxima("b"), [(2, 4.0), (3, 3.0), (4, 2.0), (5, 1.0)]);
    write("a", "y", 0..1);
    assert_eq!(size(&path).1, 5, "what nobody refers to any more is gone");
    assert_eq!(maxima("a"), [(0, 6.0)]);
    assert_eq!(maxima("b").len(), 4);
}

#[test]
fn writing_again_leaves_no_waste() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let rows = rows(20_000, 1);
    let write = |writer: Writer| {
        fill(&writer, &rows);
        writer.finish().unwrap();
        size(&path).0
    };
    let first = write(Writer::replace(&path, "a").unwrap());
    for _ in 0..2 {
        // A block more or less is chance; the rows themselves take dozens.
        let again = write(Writer::amend(&path, "a").unwrap());
        assert!(again.abs_diff(first) <= 1 << 18, "{again} after {first}");
    }
    assert_eq!(open(&path).rows("a").unwrap(), rows);
}

#[test]
fn equal_content_has_an_equal_revision() {
    let folder = tempfile::tempdir().unwrap();
    let revisions: Vec<String> = ["one", "two"]
        .iter()
        .map(|name| {
            let path = folder.path().join(name);
            let writer = Writer::replace(&path, "btk").unwrap();
            fill(&writer, &rows(5, 1));
            writer.finish().unwrap();
            open(&path).revision().to_string()
        })
        .collect();
    assert_eq!(revisions[0], revisions[1]);
}

#[test]
fn a_writer_that_does_not_finish_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let first = rows(5, 1);
    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &first);
    writer.finish().unwrap();

    let writer = Writer::replace(&path, "a").unwrap();
    writer.set_latents(&rows(9, 3)).unwrap();
    assert!(matches!(
        Writer::amend(&path, "a").map(|_| ()),
        Err(Error::Busy { .. })
    ));
    // As after a kill: the temporary file stays, the destructor does not run.
    std::mem::forget(writer);
    assert_eq!(open(&path).rows("a").unwrap(), first);
}

#[test]
fn what_a_killed_writer_left_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    fs::write(folder.path().join("study.duckdb.new"), "half a database").unwrap();
    fs::write(folder.path().join("study.duckdb.new.wal"), "and its log").unwrap();
    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    assert_eq!(open(&path).dictionaries(), ["a"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn another_schema_is_refused_with_the_commands_that_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let other = duckdb::Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE TABLE meta (dictionary VARCHAR, key VARCHAR, value VARCHAR);
             INSERT INTO meta VALUES ('', 'schema_version', '999'), ('l1', 'corpus', 'x'), ('btk', 'corpus', 'x');",
        )
        .unwrap();
    other.close().unwrap();
    let message = match Store::open(&path, &ClassCuts::default()) {
        Err(error @ Error::Schema { .. }) => error.to_string(),
        other => panic!("{:?}", other.err()),
    };
    let study = folder.path().display();
    for slug in ["l1", "btk"] {
        let command = format!("stereoscope analyse {study} --dictionary {slug}");
        assert!(message.contains(&command), "{message}");
    }
    assert!(
        message.contains("999") && message.contains("version 2"),
        "{message}"
    );
    assert!(matches!(
        Writer::amend(&path, "btk").map(|_| ()),
        Err(Error::Schema { .. })
    ));

    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    assert_eq!(open(&path).dictionaries(), ["btk"]);
    assert!(folder.path().join("study.duckdb.schema-999").exists());
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let refused = |what: &str| {
        let error = Store::open(&path, &ClassCuts::default()).err().unwrap();
        let message = error.to_string();
        assert!(
            message.contains("study.duckdb") && message.contains(what),
            "{message}"
        );
    };
    refused("cannot read");
    fs::write(&path, "this is no database, although it is quite long").unwrap();
    refused("stereoscope analyse");
    let writer = Writer::replace(&path, "a").map(|_| ());
    assert!(
        matches!(writer, Err(Error::NotADatabase { .. })),
        "{writer:?}"
    );
    fs::remove_file(&path).unwrap();
    duckdb::Connection::open(&path).unwrap().close().unwrap();
    refused("schema version unknown");
}

#[test]
fn weights_alone_fill_a_store() {
    let rows = rows(5, 1);
    let weights = weights(&rows);
    let mut store = Store::in_memory(&ClassCuts::default());
    let empty = store.revision().to_string();
    store.add_weights("btk", weights.clone()).unwrap();
    assert_ne!(store.revision(), empty);
    assert_eq!(store.rows("btk").unwrap(), weights);
    let facts = store.dictionary("btk").unwrap();
    assert!(!facts.analysed && facts.tokens.is_none() && facts.counts.dead.is_none());
    assert!(facts.counts.verdicts.is_empty());
    let page = store.latents("btk", &LatentQuery::default()).unwrap();
    assert_eq!((page.total, page.rows), (5, weights.clone()));
    let detail = store.latent("btk", 4).unwrap();
    assert!(detail.histogram.is_none() && detail.groups.is_empty());
    assert_eq!(store.examples("btk", 4, None, None, None).unwrap().total, 0);
    let mut gap = weights.clone();
    gap.remove(2);
    assert!(store.add_weights("gap", gap).is_err());

    // Beside a database: what is analysed wins, what is only trained gets its rows.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows);
    writer.finish().unwrap();
    let writer = Writer::replace(&path, "new").unwrap();
    writer.set_training(&training()).unwrap();
    writer.finish().unwrap();
    let mut both = open(&path);
    both.add_weights("btk", weights.clone()).unwrap();
    both.add_weights("new", weights.clone()).unwrap();
    assert_eq!(both.rows("btk").unwrap(), rows);
    assert_eq!(both.rows("new").unwrap(), weights);
    assert_eq!(both.dictionary("new").unwrap().training, Some(training()));
    assert_eq!(both.latent("new", 1).unwrap().groups, []);
}

#[test]
fn classes_follow_the_studys_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let rows = rows(50, 4);
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows);
    writer.finish().unwrap();
    let cuts = ClassCuts {
        chat_only: 0.7,
        ..ClassCuts::default()
    };
    let store = Store::open(&path, &cuts).unwrap();
    for (row, written) in store.rows("btk").unwrap().iter().zip(&rows) {
        let class = diffing::class(row.delta_norm, &cuts);
        assert_eq!(row.class, class);
        assert_eq!(
            row.verdict,
            diffing::verdict(class, written.nu_epsilon, written.nu_r)
        );
    }
    assert_ne!(store.revision(), open(&path).revision());
}

#[test]
fn an_example_outside_its_sequence_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::replace(&folder.path().join("study.duckdb"), "btk").unwrap();
    let (sequences, mut records, groups) = examples(1);
    records[0].positions = vec![1, 4];
    let refused = writer.set_examples("collection", &sequences, records, groups);
    assert!(refused.unwrap_err().to_string().contains("latent 1"));
}

#[test]
fn strangers_are_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "btk").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let store = open(&path);
    let missing = store.latents("no", &LatentQuery::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("btk"));
    for error in [
        store.latent("btk", 5).map(|_| ()).unwrap_err(),
        store
            .examples("btk", 5, None, None, None)
            .map(|_| ())
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("0 to 4"), "{error}");
    }
}
