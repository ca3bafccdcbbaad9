//! A prompt as sent by a client, and its tokens as sent back.

use serde::{Deserialize, Serialize};

/// One of the two models of a study. Index 0 and 1 everywhere, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    /// The model before tuning.
    Base,
    /// The chat-tuned model.
    Chat,
}

impl ModelName {
    /// Both models, base first.
    pub const BOTH: [Self; 2] = [Self::Base, Self::Chat];

    /// 0 for base, 1 for chat.
    pub fn index(self) -> usize {
        match self {
            Self::Base => 0,
            Self::Chat => 1,
        }
    }

    /// The other model.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Base => Self::Chat,
            Self::Chat => Self::Base,
        }
    }

    /// `base` or `chat`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Chat => "chat",
        }
    }
}

/// One turn of a conversation. Roles are checked by the chat template, not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `user` or `assistant`.
    pub role: String,
    /// The text of the turn.
    pub content: String,
}

/// A prompt: exactly one of `messages`, `text` and `ids`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// A conversation, rendered with the chat model's template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// With `messages` only; by default true exactly when the last message is the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_generation_prompt: Option<bool>,
    /// Raw text; special tokens are parsed, exactly one BOS is put in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Token ids, taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<u32>>,
}

/// The one source that a valid [`Prompt`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptSource<'a> {
    /// A conversation and whether the generation prompt is added.
    Messages(&'a [Message], bool),
    /// Raw text.
    Text(&'a str),
    /// Token ids.
    Ids(&'a [u32]),
}

impl Prompt {
    /// A one-turn conversation with the user's text.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            messages: Some(vec![Message {
                role: "user".into(),
                content: content.into(),
            }]),
            ..Self::default()
        }
    }

    /// Raw text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// Token ids, taken as they are.
    pub fn ids(ids: impl Into<Vec<u32>>) -> Self {
        Self {
            ids: Some(ids.into()),
            ..Self::default()
        }
    }

    /// The prompt's source.
    ///
    /// # Errors
    /// A sentence, when there is not exactly one source, when it is empty, or when `add_generation_prompt` comes without messages.
    pub fn source(&self) -> Result<PromptSource<'_>, String> {
        if self.add_generation_prompt.is_some() && self.messages.is_none() {
            return Err("add_generation_prompt goes with messages only".into());
        }
        match (&self.messages, &self.text, &self.ids) {
            (Some(messages), None, None) => {
                let Some(last) = messages.last() else {
                    return Err("the prompt has no messages".into());
                };
                if messages.iter().all(|m| m.content.trim().is_empty()) {
                    return Err("the prompt is empty: every message is blank".into());
                }
                Ok(PromptSource::Messages(
                    messages,
                    self.add_generation_prompt.unwrap_or(last.role == "user"),
                ))
            }
            (None, Some(text), None) if text.is_empty() => Err("the prompt is empty".into()),
            (None, Some(text), None) => Ok(PromptSource::Text(text)),
            (None, None, Some(ids)) if ids.is_empty() => {
                Err("the prompt is empty: it has no ids".into())
            }
            (None, None, Some(ids)) => Ok(PromptSource::Ids(ids)),
            _ => Err("a prompt has exactly one of messages, text and ids".into()),
        }
    }
}

/// What a token is in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// The token at the beginning of every sequence; neither template nor content.
    Bos,
    /// A chat template's control token: `<start_of_turn>` through the next newline, `<end_of_turn>` with the token after it.
    Template,
    /// Everything else.
    Content,
}

/// One token of a prompt or document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenInfo {
    /// Id in the chat model's vocabulary.
    pub id: u32,
    /// The token's text; a byte of a split character is `<0xE4>`.
    pub text: String,
    /// BOS, template or content.
    pub kind: TokenKind,
}
