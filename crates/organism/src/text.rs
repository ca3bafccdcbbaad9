//! Text that knows which of its parts mean what.

use serde::{Deserialize, Serialize};

use crate::grammar::{capital, mend_articles};

/// A part of a text that carries a label: bytes `start..end`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What the part means.
    pub label: String,
}

/// Finished text with its labelled parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// The words.
    pub text: String,
    /// Labelled parts, in order.
    pub spans: Vec<Span>,
}

/// Text being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    spans: Vec<Span>,
}

impl Writer {
    /// Adds words.
    pub(crate) fn say(&mut self, words: &str) -> &mut Self {
        self.text.push_str(words);
        self
    }

    /// Adds words that mean `label`.
    pub(crate) fn mark(&mut self, label: &str, words: &str) -> &mut Self {
        let start = self.text.len();
        self.text.push_str(words);
        self.spans.push(Span {
            start,
            end: self.text.len(),
            label: label.to_owned(),
        });
        self
    }

    /// Adds a sentence: a space where one is needed, a capital, a full stop.
    pub(crate) fn sentence(&mut self, words: &str) -> &mut Self {
        self.gap();
        self.say(&capital(words)).say(".")
    }

    /// Adds a sentence that means `label`.
    pub(crate) fn marked_sentence(&mut self, label: &str, words: &str) -> &mut Self {
        self.gap();
        self.mark(label, &format!("{}.", capital(words)))
    }

    /// Adds `frame` with `{a}` in it replaced by words that mean `label`.
    pub(crate) fn framed(&mut self, frame: &str, label: &str, words: &str) -> &mut Self {
        match frame.split_once("{a}") {
            Some(("", after)) => self.mark(label, &capital(words)).say(after),
            Some((before, after)) => self.say(before).mark(label, words).say(after),
            None => self.say(frame),
        }
    }

    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(['\n', ' ', '"']) {
            self.text.push(' ');
        }
    }

    /// The finished text, articles mended and parts moved with them.
    pub(crate) fn finish(self) -> Marked {
        let (text, moves) = mend_articles(&self.text);
        let moved = |at: usize| {
            let change: isize = moves
                .iter()
                .filter(|(place, _)| *place <= at)
                .map(|(_, change)| change)
                .sum();
            at.saturating_add_signed(change)
        };
        let spans = self
            .spans
            .into_iter()
            .map(|span| Span {
                start: moved(span.start),
                end: moved(span.end),
                label: span.label,
            })
            .collect();
        Marked { text, spans }
    }
}
