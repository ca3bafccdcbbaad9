//! Documents in a Parquet file, read by DuckDB a run of rows at a time.

use std::path::{Path, PathBuf};

use duckdb::Connection;
use duckdb::types::Value;

use crate::pool::first_line;
use crate::{Error, Result};

/// Columns that are looked for when none is named.
const USUAL: [&str; 3] = ["text", "messages", "conversation"];

/// A row's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParquetDocument {
    /// A text; empty where the column is null.
    Text(String),
    /// A conversation as roles and contents; empty where the column is null.
    Messages(Vec<(String, String)>),
}

/// A row of a Parquet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParquetRow {
    /// What the chosen column holds.
    pub document: ParquetDocument,
    /// The column `source`, where the file has one of texts.
    pub source: Option<String>,
}

/// A Parquet file with a column of texts (VARCHAR) or of conversations (a list of structs with `role` and `content`).
pub struct ParquetFile {
    connection: Connection,
    path: PathBuf,
    /// `SELECT` up to the condition on row numbers.
    select: String,
    is_text: bool,
    rows: u64,
}

impl ParquetFile {
    /// Opens a file and finds its column: the one named, else the only one of `text`, `messages` and `conversation`.
    ///
    /// # Errors
    /// A file that is not Parquet; a column that is missing or of another type; several that could be meant.
    pub fn open(path: &Path, column: Option<&str>) -> Result<Self> {
        std::fs::File::open(path).map_err(Error::io("read", path))?;
        let connection = Connection::open_in_memory().map_err(Error::database(path))?;
        let file = format!(
            "read_parquet('{}', file_row_number = true)",
            path.display().to_string().replace('\'', "''")
        );
        let columns = columns(&connection, &file).map_err(|error| {
            fault(
                path,
                &format!("cannot be read as Parquet ({})", words(&error)),
            )
        })?;
        let column = choose(&columns, column).map_err(|message| fault(path, &message))?;
        let quoted = quote(&column.0);
        let is_text = column.1 == "VARCHAR";
        let chosen = if is_text {
            format!("{quoted}, NULL")
        } else {
            format!("[m.role::VARCHAR for m in {quoted}], [m.content::VARCHAR for m in {quoted}]")
        };
        let sourced = columns
            .iter()
            .any(|(name, kind)| name == "source" && kind == "VARCHAR");
        let source = if sourced { "source" } else { "NULL" };
        let select = format!("SELECT {chosen}, {source} FROM {file}");
        connection.prepare(&select).map_err(|_| {
            fault(
                path,
                &format!(
                    "column {} has type {}; expected VARCHAR, or a list of structs with role and content",
                    column.0, column.1
                ),
            )
        })?;
        let rows = connection
            .query_row(&format!("SELECT count(*) FROM {file}"), [], |row| {
                row.get(0)
            })
            .map_err(|error| fault(path, &words(&error)))?;
        Ok(Self {
            connection,
            path: path.to_path_buf(),
            select,
            is_text,
            rows,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Up to `count` rows from row `from` on, in the file's order. Row groups outside are not read.
    ///
    /// # Errors
    /// Data that is damaged; a message without role or content.
    pub fn read(&self, from: u64, count: u64) -> Result<Vec<ParquetRow>> {
        let to = from.saturating_add(count);
        let query = format!(
            "{} WHERE file_row_number >= {from} AND file_row_number < {to} ORDER BY file_row_number",
            self.select
        );
        let broken = |error: duckdb::Error| {
            fault(
                &self.path,
                &format!("rows from {from} cannot be read ({})", words(&error)),
            )
        };
        let mut statement = self.connection.prepare(&query).map_err(broken)?;
        let cells = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(broken)?
            .collect::<duckdb::Result<Vec<(Value, Value, Option<String>)>>>()
            .map_err(broken)?;
        cells
            .into_iter()
            .zip(from..)
            .map(|((first, second, source), number)| {
                let document = if self.is_text {
                    ParquetDocument::Text(text(first).unwrap_or_default())
                } else {
                    let messages = messages(first, second).map_err(|(message, missing)| {
                        fault(
                            &self.path,
                            &format!("row {number}: message {message} has no {missing}"),
                        )
                    })?;
                    ParquetDocument::Messages(messages)
                };
                Ok(ParquetRow { document, source })
            })
            .collect()
    }
}

/// Names and types.
fn columns(connection: &Connection, file: &str) -> duckdb::Result<Vec<(String, String)>> {
    connection
        .prepare(&format!(
            "DESCRIBE SELECT * EXCLUDE file_row_number FROM {file}"
        ))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn choose(
    columns: &[(String, String)],
    wanted: Option<&str>,
) -> std::result::Result<(String, String), String> {
    let all = || {
        let names: Vec<&str> = columns.iter().map(|column| column.0.as_str()).collect();
        names.join(", ")
    };
    let found: Vec<&(String, String)> = columns
        .iter()
        .filter(|(name, _)| match wanted {
            Some(wanted) => name == wanted,
            None => USUAL.contains(&name.as_str()),
        })
        .collect();
    match (found.as_slice(), wanted) {
        ([column], _) => Ok((*column).clone()),
        ([], Some(wanted)) => Err(format!("has no column {wanted}; it has {}", all())),
        ([], None) => Err(format!(
            "has no column text, messages or conversation; it has {}; name one as FILE#COLUMN",
            all()
        )),
        _ => Err(format!(
            "has several columns that could be meant ({}); name one as FILE#COLUMN",
            all()
        )),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Roles and contents side by side; which message lacks what.
fn messages(
    roles: Value,
    contents: Value,
) -> std::result::Result<Vec<(String, String)>, (usize, &'static str)> {
    let (Value::List(roles), Value::List(contents)) = (roles, contents) else {
        return Ok(Vec::new());
    };
    let pairs = roles.into_iter().zip(contents).enumerate();
    pairs
        .map(|(number, (role, content))| {
            Ok((
                text(role).ok_or((number, "role"))?,
                text(content).ok_or((number, "content"))?,
            ))
        })
        .collect()
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn words(error: &duckdb::Error) -> String {
    first_line(&error.to_string())
}

fn fault(path: &Path, message: &str) -> Error {
    Error::Parquet {
        path: path.to_path_buf(),
        message: message.into(),
    }
}
