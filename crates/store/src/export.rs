//! Rows of the latent table as a file: CSV, JSON or Parquet, every number as it is stored.

use std::fmt::Write;

use api::{LATENT_COLUMNS, LatentRow};
use duckdb::Connection;
use serde_json::Value;

use crate::{Error, Result};

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A header and one line for each latent; unknown is empty.
    Csv,
    /// A list of objects; unknown is `null`.
    Json,
    /// One row group of typed columns.
    Parquet,
}

impl ExportFormat {
    /// The format of a word in an address: `csv`, `json` or `parquet`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another word.
    pub fn named(word: &str) -> Result<Self> {
        match word {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::Invalid(format!(
                "format is {word:?}, expected csv, json or parquet"
            ))),
        }
    }

    /// The ending of such a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// The rows as a file's bytes.
pub(crate) fn export(rows: &[&LatentRow], format: ExportFormat) -> Result<Vec<u8>> {
    match format {
        ExportFormat::Csv => Ok(csv(rows)?.into_bytes()),
        ExportFormat::Json => serde_json::to_vec(rows).map_err(|e| unwritten(&e)),
        ExportFormat::Parquet => parquet(rows),
    }
}

fn csv(rows: &[&LatentRow]) -> Result<String> {
    let mut out = LATENT_COLUMNS.join(",");
    out.push('\n');
    for row in rows {
        let row = serde_json::to_value(row).map_err(|e| unwritten(&e))?;
        for (i, column) in LATENT_COLUMNS.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            match row.get(column) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => {
                    let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
                }
                Some(value) => {
                    let _ = write!(out, "{value}");
                }
            }
        }
        out.push('\n');
    }
    Ok(out)
}

/// By DuckDB, from the CSV: its shortest decimals read back as the same numbers.
fn parquet(rows: &[&LatentRow]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().map_err(Error::io("create", &std::env::temp_dir()))?;
    let (from, to) = (
        folder.path().join("rows.csv"),
        folder.path().join("rows.parquet"),
    );
    std::fs::write(&from, csv(rows)?).map_err(Error::io("write", &from))?;
    let columns: Vec<String> = LATENT_COLUMNS
        .iter()
        .map(|column| format!("'{column}': '{}'", kind(column)))
        .collect();
    let quoted = |path: &std::path::Path| path.display().to_string().replace('\'', "''");
    let copy = format!(
        "COPY (SELECT * FROM read_csv('{}', header = true, auto_detect = false, quote = '\"', escape = '\"', columns = {{{}}})) \
         TO '{}' (FORMAT parquet)",
        quoted(&from),
        columns.join(", "),
        quoted(&to)
    );
    let connection = Connection::open_in_memory().map_err(Error::database(&to))?;
    connection
        .execute_batch(&copy)
        .map_err(Error::database(&to))?;
    std::fs::read(&to).map_err(Error::io("read", &to))
}

fn kind(column: &str) -> &'static str {
    match column {
        "id" => "UINTEGER",
        "class" | "label" | "verdict" => "VARCHAR",
        "dead" => "BOOLEAN",
        "active_tokens" | "tokens" => "UBIGINT",
        _ => "DOUBLE",
    }
}

fn unwritten(error: &serde_json::Error) -> Error {
    Error::Damaged(format!("a latent's row cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Cells = (u32, Option<String>, f64, Option<f64>, u64, bool);

    fn rows() -> Vec<LatentRow> {
        let row = |id: u32, label: Option<&str>, nu: Option<f64>| -> LatentRow {
            serde_json::from_value(serde_json::json!({
                "id": id, "class": "chat-only", "label": label, "norm_base": 0.1, "norm_chat": 1.0 / 3.0, "nu_epsilon": nu,
                "tokens": 12, "dead": false,
            }))
            .unwrap()
        };
        vec![
            row(3, Some("refusal, \"harm\""), Some(1e-7)),
            row(9, None, None),
        ]
    }

    #[test]
    fn a_csv_has_every_column_and_every_digit() {
        let rows = rows();
        let rows: Vec<&LatentRow> = rows.iter().collect();
        let text = String::from_utf8(export(&rows, ExportFormat::Csv).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], LATENT_COLUMNS.join(","));
        assert!(
            lines[1].starts_with(
                "3,\"chat-only\",false,\"refusal, \"\"harm\"\"\",,,0.1,0.3333333333333333,,1e-7,"
            ),
            "{text}"
        );
        assert!(
            lines[2].starts_with("9,\"chat-only\",false,,,,0.1,"),
            "{text}"
        );
    }

    #[test]
    fn parquet_and_json_say_the_same() {
        let rows = rows();
        let rows: Vec<&LatentRow> = rows.iter().collect();
        let json = export(&rows, ExportFormat::Json).unwrap();
        let back: Vec<LatentRow> = serde_json::from_slice(&json).unwrap();
        assert_eq!(back.iter().collect::<Vec<_>>(), rows);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, export(&rows, ExportFormat::Parquet).unwrap()).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let query = format!(
            "SELECT id, label, norm_chat, nu_epsilon, tokens, dead FROM read_parquet('{}') ORDER BY id",
            path.display()
        );
        let read: Vec<Cells> = connection
            .prepare(&query)
            .unwrap()
            .query_map([], |r| {
                Ok((
                    r.get(0)?,
                    r.get(1)?,
                    r.get(2)?,
                    r.get(3)?,
                    r.get(4)?,
                    r.get(5)?,
                ))
            })
            .unwrap()
            .collect::<duckdb::Result<_>>()
            .unwrap();
        let harm = Some("refusal, \"harm\"".to_owned());
        let third = 1.0 / 3.0;
        assert_eq!(
            read,
            [
                (3, harm, third, Some(1e-7), 12, false),
                (9, None, third, None, 12, false)
            ]
        );
    }
}
