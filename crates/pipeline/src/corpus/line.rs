//! One line of a JSON-lines corpus.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Content;

/// Fields that are looked for when none is named.
const USUAL: [&str; 3] = ["text", "messages", "conversation"];

/// What a line says. Keys not read here are the corpus's own affair.
pub(super) struct Line {
    pub(super) content: Content,
    pub(super) source: Option<String>,
    pub(super) labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Labels {
    One(String),
    Many(Vec<String>),
}

/// Reads a line; `field` is the key of its document.
pub(super) fn parse(text: &str, field: Option<&str>) -> Result<Line, String> {
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        format!(
            "{error}; expected one JSON object per line, {{\"text\": …}} or {{\"messages\": [{{\"role\", \"content\"}}, …]}}, with \
             optional \"labels\" and \"source\""
        )
    })?;
    let content = content(&mut object, field)?;
    let source = match object.remove("source") {
        None | Some(Value::Null) => None,
        Some(Value::String(source)) => Some(source),
        Some(other) => return Err(format!("`source` is {other}, not a name")),
    };
    let labels = match object.remove("labels") {
        None | Some(Value::Null) => Vec::new(),
        Some(found) => match Labels::deserialize(&found) {
            Ok(Labels::One(label)) => vec![label],
            Ok(Labels::Many(labels)) => labels,
            Err(_) => return Err(format!("`labels` is {found}, not a list of names")),
        },
    };
    Ok(Line {
        content,
        source,
        labels,
    })
}

fn content(object: &mut Map<String, Value>, field: Option<&str>) -> Result<Content, String> {
    let wanted = field.map_or(USUAL.to_vec(), |field| vec![field]);
    let found: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|key| object.get(*key).is_some_and(|value| !value.is_null()))
        .collect();
    let key = match found.as_slice() {
        [key] => *key,
        [] => {
            return Err(format!(
                "has none of the fields {}; expected a text or a list of messages there",
                wanted.join(", ")
            ));
        }
        several => {
            return Err(format!(
                "has both {}; name one as FILE#FIELD",
                several.join(" and ")
            ));
        }
    };
    match object.remove(key) {
        Some(Value::String(text)) => Ok(Content::Text(text)),
        Some(Value::Array(messages)) => messages
            .into_iter()
            .map(serde_json::from_value)
            .collect::<Result<_, _>>()
            .map(Content::Messages)
            .map_err(|error| {
                format!("`{key}`: {error}; expected a list of {{\"role\": …, \"content\": …}}")
            }),
        other => Err(format!(
            "`{key}` is {}, expected a text or a list of messages",
            other.unwrap_or_default()
        )),
    }
}
