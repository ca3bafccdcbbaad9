//! The tables of `study.duckdb`. Every table carries the dictionary's slug; `''` marks facts of the whole study.

use std::path::Path;

use duckdb::Connection;

use crate::{Error, Result};

/// Version of the tables below; a database of another version is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// Key of [`SCHEMA_VERSION`] in `meta`.
pub(crate) const VERSION_KEY: &str = "schema_version";

/// Every table, in the order of creation.
pub(crate) const TABLES: [&str; 13] = [
    "meta",
    "training",
    "latents",
    "histograms",
    "lenses",
    "neighbours",
    "tokens",
    "sequences",
    "example_groups",
    "examples",
    "firing_tokens",
    "concepts",
    "revisions",
];

/// `positions` (u32), `activations` (f32) and `sequences.tokens` (u32) are little-endian arrays, `sequences.kinds` one byte per token:
/// 0 BOS, 1 template, 2 content; uncompressed, because examples fetch single rows from all over the table. `examples.rank` counts a latent's examples from the strongest. `firing_tokens` says which tokens a latent
/// fires on in its examples.
const CREATE: &str = "
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
";

/// Creates the tables and notes the schema's version.
pub(crate) fn create(connection: &Connection) -> duckdb::Result<()> {
    connection.execute_batch(CREATE)?;
    connection.execute(
        "INSERT INTO meta VALUES ('', ?, ?)",
        [VERSION_KEY, &SCHEMA_VERSION.to_string()],
    )?;
    Ok(())
}

/// Refuses a database of another schema version. `meta` is its table of that name; `path` the file, for the message.
pub(crate) fn check(connection: &Connection, meta: &str, path: &Path) -> Result<()> {
    let found = version(connection, meta);
    if found.as_deref() == Some(SCHEMA_VERSION.to_string().as_str()) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path).display().to_string();
    let mut slugs = slugs(connection, meta).unwrap_or_default();
    if slugs.is_empty() {
        slugs.push("SLUG".into());
    }
    let commands: Vec<String> = slugs
        .iter()
        .map(|slug| format!("`stereoscope analyse {folder} --dictionary {slug}`"))
        .collect();
    Err(Error::Schema {
        path: path.to_path_buf(),
        found: found.unwrap_or_else(|| "unknown".into()),
        expected: SCHEMA_VERSION,
        remedy: commands.join(" and "),
    })
}

fn version(connection: &Connection, meta: &str) -> Option<String> {
    connection
        .query_row(
            &format!("SELECT value FROM {meta} WHERE dictionary = '' AND key = ?"),
            [VERSION_KEY],
            |row| row.get(0),
        )
        .ok()
}

fn slugs(connection: &Connection, meta: &str) -> duckdb::Result<Vec<String>> {
    connection
        .prepare(&format!(
            "SELECT DISTINCT dictionary FROM {meta} WHERE dictionary <> '' ORDER BY ALL"
        ))?
        .query_map([], |row| row.get(0))?
        .collect()
}
