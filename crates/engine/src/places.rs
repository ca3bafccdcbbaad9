//! Where each token of a sequence stands: prompt or generated, its kind, its rank in an answer; and which positions an intervention means.

use api::{Positions, TokenKind};
use gemma::Tokenizer;

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

/// Where the scan of a sequence stands.
#[derive(Clone, Debug)]
enum Scan {
    Outside,
    Header { role: String },
    Answer { rank: usize },
}

/// Reads a sequence token by token and says where each stands.
#[derive(Clone)]
pub(crate) struct Tracker<'a> {
    tokenizer: &'a Tokenizer,
    start_of_turn: Option<u32>,
    end_of_turn: Option<u32>,
    ids: Vec<u32>,
    scan: Scan,
}

/// Role that the chat template gives to the assistant's turns.
const ANSWER_ROLE: &str = "model";

impl<'a> Tracker<'a> {
    /// A tracker at the beginning of a sequence.
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            start_of_turn: tokenizer.id("<start_of_turn>"),
            end_of_turn: tokenizer.end_of_turn(),
            ids: Vec::new(),
            scan: Scan::Outside,
        }
    }

    /// Number of tokens read.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Reads tokens and returns their places.
    pub(crate) fn push(&mut self, ids: &[u32], generated: bool) -> Vec<Place> {
        let from = self.ids.len();
        self.ids.extend_from_slice(ids);
        let kinds = self.tokenizer.kinds(&self.ids);
        let places = kinds.into_iter().zip(&self.ids).enumerate().skip(from);
        let scanned: Vec<_> = places
            .map(|(index, (kind, &id))| (index, crate::prompt::kind(kind), id))
            .collect();
        scanned
            .into_iter()
            .map(|(index, kind, id)| Place {
                index,
                generated,
                kind,
                answer_rank: self.advance(id),
            })
            .collect()
    }

    /// Takes one token and returns its rank in an answer.
    fn advance(&mut self, id: u32) -> Option<usize> {
        if Some(id) == self.start_of_turn {
            self.scan = Scan::Header {
                role: String::new(),
            };
            return None;
        }
        match &mut self.scan {
            // Within a header it means nothing, as for the kinds of tokens.
            Scan::Answer { .. } if Some(id) == self.end_of_turn => {
                self.scan = Scan::Outside;
                None
            }
            Scan::Outside => None,
            Scan::Header { role } => {
                if !self.tokenizer.is_newline(id) {
                    role.push_str(&self.tokenizer.text(id));
                    return None;
                }
                let answer = role.trim() == ANSWER_ROLE;
                self.scan = if answer {
                    Scan::Answer { rank: 0 }
                } else {
                    Scan::Outside
                };
                answer.then_some(0)
            }
            Scan::Answer { rank } => {
                *rank += 1;
                Some(*rank)
            }
        }
    }
}
