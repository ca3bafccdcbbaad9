//! Text from tokens, piece by piece, never splitting a character.

use crate::Tokenizer;

/// Turns generated tokens into text as they come; the pieces together are [`Tokenizer::decode`] of all tokens.
///
/// Special tokens give no text. A token that is one byte of a character is held back until the character is whole; bytes that can belong to
/// no character become U+FFFD.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    held: Vec<u8>,
}

impl<'a> StreamDecoder<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            held: vec![],
        }
    }

    /// The text that this token completes; may be empty.
    pub fn push(&mut self, id: u32) -> String {
        if let Some(byte) = self.tokenizer.byte(id) {
            self.held.push(byte);
            return self.whole_characters();
        }
        let mut text = self.finish();
        if !self.tokenizer.is_special(id) {
            text.push_str(&self.tokenizer.text(id));
        }
        text
    }

    /// The text still held back, as U+FFFD where it is no whole character; the decoder is then as new.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }

    /// Takes what is certain from the held bytes: whole characters, and bytes that can belong to none.
    fn whole_characters(&mut self) -> String {
        let mut text = String::new();
        let mut kept = 0;
        for chunk in self.held.utf8_chunks() {
            text.push_str(chunk.valid());
            kept += chunk.valid().len();
            let rest = self.held.get(kept..).unwrap_or_default();
            let incomplete = std::str::from_utf8(rest)
                .is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none());
            if incomplete {
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                kept += chunk.invalid().len();
            }
        }
        self.held.drain(..kept.min(self.held.len()));
        text
    }
}
