//! From a request's prompt to token ids, and from ids to what the answer says of each token.

use api::{Prompt, PromptSource, TokenInfo, TokenKind};
use gemma::Tokenizer;

use crate::{Error, Limits, Result};

/// The wire's name of a token kind.
pub(crate) fn kind(kind: gemma::TokenKind) -> TokenKind {
    match kind {
        gemma::TokenKind::Bos => TokenKind::Bos,
        gemma::TokenKind::Template => TokenKind::Template,
        gemma::TokenKind::Content => TokenKind::Content,
    }
}

/// Token ids of a prompt, checked against the vocabulary of `vocab_size` and the limits; `context` is the models' longest sequence.
///
/// # Errors
/// [`Error::Invalid`] for a prompt that is empty, too long, malformed for the template, or holds ids outside the vocabulary.
pub(crate) fn encode(
    prompt: &Prompt,
    tokenizer: &Tokenizer,
    vocab_size: usize,
    context: usize,
    limits: &Limits,
) -> Result<Vec<u32>> {
    let source = prompt.source().map_err(Error::Invalid)?;
    let refused = |e: gemma::Error| Error::invalid(format!("the prompt cannot be encoded: {e}"));
    let ids = match source {
        PromptSource::Ids(ids) => ids.to_vec(),
        PromptSource::Text(text) => tokenizer.encode_text(text).map_err(refused)?,
        PromptSource::Messages(messages, add_generation_prompt) => {
            let messages: Vec<_> = messages
                .iter()
                .map(|m| gemma::Message {
                    role: m.role.clone(),
                    content: m.content.clone(),
                })
                .collect();
            tokenizer
                .encode_messages(&messages, add_generation_prompt)
                .map_err(refused)?
        }
    };
    let most = limits.prompt_tokens.min(context);
    if ids.len() > most {
        return Err(Error::invalid(format!(
            "the prompt has {} tokens, at most {most} are accepted; shorten it",
            ids.len()
        )));
    }
    if let Some((at, id)) = ids
        .iter()
        .enumerate()
        .find(|(_, id)| **id as usize >= vocab_size)
    {
        return Err(Error::invalid(format!(
            "token id {id} at position {at} is outside the vocabulary of {vocab_size} (ids 0 to {})",
            vocab_size.saturating_sub(1)
        )));
    }
    Ok(ids)
}

/// What the answer says of each token.
pub(crate) fn describe(ids: &[u32], tokenizer: &Tokenizer) -> Vec<TokenInfo> {
    let kinds = tokenizer.kinds(ids);
    ids.iter()
        .zip(kinds)
        .map(|(&id, k)| TokenInfo {
            id,
            text: tokenizer.text(id),
            kind: kind(k),
        })
        .collect()
}
