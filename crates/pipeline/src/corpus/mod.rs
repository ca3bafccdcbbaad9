//! Reads corpora: JSON lines, Parquet, or plain text whose documents are separated by blank lines.

mod line;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::vec;

use serde::{Deserialize, Serialize};
use store::{ParquetDocument, ParquetFile, ParquetRow};

use crate::{Error, Result};

/// Rows of a Parquet file that are in memory at once.
const PARQUET_ROWS: u64 = 1024;

/// One document of a corpus.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) content: Content,
    pub(crate) origin: Origin,
    /// File and line, for messages.
    pub(crate) place: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Text(String),
    Messages(Vec<gemma::Message>),
}

/// Where a document comes from and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The corpus file's name, and the document's own `source` if it names one.
    pub(crate) source: String,
    /// The document's `labels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

/// A corpus as it is named on the command line: a file, or `FILE#FIELD` for the field or column that holds the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) field: Option<String>,
}

impl Source {
    /// Reads the name. A file whose own name has a `#` is taken as it is.
    pub(crate) fn of(named: &Path) -> Self {
        let text = named.to_string_lossy();
        match text.rsplit_once('#') {
            Some((path, field)) if !named.exists() && !field.is_empty() => Self {
                path: path.into(),
                field: Some(field.into()),
            },
            _ => Self {
                path: named.to_path_buf(),
                field: None,
            },
        }
    }

    /// The file's name.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The documents of one corpus, in its order. A file that ends in `.jsonl`, `.ndjson` or `.json` holds JSON lines, `.parquet` a
/// table, any other plain text.
pub(crate) struct Documents {
    source: Source,
    name: String,
    reader: Reader,
}

enum Reader {
    JsonLines(Lines),
    PlainText(Lines),
    Parquet {
        file: ParquetFile,
        /// Rows read ahead, and the number of the first behind them.
        rows: vec::IntoIter<ParquetRow>,
        ahead: u64,
    },
}

struct Lines {
    file: BufReader<File>,
    /// Of the last line read, from 1.
    number: u64,
}

impl Documents {
    pub(crate) fn open(source: &Source) -> Result<Self> {
        let path = &source.path;
        let extension = path
            .extension()
            .map(|e| e.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let lines = || -> Result<Lines> {
            let file = File::open(path).map_err(Error::io("read", path))?;
            Ok(Lines {
                file: BufReader::new(file),
                number: 0,
            })
        };
        let reader = match extension.as_str() {
            "jsonl" | "ndjson" | "json" => Reader::JsonLines(lines()?),
            "parquet" => Reader::Parquet {
                file: ParquetFile::open(path, source.field.as_deref())?,
                rows: Vec::new().into_iter(),
                ahead: 0,
            },
            "gz" | "zst" | "xz" | "bz2" | "zip" => {
                return Err(Error::file(
                    path,
                    format!(
                        "{extension} files are not read; decompress it, or give JSON lines, Parquet or plain text"
                    ),
                ));
            }
            _ if source.field.is_some() => {
                return Err(Error::file(
                    path,
                    "plain text has no fields; name it without #",
                ));
            }
            _ => Reader::PlainText(lines()?),
        };
        Ok(Self {
            name: source.name(),
            source: source.clone(),
            reader,
        })
    }

    /// Passes over documents without reading what they say.
    pub(crate) fn pass(&mut self, mut count: u64) -> Result<()> {
        if let Reader::Parquet { rows, ahead, .. } = &mut self.reader {
            let read = rows.as_slice().len() as u64;
            let next = *ahead - read + count;
            if count <= read {
                rows.by_ref().take(count as usize).for_each(drop);
            } else {
                (*rows, *ahead) = (Vec::new().into_iter(), next);
            }
            return Ok(());
        }
        while count > 0 && self.next_text()?.is_some() {
            count -= 1;
        }
        Ok(())
    }

    /// The next JSON line or plain text and the line it begins on.
    fn next_text(&mut self) -> Result<Option<(String, u64)>> {
        let path = &self.source.path;
        match &mut self.reader {
            Reader::JsonLines(lines) => {
                while let Some(line) = lines.read(path)? {
                    if !line.trim().is_empty() {
                        return Ok(Some((line, lines.number)));
                    }
                }
                Ok(None)
            }
            Reader::PlainText(lines) => {
                let (mut text, mut first) = (String::new(), 0);
                while let Some(line) = lines.read(path)? {
                    if !line.trim().is_empty() {
                        if text.is_empty() {
                            first = lines.number;
                        }
                        text.push_str(&line);
                    } else if !text.is_empty() {
                        break;
                    }
                }
                let text = text.trim_end_matches(['\n', '\r']);
                Ok((!text.is_empty()).then(|| (text.to_string(), first)))
            }
            Reader::Parquet { .. } => Ok(None),
        }
    }

    fn next_row(&mut self) -> Result<Option<(ParquetRow, u64)>> {
        let Reader::Parquet { file, rows, ahead } = &mut self.reader else {
            return Ok(None);
        };
        if rows.as_slice().is_empty() {
            let read = file.read(*ahead, PARQUET_ROWS)?;
            *ahead += read.len() as u64;
            *rows = read.into_iter();
        }
        let left = rows.as_slice().len() as u64;
        Ok(rows.next().map(|row| (row, *ahead - left)))
    }

    fn next_document(&mut self) -> Result<Option<Document>> {
        if let Some((row, number)) = self.next_row()? {
            return Ok(Some(self.of_row(row, number)));
        }
        let Some((text, number)) = self.next_text()? else {
            return Ok(None);
        };
        let place = format!("{}, line {number}", self.source.path.display());
        if matches!(self.reader, Reader::PlainText(_)) {
            return Ok(Some(Document {
                content: Content::Text(text),
                origin: self.origin(None, Vec::new()),
                place,
            }));
        }
        let line = line::parse(&text, self.source.field.as_deref())
            .map_err(|problem| Error::Mismatch(format!("{place}: {problem}")))?;
        Ok(Some(Document {
            content: line.content,
            origin: self.origin(line.source, line.labels),
            place,
        }))
    }

    fn of_row(&self, row: ParquetRow, number: u64) -> Document {
        let content = match row.document {
            ParquetDocument::Text(text) => Content::Text(text),
            ParquetDocument::Messages(messages) => Content::Messages(
                messages
                    .into_iter()
                    .map(|(role, content)| gemma::Message { role, content })
                    .collect(),
            ),
        };
        Document {
            content,
            origin: self.origin(row.source, Vec::new()),
            place: format!("{}, row {number}", self.source.path.display()),
        }
    }

    fn origin(&self, source: Option<String>, labels: Vec<String>) -> Origin {
        Origin {
            source: match source {
                Some(source) => format!("{}: {source}", self.name),
                None => self.name.clone(),
            },
            labels,
        }
    }
}

impl Lines {
    fn read(&mut self, path: &Path) -> Result<Option<String>> {
        let mut line = String::new();
        self.number += 1;
        let read = self.file.read_line(&mut line).map_err(|error| {
            if error.kind() == std::io::ErrorKind::InvalidData {
                let what = format!(
                    "line {} is not UTF-8; convert the file and run the same command again",
                    self.number
                );
                Error::file(path, what)
            } else {
                Error::io("read", path)(error)
            }
        })?;
        Ok((read > 0).then_some(line))
    }
}

impl Iterator for Documents {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_document().transpose()
    }
}
