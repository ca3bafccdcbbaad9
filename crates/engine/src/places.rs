//! Where each token of a sequence stands: prompt or generated, its kind, its rank in an answer; and which positions an intervention means.

use api::{Positions, TokenKind};
use gemma::{Tokenizer, Turns};

use crate::{Error, Result};

/// One position of a sequence, counted from 0 at BOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position.
    pub index: usize,
    /// Whether the token came after the prompt.
    pub generated: bool,
    /// BOS, template or content.
    pub kind: TokenKind,
    /// 0 for the newline that predicts an answer's first token, 1 for the position that predicts its second, …; none outside answers.
    pub answer_rank: Option<usize>,
}

impl Place {
    /// Whether `positions` means this place.
    pub(crate) fn is_in(&self, positions: &Positions) -> bool {
        match positions {
            Positions::All => true,
            Positions::Prompt => !self.generated,
            Positions::Generated => self.generated,
            Positions::Template => self.kind == TokenKind::Template,
            Positions::Content => self.kind == TokenKind::Content,
            Positions::FirstAnswer(k) => self.answer_rank.is_some_and(|rank| rank < *k),
            Positions::List(list) => list.contains(&self.index),
        }
    }
}

/// How far a set of positions may reach when `prompt` tokens are followed by up to `new` generated ones.
///
/// Returns the number of leading positions outside which nothing is edited.
///
/// # Errors
/// [`Error::Invalid`] for a listed position that this request can never reach.
pub(crate) fn reach(positions: &Positions, prompt: usize, new: usize) -> Result<usize> {
    Ok(match positions {
        Positions::Prompt => prompt,
        Positions::List(list) => {
            if let Some(&far) = list.iter().find(|&&p| p >= prompt + new) {
                return Err(Error::invalid(format!(
                    "position {far} is never reached: the prompt has {prompt} tokens (positions from 0){}",
                    if new > 0 {
                        format!(" and at most {new} are generated")
                    } else {
                        String::new()
                    }
                )));
            }
            list.iter().max().map_or(0, |p| p + 1)
        }
        Positions::All
        | Positions::Generated
        | Positions::Template
        | Positions::Content
        | Positions::FirstAnswer(_) => prompt + new,
    })
}

/// Reads a sequence token by token and says where each stands.
#[derive(Clone)]
pub(crate) struct Tracker<'a> {
    turns: Turns<'a>,
    read: usize,
}

impl<'a> Tracker<'a> {
    /// A tracker at the beginning of a sequence.
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            turns: tokenizer.turns(),
            read: 0,
        }
    }

    /// Number of tokens read.
    pub(crate) fn len(&self) -> usize {
        self.read
    }

    /// Reads tokens and returns their places.
    pub(crate) fn push(&mut self, ids: &[u32], generated: bool) -> Vec<Place> {
        let from = self.read;
        self.read += ids.len();
        let turns = &mut self.turns;
        let place = |(index, &id)| {
            let standing = turns.push(id);
            Place {
                index,
                generated,
                kind: crate::prompt::kind(standing.kind),
                answer_rank: standing.answer_rank,
            }
        };
        (from..).zip(ids).map(place).collect()
    }
}
