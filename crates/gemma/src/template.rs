//! Chat templates: the checkpoint's own, or Gemma's rules where it has none.

use std::path::Path;

use minijinja::{Environment, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const NAME: &str = "chat_template";

/// Gemma's published template.
const GEMMA: &str = "{{ bos_token }}\
{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}\
{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}\
{% endfor %}\
{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `user`, `assistant`, or `system` where the template knows it.
    pub role: String,
    /// The text of the turn.
    pub content: String,
}

/// The special tokens that templates name.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SpecialTokens {
    #[serde(rename = "bos_token")]
    pub(crate) bos: Option<String>,
    #[serde(rename = "eos_token")]
    pub(crate) eos: Option<String>,
    #[serde(rename = "unk_token")]
    pub(crate) unk: Option<String>,
    #[serde(rename = "pad_token")]
    pub(crate) pad: Option<String>,
}

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    environment: Environment<'static>,
    tokens: SpecialTokens,
}

impl Template {
    /// Takes chat_template.jinja, else the template of tokenizer_config.json, else Gemma's.
    pub(crate) fn open(
        dir: &Path,
        tokenizer_config: &serde_json::Value,
        tokens: SpecialTokens,
    ) -> Result<Self> {
        let file = dir.join("chat_template.jinja");
        if file.exists() {
            let source = std::fs::read_to_string(&file).map_err(|source| Error::Read {
                path: file.clone(),
                source,
            })?;
            return Self::new(&file, source, tokens);
        }
        let path = dir.join("tokenizer_config.json");
        let source = match tokenizer_config.get(NAME) {
            None | Some(serde_json::Value::Null) => GEMMA.to_owned(),
            Some(serde_json::Value::String(source)) => source.clone(),
            Some(named) => default_of(named).ok_or_else(|| Error::Tokenizer {
                path: path.clone(),
                problem:
                    "chat_template is neither a text nor a list with a template named \"default\""
                        .into(),
            })?,
        };
        Self::new(&path, source, tokens)
    }

    fn new(path: &Path, source: String, tokens: SpecialTokens) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.add_function("raise_exception", raise_exception);
        environment.set_unknown_method_callback(string_method);
        environment
            .add_template_owned(NAME, source.clone())
            .map_err(|e| Error::Tokenizer {
                path: path.to_owned(),
                problem: format!("the chat template does not compile: {e}"),
            })?;
        Ok(Self {
            source,
            environment,
            tokens,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text.
    pub(crate) fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String> {
        if messages.is_empty() {
            return Err(Error::Template(
                "there are no messages; give at least one".into(),
            ));
        }
        for (index, message) in messages.iter().enumerate() {
            if !["user", "assistant", "system"].contains(&message.role.as_str()) {
                return Err(Error::Role {
                    index,
                    role: message.role.clone(),
                });
            }
        }
        let tokens = Value::from_serialize(&self.tokens);
        self.environment
            .get_template(NAME)
            .and_then(|template| {
                template.render(context! { messages, add_generation_prompt, ..tokens })
            })
            .map_err(|e| Error::Template(e.detail().map_or_else(|| e.to_string(), str::to_owned)))
    }
}

/// The template named `default` in a list of named templates.
fn default_of(named: &serde_json::Value) -> Option<String> {
    let entry = named
        .as_array()?
        .iter()
        .find(|entry| entry.get("name").and_then(|name| name.as_str()) == Some("default"))?;
    Some(entry.get("template")?.as_str()?.to_owned())
}

fn raise_exception(message: String) -> std::result::Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// The methods of Python's strings that published chat templates call.
fn string_method(
    _: &minijinja::State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> std::result::Result<Value, minijinja::Error> {
    let unknown = || minijinja::Error::from(ErrorKind::UnknownMethod);
    let text = value.as_str().ok_or_else(unknown)?;
    let argument = |i: usize| arguments.get(i).and_then(Value::as_str);
    Ok(match (method, argument(0), argument(1)) {
        ("strip", None, _) => text.trim().into(),
        ("lstrip", None, _) => text.trim_start().into(),
        ("rstrip", None, _) => text.trim_end().into(),
        ("upper", None, _) => text.to_uppercase().into(),
        ("lower", None, _) => text.to_lowercase().into(),
        ("startswith", Some(prefix), _) => text.starts_with(prefix).into(),
        ("endswith", Some(suffix), _) => text.ends_with(suffix).into(),
        ("split", Some(separator), _) if !separator.is_empty() => {
            text.split(separator).map(Value::from).collect()
        }
        ("replace", Some(from), Some(to)) => text.replace(from, to).into(),
        _ => return Err(unknown()),
    })
}
