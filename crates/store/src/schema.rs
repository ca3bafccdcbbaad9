//! The tables of `study.duckdb`. Every table carries the dictionary's slug; `''` marks facts of the whole study.

use std::collections::HashSet;
use std::path::Path;

use duckdb::{Config, Connection};

use crate::{Error, Result};

/// Version of the tables below. Earlier ones can be read, others are refused.
pub const SCHEMA_VERSION: u32 = 2;

/// The first version that can be read. Tables that a database does not have yet read as empty.
const FIRST_VERSION: u32 = 1;

/// Key of [`SCHEMA_VERSION`] in `meta`.
pub(crate) const VERSION_KEY: &str = "schema_version";

/// Bytes of a block of the file. Every table takes a few blocks at least, and most tables of a small study are small.
const BLOCK: &str = "65536";

/// Every table and its columns, in the order of creation. A table may be added without another version: databases without it read
/// as if it were empty, and the next writer creates it. The first column is `dictionary`.
///
/// `histograms.bin` is a number of [`diffing::LogHistogram`]; bins without values have no row. Sequences belong to no dictionary: those
/// of one collection of activations are there once for all of its dictionaries, whose `meta` names the collection. Their tokens and
/// kinds (0 BOS, 1 template, 2 content) are packed as [`crate::pack`] says, and uncompressed, because examples fetch single rows
/// from all over the table. `examples.positions` is packed too, `examples.activations` a little-endian array of f32;
/// `examples.rank` counts a latent's examples from the strongest. `firing_tokens` says which tokens a latent fires on in its examples.
/// `truth.truth` is [`api::GroundTruth`] as JSON: it is read whole or not at all. `parts` are corpora and roles; `shares` and `template_sums` have no row where a latent is not active, and
/// `template_sums.number` is that of [`diffing::TemplateLatent::parts`]. `matches` has the nearest latent of each other dictionary, by both
/// decoder rows and by the chat row. `verification` has a row without a target for a bucket without tokens; `joints` has the cells that
/// are not 0 of [`diffing::JointHistogram`], by `pair` and `own` maxima.
pub(crate) const TABLES: &[(&str, &str)] = &[
    (
        "meta",
        "dictionary VARCHAR NOT NULL, key VARCHAR NOT NULL, value VARCHAR NOT NULL",
    ),
    (
        "training",
        "dictionary VARCHAR NOT NULL, summary VARCHAR NOT NULL",
    ),
    (
        "latents",
        "dictionary VARCHAR NOT NULL, id UINTEGER NOT NULL, class VARCHAR NOT NULL, dead BOOLEAN, label VARCHAR, verdict VARCHAR, \
         delta_norm DOUBLE, norm_base DOUBLE NOT NULL, norm_chat DOUBLE NOT NULL, decoder_cosine DOUBLE, nu_epsilon DOUBLE, nu_r DOUBLE, \
         beta_activation_base DOUBLE, beta_activation_chat DOUBLE, beta_activation_no_bias_base DOUBLE, beta_activation_no_bias_chat DOUBLE, \
         beta_reconstruction_base DOUBLE, beta_reconstruction_chat DOUBLE, beta_error_base DOUBLE, beta_error_chat DOUBLE, \
         frequency DOUBLE, active_tokens UBIGINT, tokens UBIGINT, max_activation DOUBLE, mean_activation DOUBLE, template_share DOUBLE",
    ),
    (
        "histograms",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, bin USMALLINT NOT NULL, count UBIGINT NOT NULL",
    ),
    (
        "lenses",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, model VARCHAR NOT NULL, side VARCHAR NOT NULL, rank USMALLINT NOT NULL, \
         token UINTEGER NOT NULL, value FLOAT NOT NULL",
    ),
    (
        "neighbours",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, rank USMALLINT NOT NULL, neighbour UINTEGER NOT NULL, cosine FLOAT NOT NULL",
    ),
    (
        "tokens",
        "dictionary VARCHAR NOT NULL, id UINTEGER NOT NULL, text VARCHAR NOT NULL",
    ),
    (
        "sequences",
        "dictionary VARCHAR NOT NULL, collection VARCHAR NOT NULL, sequence UBIGINT NOT NULL, source VARCHAR NOT NULL, \
         tokens BLOB NOT NULL USING COMPRESSION uncompressed, kinds BLOB NOT NULL USING COMPRESSION uncompressed",
    ),
    (
        "example_groups",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, \"group\" UINTEGER NOT NULL, \"from\" DOUBLE NOT NULL, \"to\" DOUBLE NOT NULL, \
         examples UBIGINT NOT NULL, sequences UBIGINT NOT NULL",
    ),
    (
        "examples",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, rank UINTEGER NOT NULL, \"group\" UINTEGER NOT NULL, sequence UBIGINT NOT NULL, \
         positions BLOB NOT NULL, activations BLOB NOT NULL",
    ),
    (
        "firing_tokens",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, token UINTEGER NOT NULL",
    ),
    (
        "concepts",
        "dictionary VARCHAR NOT NULL, concept VARCHAR NOT NULL, against VARCHAR NOT NULL, latent UINTEGER NOT NULL, class VARCHAR NOT NULL, \
         delta_norm DOUBLE NOT NULL, auroc DOUBLE NOT NULL, positives UBIGINT NOT NULL, negatives UBIGINT NOT NULL",
    ),
    (
        "truth",
        "dictionary VARCHAR NOT NULL, truth VARCHAR NOT NULL",
    ),
    (
        "scaling_fits",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, target VARCHAR NOT NULL, before_base DOUBLE NOT NULL, \
         before_chat DOUBLE NOT NULL, after_base DOUBLE NOT NULL, after_chat DOUBLE NOT NULL",
    ),
    (
        "verification",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, \"from\" DOUBLE NOT NULL, \"to\" DOUBLE NOT NULL, tokens UBIGINT NOT NULL, \
         target VARCHAR, before_base FLOAT, before_chat FLOAT, after_base FLOAT, after_chat FLOAT, before_base_std FLOAT, \
         before_chat_std FLOAT, after_base_std FLOAT, after_chat_std FLOAT",
    ),
    (
        "baselines",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, kind VARCHAR NOT NULL, nu_epsilon DOUBLE, nu_r DOUBLE",
    ),
    (
        "parts",
        "dictionary VARCHAR NOT NULL, number USMALLINT NOT NULL, division VARCHAR NOT NULL, name VARCHAR NOT NULL, tokens UBIGINT NOT NULL",
    ),
    (
        "shares",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, part USMALLINT NOT NULL, active_tokens UBIGINT NOT NULL, \
         max FLOAT NOT NULL, mean FLOAT NOT NULL",
    ),
    (
        "twins",
        "dictionary VARCHAR NOT NULL, chat UINTEGER NOT NULL, base UINTEGER NOT NULL, cosine FLOAT NOT NULL",
    ),
    (
        "correlated",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, rank USMALLINT NOT NULL, partner UINTEGER NOT NULL, \
         correlation FLOAT NOT NULL, together UBIGINT NOT NULL",
    ),
    (
        "joints",
        "dictionary VARCHAR NOT NULL, \"first\" UINTEGER NOT NULL, \"second\" UINTEGER NOT NULL, scale VARCHAR NOT NULL, \
         \"row\" UTINYINT NOT NULL, \"column\" UTINYINT NOT NULL, count UBIGINT NOT NULL",
    ),
    (
        "matches",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, other VARCHAR NOT NULL, \"both\" UINTEGER, both_cosine FLOAT, \
         chat UINTEGER, chat_cosine FLOAT",
    ),
    (
        "template_tokens",
        "dictionary VARCHAR NOT NULL, name VARCHAR NOT NULL, tokens UBIGINT NOT NULL",
    ),
    (
        "template_sums",
        "dictionary VARCHAR NOT NULL, latent UINTEGER NOT NULL, number UTINYINT NOT NULL, count UBIGINT NOT NULL, \
         mean FLOAT NOT NULL, max FLOAT NOT NULL",
    ),
    (
        "curves",
        "dictionary VARCHAR NOT NULL, place UINTEGER NOT NULL, name VARCHAR NOT NULL, step UBIGINT NOT NULL, tokens UBIGINT NOT NULL, \
         value DOUBLE NOT NULL",
    ),
    (
        "revisions",
        "dictionary VARCHAR NOT NULL, revision VARCHAR NOT NULL",
    ),
    (
        "effects",
        "dictionary VARCHAR NOT NULL, rank USMALLINT NOT NULL, setup VARCHAR NOT NULL, description VARCHAR NOT NULL, latents UBIGINT, \
         sets UBIGINT NOT NULL, scope VARCHAR NOT NULL, metric VARCHAR NOT NULL, mean DOUBLE NOT NULL, variance DOUBLE, count UBIGINT NOT NULL",
    ),
];

