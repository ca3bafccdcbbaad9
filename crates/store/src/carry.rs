//! Takes the rows of an older database, attached as `old`, over into the tables of this version.

use duckdb::{Connection, params};
use std::collections::HashSet;

use crate::pack;
use crate::records::words;
use crate::schema::{self, VERSION_KEY};

/// Key in `meta` of the collection that a dictionary's examples are numbered in.
pub(crate) const COLLECTION_KEY: &str = "examples_collection";

/// An attached database.
pub(crate) struct Old {
    version: u32,
    tables: HashSet<String>,
}

/// Whose rows are taken over.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The dictionary at hand.
    pub(crate) dictionary: &'a str,
    /// Whether its rows are among them; those of other dictionaries always are.
    pub(crate) own: bool,
}

impl Old {
    pub(crate) fn of(connection: &Connection) -> duckdb::Result<Self> {
        Ok(Self {
            version: schema::version(connection, "old.meta")
                .and_then(|version| version.parse().ok())
                .unwrap_or_default(),
            tables: schema::names(connection, "'old'")?,
        })
    }

    /// Takes one table's rows over.
    pub(crate) fn carry(
        &self,
        connection: &Connection,
        table: &str,
        rows: Rows<'_>,
    ) -> duckdb::Result<()> {
        if !self.tables.contains(table) {
            return Ok(());
        }
        match (self.version, table) {
            (1, "histograms") => histograms(connection, rows),
            (1, "examples") => examples(connection, rows),
            (1, "sequences") => sequences(connection, rows),
            (_, "sequences") => shared_sequences(connection),
            (version, "meta") => {
                copy(
                    connection,
                    table,
                    &format!("AND key <> '{VERSION_KEY}'"),
                    rows,
                )?;
                if version == 1 && self.tables.contains("examples") {
                    numbered_alone(connection, rows)?;
                }
                Ok(())
            }
            _ => copy(connection, table, "", rows),
        }
    }
}

fn copy(connection: &Connection, table: &str, and: &str, rows: Rows<'_>) -> duckdb::Result<()> {
    connection.execute(
        &format!(
            "INSERT INTO {table} BY NAME SELECT * FROM old.{table} WHERE (? OR dictionary <> ?) {and}"
        ),
        params![rows.own, rows.dictionary],
    )?;
    Ok(())
}

/// Only those that some dictionary's examples refer to, once.
fn shared_sequences(connection: &Connection) -> duckdb::Result<()> {
    connection.execute_batch(&format!(
        "INSERT INTO sequences BY NAME SELECT * FROM old.sequences s WHERE EXISTS \
         (SELECT 1 FROM examples e JOIN meta m ON m.dictionary = e.dictionary AND m.key = '{COLLECTION_KEY}' \
          WHERE m.value = s.collection AND e.sequence = s.sequence) \
         AND NOT EXISTS (SELECT 1 FROM sequences n WHERE n.collection = s.collection AND n.sequence = s.sequence)"
    ))
}

/// Version 1 stored sequences once per dictionary: each counts as a collection of its own.
fn numbered_alone(connection: &Connection, rows: Rows<'_>) -> duckdb::Result<()> {
    connection.execute(
        "INSERT INTO meta SELECT DISTINCT dictionary, ?, dictionary FROM old.examples WHERE ? OR dictionary <> ?",
        params![COLLECTION_KEY, rows.own, rows.dictionary],
    )?;
    Ok(())
}

/// Reads rows of version 1 and appends them in today's form; a row that cannot be read is left out.
fn convert<R>(
    connection: &Connection,
    (table, columns): (&str, &str),
    rows: Rows<'_>,
    read: impl Fn(&duckdb::Row<'_>) -> duckdb::Result<Option<R>>,
    append: impl Fn(&mut duckdb::Appender<'_>, R) -> duckdb::Result<()>,
) -> duckdb::Result<()> {
    let mut statement = connection.prepare(&format!(
        "SELECT {columns} FROM old.{table} WHERE ? OR dictionary <> ?"
    ))?;
    let found = statement
        .query_map(params![rows.own, rows.dictionary], |row| read(row))?
        .collect::<duckdb::Result<Vec<_>>>()?;
    let mut appender = connection.appender(table)?;
    for row in found.into_iter().flatten() {
        append(&mut appender, row)?;
    }
    appender.flush()
}

/// Version 1 had a bin's edges; they are those of logarithmic bins.
fn histograms(connection: &Connection, rows: Rows<'_>) -> duckdb::Result<()> {
    convert(
        connection,
        ("histograms", "dictionary, latent, lower, count"),
        rows,
        |row| {
            let (lower, count): (f64, u64) = (row.get(2)?, row.get(3)?);
            let bin = diffing::LogHistogram::bin(lower as f32).filter(|_| count > 0);
            let key: (String, u32) = (row.get(0)?, row.get(1)?);
            Ok(bin.map(|bin| (key, bin, count)))
        },
        |appender, ((dictionary, latent), bin, count)| {
            appender.append_row(params![dictionary, latent, bin, count])
        },
    )
}

/// Version 1 had positions as four bytes each, and the largest activation beside them all.
fn examples(connection: &Connection, rows: Rows<'_>) -> duckdb::Result<()> {
    convert(
        connection,
        (
            "examples",
            "dictionary, latent, rank, \"group\", sequence, positions, activations",
        ),
        rows,
        |row| {
            let positions: Vec<u8> = row.get(5)?;
            let key: (String, u32, u32, u32, u64) = (
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            );
            let values: Vec<u8> = row.get(6)?;
            let positions = words(&positions, u32::from_le_bytes);
            Ok(positions.map(|positions| (key, pack::rising(&positions), values)))
        },
        |appender, ((dictionary, latent, rank, group, sequence), positions, values)| {
            appender.append_row(params![
                dictionary, latent, rank, group, sequence, positions, values
            ])
        },
    )
}

/// Version 1 had tokens as four bytes each, and kinds as one.
fn sequences(connection: &Connection, rows: Rows<'_>) -> duckdb::Result<()> {
    convert(
        connection,
        ("sequences", "dictionary, sequence, source, tokens, kinds"),
        rows,
        |row| {
            let tokens: Vec<u8> = row.get(3)?;
            let kinds: Vec<u8> = row.get(4)?;
            let key: (String, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let tokens = words(&tokens, u32::from_le_bytes);
            Ok(tokens.map(|tokens| (key, pack::numbers(&tokens), pack::codes(&kinds))))
        },
        |appender, ((collection, sequence, source), tokens, kinds)| {
            appender.append_row(params!["", collection, sequence, source, tokens, kinds])
        },
    )
}
