//! tokenizer.json, special tokens, the chat template, and what kind of token each one is.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::read_json;
use crate::template::{SpecialTokens, Template};
use crate::{Error, Message, Result, Role, Standing, StreamDecoder, TokenKind, Turns};

const START_OF_TURN: &str = "<start_of_turn>";
const END_OF_TURN: &str = "<end_of_turn>";
/// The mark that stands for a space in the vocabulary.
const SPACE: char = '\u{2581}';

/// A checkpoint's tokenizer with its chat template.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: Template,
    bos: u32,
    start_of_turn: Option<u32>,
    end_of_turn: Option<u32>,
    newlines: HashSet<u32>,
    special: HashSet<u32>,
}

impl Tokenizer {
    /// Reads tokenizer.json, tokenizer_config.json and chat_template.jinja of a folder; only the first must be there.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, the template does not compile, or there is no beginning-of-sequence token.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| Error::Tokenizer {
            path: path.clone(),
            problem: format!("it is not a tokenizer: {e}; restore it from the original checkpoint"),
        })?;
        // Lengths are limited by the caller, with an error instead of a cut.
        inner
            .with_truncation(None)
            .map_err(|e| Error::Encode(e.to_string()))?;
        inner.with_padding(None);
        let config_path = dir.join("tokenizer_config.json");
        let config = if config_path.exists() {
            read_json(&config_path)?
        } else {
            Value::Null
        };
        let tokens = SpecialTokens {
            bos: Some(token_text(&config, "bos_token").unwrap_or_else(|| "<bos>".into())),
            eos: token_text(&config, "eos_token"),
            unk: token_text(&config, "unk_token"),
            pad: token_text(&config, "pad_token"),
        };
        let bos = find_bos(&inner, &tokens, path)?;
        let template = Template::open(dir, &config, tokens)?;
        Ok(Self::assemble(inner, template, bos))
    }

    fn assemble(inner: tokenizers::Tokenizer, template: Template, bos: u32) -> Self {
        let newlines = inner
            .get_vocab(true)
            .into_iter()
            .filter(|(piece, _)| {
                piece == "<0x0A>" || (!piece.is_empty() && piece.chars().all(|c| c == '\n'))
            })
            .map(|(_, id)| id)
            .collect();
        let special = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| id)
            .collect();
        Self {
            bos,
            start_of_turn: inner.token_to_id(START_OF_TURN),
            end_of_turn: inner.token_to_id(END_OF_TURN),
            newlines,
            special,
            template,
            inner,
        }
    }

    /// Ids of a text: special tokens are parsed, and exactly one beginning-of-sequence token stands in front.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.encode(text)?;
        let content = ids.iter().skip_while(|id| **id == self.bos);
        Ok(std::iter::once(&self.bos).chain(content).copied().collect())
    }

    /// A conversation as text, by the chat template.
    ///
    /// # Errors
    /// For no messages, an unknown role, and what the template refuses (a system turn, roles that do not alternate).
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.template.render(messages, add_generation_prompt)
    }

    /// Ids of a conversation.
    ///
    /// # Errors
    /// As [`Tokenizer::render`] and [`Tokenizer::encode_text`].
    pub fn encode_messages(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>> {
        self.encode(&self.render(messages, add_generation_prompt)?)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| Error::Encode(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Reads a sequence's turns token by token, from its beginning.
    pub fn turns(&self) -> Turns<'_> {
        Turns::new(self)
    }

    /// Where each token stands, as [`Turns`] says.
    fn standings(&self, ids: &[u32]) -> impl Iterator<Item = Standing> {
        let mut turns = self.turns();
        ids.iter().map(move |id| turns.push(*id))
    }

    /// What each token is: `<start_of_turn>` through the next newline token, and `<end_of_turn>` with the one token after it, are template.
    pub fn kinds(&self, ids: &[u32]) -> Vec<TokenKind> {
        self.standings(ids).map(|standing| standing.kind).collect()
    }

    /// Whose words each token is: content of user's and assistant's turns, and the `<end_of_turn>` of the assistant's.
    pub fn roles(&self, ids: &[u32]) -> Vec<Role> {
        self.standings(ids).map(|standing| standing.role).collect()
    }

    /// Whether a token ends the header of a turn.
    pub fn is_newline(&self, id: u32) -> bool {
        self.newlines.contains(&id)
    }

    /// The text of one token: the space mark as a space, a byte of a split character as `<0xE4>`, an id without a piece as `<id 7>`.
    pub fn text(&self, id: u32) -> String {
        self.inner
            .id_to_token(id)
            .map_or_else(|| format!("<id {id}>"), |piece| piece.replace(SPACE, " "))
    }

    /// The text of tokens, without the special ones.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.stream_decoder();
        let mut text: String = ids.iter().map(|id| stream.push(*id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// Decodes tokens as they are generated.
    pub fn stream_decoder(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// The id of a piece as the vocabulary spells it.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.inner.token_to_id(piece)
    }

    /// Number of pieces, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Id of the beginning-of-sequence token.
    pub fn bos(&self) -> u32 {
        self.bos
    }

    /// Id of `<start_of_turn>`, where the vocabulary has it.
    pub(crate) fn start_of_turn(&self) -> Option<u32> {
        self.start_of_turn
    }

    /// Id of `<end_of_turn>`, where the vocabulary has it.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn
    }

    /// The chat template as text.
    pub fn template_source(&self) -> &str {
        self.template.source()
    }

    /// The byte that a byte piece stands for.
    pub(crate) fn byte(&self, id: u32) -> Option<u8> {
        let piece = self.inner.id_to_token(id)?;
        let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
        (digits.len() == 2)
            .then(|| u8::from_str_radix(digits, 16).ok())
            .flatten()
    }

    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }
}

/// A special token of tokenizer_config.json, written as a text or as an object.
fn token_text(config: &Value, field: &str) -> Option<String> {
    let token = config.get(field)?;
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .map(str::to_owned)
}

fn find_bos(inner: &tokenizers::Tokenizer, tokens: &SpecialTokens, path: PathBuf) -> Result<u32> {
    let name = tokens.bos.as_deref().unwrap_or_default();
    inner.token_to_id(name).ok_or_else(|| Error::Tokenizer {
        path,
        problem: format!("it has no token {name:?}, which begins every sequence; use the tokenizer.json and tokenizer_config.json of one checkpoint"),
    })
}