/// How a new database is laid out. Older programs need not read it, so that DuckDB may use its newest compression, a seventh smaller.
pub(crate) fn layout() -> duckdb::Result<Config> {
    Config::default()
        .with("default_block_size", BLOCK)?
        .with("storage_compatibility_version", "latest")
}

/// Creates the tables and notes the schema's version.
pub(crate) fn create(connection: &Connection) -> duckdb::Result<()> {
    for (table, columns) in TABLES {
        connection.execute_batch(&format!("CREATE TABLE {table} ({columns})"))?;
    }
    connection.execute(
        "INSERT INTO meta VALUES ('', ?, ?)",
        [VERSION_KEY, &SCHEMA_VERSION.to_string()],
    )?;
    Ok(())
}

/// Adds the tables that a database opened for reading lacks, empty and for this connection alone.
pub(crate) fn complete(connection: &Connection) -> duckdb::Result<()> {
    let found = names(connection, "current_database()")?;
    for (table, columns) in TABLES {
        if !found.contains(*table) {
            connection.execute_batch(&format!("CREATE TEMP TABLE {table} ({columns})"))?;
        }
    }
    Ok(())
}

/// Names of the tables of a database; `database` is an SQL expression for its name.
pub(crate) fn names(connection: &Connection, database: &str) -> duckdb::Result<HashSet<String>> {
    connection
        .prepare(&format!(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = {database}"
        ))?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Refuses a database of a schema version that cannot be read. `meta` is its table of that name; `path` the file, for the message.
pub(crate) fn check(connection: &Connection, meta: &str, path: &Path) -> Result<()> {
    let found = version(connection, meta);
    let number = found.as_deref().and_then(|found| found.parse().ok());
    if number.is_some_and(|number| (FIRST_VERSION..=SCHEMA_VERSION).contains(&number)) {
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

/// Whether a database that can be read has another form than this version's.
pub(crate) fn is_earlier(connection: &Connection, meta: &str) -> bool {
    version(connection, meta).as_deref() != Some(SCHEMA_VERSION.to_string().as_str())
}

pub(crate) fn version(connection: &Connection, meta: &str) -> Option<String> {
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
