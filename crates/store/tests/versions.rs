//! Databases of earlier versions open as they are, and the next writer brings them up to date.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::path::Path;

use api::{ClassCuts, TokenKind};
use common::{fill, rows};
use store::{SCHEMA_VERSION, Store, Writer};

/// A database as version 1 wrote it: two dictionaries, latent 0 of each with everything that a latent can have.
const FIRST: &str = "
CREATE TABLE meta (dictionary VARCHAR NOT NULL, key VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE training (dictionary VARCHAR NOT NULL, summary VARCHAR NOT NULL);
CREATE TABLE latents (
  dictionary VARCHAR NOT NULL, id UINTEGER NOT NULL, class VARCHAR NOT NULL, dead BOOLEAN, label VARCHAR, verdict VARCHAR,
  delta_norm DOUBLE, norm_base DOUBLE NOT NULL, norm_chat DOUBLE NOT NULL, decoder_cosine DOUBLE, nu_epsilon DOUBLE, nu_r DOUBLE,
  beta_activation_base DOUBLE, beta_activation_chat DOUBLE, beta_activation_no_bias_base DOUBLE, beta_activation_no_bias_chat DOUBLE,
  beta_reconstruction_base DOUBLE, beta_reconstruction_chat DOUBLE, beta_error_base DOUBLE, beta_error_chat DOUBLE,
  frequency DOUBLE, active_tokens UBIGINT, tokens UBIGINT, max_activation DOUBLE, mean_activation DOUBLE, template_share DOUBLE);
CREATE TABLE histograms (
  dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, bin USMALLINT NOT NULL, lower DOUBLE NOT NULL, upper DOUBLE NOT NULL,
  count UBIGINT NOT NULL);
CREATE TABLE lenses (
  dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, model VARCHAR NOT NULL, side VARCHAR NOT NULL, rank USMALLINT NOT NULL,
  token UINTEGER NOT NULL, value DOUBLE NOT NULL);
CREATE TABLE neighbours (
  dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, rank USMALLINT NOT NULL, neighbour UINTEGER NOT NULL, cosine DOUBLE NOT NULL);
CREATE TABLE tokens (dictionary VARCHAR NOT NULL, id UINTEGER NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE sequences (
  dictionary VARCHAR NOT NULL, sequence UBIGINT NOT NULL, source VARCHAR NOT NULL,
  tokens BLOB NOT NULL USING COMPRESSION uncompressed, kinds BLOB NOT NULL USING COMPRESSION uncompressed);
CREATE TABLE example_groups (
  dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, \"group\" UINTEGER NOT NULL, \"from\" DOUBLE NOT NULL, \"to\" DOUBLE NOT NULL,
  examples UBIGINT NOT NULL, sequences UBIGINT NOT NULL);
CREATE TABLE examples (
  dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, rank UINTEGER NOT NULL, \"group\" UINTEGER NOT NULL, sequence UBIGINT NOT NULL,
  max DOUBLE NOT NULL, positions BLOB NOT NULL, activations BLOB NOT NULL);
CREATE TABLE firing_tokens (dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, token UINTEGER NOT NULL);
CREATE TABLE concepts (
  dictionary VARCHAR NOT NULL, concept VARCHAR NOT NULL, against VARCHAR NOT NULL, latent UINTEGER NOT NULL, class VARCHAR NOT NULL,
  delta_norm DOUBLE NOT NULL, auroc DOUBLE NOT NULL, positives UBIGINT NOT NULL, negatives UBIGINT NOT NULL);
CREATE TABLE revisions (dictionary VARCHAR NOT NULL, revision VARCHAR NOT NULL);
INSERT INTO meta VALUES ('', 'schema_version', '1');
";

/// Rows of one dictionary of version 1; `$` stands for its slug.
const DICTIONARY: &str = "
INSERT INTO meta VALUES ('$', 'corpus', 'web.jsonl'), ('$', 'activations', 'abc');
INSERT INTO latents (dictionary, id, class, norm_base, norm_chat, delta_norm, max_activation) VALUES
  ('$', 0, 'shared', 1.0, 1.0, 0.5, 2.0), ('$', 1, 'other', 1.0, 2.0, 0.75, 0.0);
INSERT INTO histograms VALUES ('$', 0, 0, 1.0, 1.125, 3), ('$', 0, 1, 1.125, 1.25, 0), ('$', 0, 2, 1.25, 1.375, 1);
INSERT INTO lenses VALUES ('$', 0, 'chat', 'top', 0, 7, 1.5);
INSERT INTO neighbours VALUES ('$', 0, 0, 1, 0.25);
INSERT INTO tokens VALUES ('$', 2, '<bos>'), ('$', 7, ' word');
INSERT INTO sequences VALUES ('$', 4, 'web', '\\x02\\x00\\x00\\x00\\x07\\x00\\x00\\x00'::BLOB, '\\x00\\x02'::BLOB);
INSERT INTO example_groups VALUES ('$', 0, 4, 1.5, 2.0, 1, 5);
INSERT INTO examples VALUES ('$', 0, 0, 4, 4, 2.0, '\\x01\\x00\\x00\\x00'::BLOB, '\\x00\\x00\\x00\\x40'::BLOB);
INSERT INTO firing_tokens VALUES ('$', 0, 7);
INSERT INTO concepts VALUES ('$', 'harm', 'benign', 0, 'shared', 0.5, 0.75, 10, 11);
INSERT INTO revisions VALUES ('$', 'old');
";

fn first_version(path: &Path, slugs: &[&str]) {
    let connection = duckdb::Connection::open(path).unwrap();
    connection.execute_batch(FIRST).unwrap();
    for slug in slugs {
        connection
            .execute_batch(&DICTIONARY.replace('$', slug))
            .unwrap();
    }
    connection.close().unwrap();
}

fn version(path: &Path) -> Vec<String> {
    let connection = duckdb::Connection::open(path).unwrap();
    connection
        .prepare("SELECT value FROM meta WHERE key = 'schema_version'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Whether the rows of [`DICTIONARY`] are there, all of them.
fn assert_first(store: &Store, slug: &str) {
    let facts = store.dictionary(slug).unwrap();
    assert!(facts.analysed && facts.latents == 2);
    assert_eq!(facts.meta["corpus"], "web.jsonl");
    assert_eq!(facts.concepts.len(), 1);
    let detail = store.latent(slug, 0).unwrap();
    let histogram = detail.histogram.unwrap();
    assert_eq!(histogram.edges, [1.0, 1.125, 1.25, 1.375]);
    assert_eq!(histogram.counts, [3, 0, 1]);
    assert_eq!(detail.lens_chat.unwrap().top[0].value, 1.5);
    assert!(detail.lens_base.is_none());
    assert_eq!(detail.neighbours[0].cosine, 0.25);
    let groups = &detail.groups;
    assert_eq!((groups[0].group, groups[0].sequences), (4, 5));
    assert_eq!((groups[0].from, groups[0].to), (1.5, 2.0));
    assert!(detail.twins.is_empty() && detail.correlated.is_empty() && detail.shares.is_empty());
    let page = store.examples(slug, 0, None, None, None).unwrap();
    let example = &page.examples[0];
    assert_eq!((page.total, example.sequence, example.max), (1, 4, 2.0));
    assert_eq!(example.values, [0.0, 2.0]);
    assert_eq!(example.tokens[1].text, " word");
    assert_eq!(example.tokens[1].kind, TokenKind::Content);
    let query = store::LatentQuery {
        q: Some("word".into()),
        ..store::LatentQuery::default()
    };
    assert_eq!(store.latents(slug, &query).unwrap().total, 1);
}

#[test]
fn the_first_version_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    first_version(&path, &["a", "b"]);
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    assert_eq!(store.dictionaries(), ["a", "b"]);
    for slug in ["a", "b"] {
        assert_first(&store, slug);
    }
    assert_eq!(version(&path), ["1"], "reading changes nothing");
}

#[test]
fn a_writer_brings_the_first_version_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    first_version(&path, &["a", "b", "c"]);
    let writer = Writer::amend(&path, "a").unwrap();
    writer.set_labels(&[(1, "new".into())]).unwrap();
    writer.finish().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    for slug in ["a", "b", "c"] {
        assert_first(&store, slug);
    }
    assert_eq!(store.rows("a").unwrap()[1].label.as_deref(), Some("new"));
    drop(store);
    assert_eq!(version(&path), [SCHEMA_VERSION.to_string()]);

    let rows = rows(5, 1);
    let writer = Writer::replace(&path, "b").unwrap();
    fill(&writer, &rows);
    writer.finish().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    assert_eq!(store.rows("b").unwrap(), rows);
    assert_eq!(store.examples("b", 1, None, None, None).unwrap().total, 6);
    for slug in ["a", "c"] {
        assert_first(&store, slug);
    }
}

#[test]
fn a_table_that_is_not_there_yet_reads_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.duckdb");
    let writer = Writer::replace(&path, "a").unwrap();
    fill(&writer, &rows(5, 1));
    writer.finish().unwrap();
    let connection = duckdb::Connection::open(&path).unwrap();
    connection
        .execute_batch("DROP TABLE neighbours; DROP TABLE concepts")
        .unwrap();
    connection.close().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    let detail = store.latent("a", 1).unwrap();
    assert!(detail.neighbours.is_empty() && detail.concepts.is_empty());
    assert!(detail.histogram.is_some());
    drop(store);
    let writer = Writer::amend(&path, "a").unwrap();
    writer.set_concepts(&[common::concept(1)]).unwrap();
    writer.finish().unwrap();
    let store = Store::open(&path, &ClassCuts::default()).unwrap();
    assert_eq!(store.latent("a", 1).unwrap().concepts.len(), 1);
}
