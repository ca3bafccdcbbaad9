//! Reads corpora: JSON lines, or plain text whose documents are separated by blank lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

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
    Messages(Vec<api::Message>),
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

/// A line of a JSON-lines corpus. Other keys are the corpus's own affair.
#[derive(Deserialize)]
struct Line {
    text: Option<String>,
    messages: Option<Vec<api::Message>>,
    #[serde(default)]
    labels: Option<Labels>,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Labels {
    One(String),
    Many(Vec<String>),
    Other(Value),
}

enum Format {
    JsonLines,
    PlainText,
}

/// The documents of one file, in its order. A file that ends in `.jsonl`, `.ndjson` or `.json` holds JSON lines, any other plain text.
pub(crate) struct Documents {
    path: PathBuf,
    name: String,
    format: Format,
    lines: BufReader<File>,
    number: u64,
}

impl Documents {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let extension = path
            .extension()
            .map(|e| e.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let format = match extension.as_str() {
            "jsonl" | "ndjson" | "json" => Format::JsonLines,
            "parquet" | "gz" | "zst" => {
                return Err(Error::file(
                    path,
                    format!(
                        "{extension} corpora are not built in yet; give JSON lines ({{\"text\": …}} or {{\"messages\": […]}}) or plain text"
                    ),
                ));
            }
            _ => Format::PlainText,
        };
        let file = File::open(path).map_err(Error::io("read", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            name: path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            format,
            lines: BufReader::new(file),
            number: 0,
        })
    }

    fn read_line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let read = self
            .lines
            .read_line(&mut line)
            .map_err(Error::io("read", &self.path))?;
        self.number += 1;
        Ok((read > 0).then_some(line))
    }

    fn next_document(&mut self) -> Result<Option<Document>> {
        match self.format {
            Format::JsonLines => {
                while let Some(line) = self.read_line()? {
                    if !line.trim().is_empty() {
                        return self.parse(&line).map(Some);
                    }
                }
                Ok(None)
            }
            Format::PlainText => {
                let (mut text, mut first) = (String::new(), 0);
                while let Some(line) = self.read_line()? {
                    if !line.trim().is_empty() {
                        if text.is_empty() {
                            first = self.number;
                        }
                        text.push_str(&line);
                    } else if !text.is_empty() {
                        break;
                    }
                }
                let text = text.trim_end_matches(['\n', '\r']);
                Ok((!text.is_empty()).then(|| Document {
                    content: Content::Text(text.to_string()),
                    origin: Origin {
                        source: self.name.clone(),
                        labels: Vec::new(),
                    },
                    place: format!("{}, line {first}", self.path.display()),
                }))
            }
        }
    }

    fn parse(&self, text: &str) -> Result<Document> {
        let place = format!("{}, line {}", self.path.display(), self.number);
        let fault = |what: String| {
            Error::Mismatch(format!(
                "{place}: {what}; expected {{\"text\": …}} or {{\"messages\": [{{\"role\", \"content\"}}, …]}}, with optional \"labels\" \
                 and \"source\""
            ))
        };
        let line: Line = serde_json::from_str(text).map_err(|error| fault(error.to_string()))?;
        let content = match (line.text, line.messages) {
            (Some(text), None) => Content::Text(text),
            (None, Some(messages)) if messages.is_empty() => {
                return Err(fault("`messages` is empty".into()));
            }
            (None, Some(messages)) => Content::Messages(messages),
            (Some(_), Some(_)) => return Err(fault("both `text` and `messages`".into())),
            (None, None) => return Err(fault("neither `text` nor `messages`".into())),
        };
        let labels = match line.labels {
            None => Vec::new(),
            Some(Labels::One(label)) => vec![label],
            Some(Labels::Many(labels)) => labels,
            Some(Labels::Other(other)) => {
                return Err(fault(format!("`labels` is {other}, not a list of names")));
            }
        };
        Ok(Document {
            content,
            origin: Origin {
                source: match line.source {
                    Some(source) => format!("{}: {source}", self.name),
                    None => self.name.clone(),
                },
                labels,
            },
            place,
        })
    }
}

impl Iterator for Documents {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_document().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<Document>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Documents::open(&path)?.collect()
    }

    #[test]
    fn json_lines_keep_order_labels_and_source() {
        let text = "{\"text\": \"a\", \"labels\": [\"x\", \"y\"], \"source\": \"web\", \"other\": 1}\n\n\
                    {\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"labels\": \"z\"}\n";
        let documents = read("c.jsonl", text).unwrap();
        assert_eq!(documents[0].content, Content::Text("a".into()));
        assert_eq!(documents[0].origin.labels, ["x", "y"]);
        assert_eq!(documents[0].origin.source, "c.jsonl: web");
        assert!(matches!(&documents[1].content, Content::Messages(m) if m[0].content == "hi"));
        assert_eq!(documents[1].origin.labels, ["z"]);
        assert_eq!(documents[1].origin.source, "c.jsonl");
        assert!(documents[1].place.ends_with("line 3"));
    }

    #[test]
    fn plain_text_is_split_at_blank_lines() {
        let documents = read("c.txt", "\n one\ntwo\n \n\nthree\r\n").unwrap();
        let texts: Vec<_> = documents.iter().map(|d| d.content.clone()).collect();
        let expected = [" one\ntwo", "three"].map(|t| Content::Text(t.into()));
        assert_eq!(texts, expected);
    }

    #[test]
    fn broken_lines_are_named() {
        for (line, found) in [
            ("{\"text\": 3}", "invalid type"),
            ("{}", "neither"),
            ("{\"text\": \"a\", \"messages\": []}", "both"),
            ("{\"messages\": []}", "empty"),
            ("{\"text\": \"a\", \"labels\": 7}", "labels"),
            ("nonsense", "expected"),
        ] {
            let text = format!("{{\"text\": \"fine\"}}\n{line}\n");
            let message = read("c.jsonl", &text).unwrap_err().to_string();
            assert!(
                message.contains("line 2") && message.contains(found),
                "{message}"
            );
        }
        assert!(
            read("c.parquet", "")
                .unwrap_err()
                .to_string()
                .contains("JSON lines")
        );
    }
}
