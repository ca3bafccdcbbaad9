//! The turns of a conversation, read off its ids: what kind of token each is, and whose words.

use crate::Tokenizer;

/// Role that the chat template gives to the user's turns.
const USER: &str = "user";
/// Role that the chat template gives to the assistant's turns.
const ASSISTANT: &str = "model";

/// What a token is in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The beginning-of-sequence token; neither template nor content.
    Bos,
    /// A control token of the chat template.
    Template,
    /// Everything else.
    Content,
}

/// Whose words a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nobody's: the beginning-of-sequence token, the chat template, text outside turns, turns of other roles.
    #[default]
    None,
    /// Content of a user's turn.
    User,
    /// Content of an assistant's turn, and the `<end_of_turn>` that the assistant gives after it.
    Assistant,
}

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// BOS, template or content.
    pub kind: TokenKind,
    /// Whose words it is.
    pub role: Role,
    /// 0 for the newline that predicts an answer's first token, 1 for the position that predicts its second, …; none outside answers.
    pub answer_rank: Option<usize>,
}

/// Where the scan is.
#[derive(Clone, Debug)]
enum Place {
    Outside,
    /// From `<start_of_turn>` to the newline; its text so far.
    Header(String),
    /// After the header of a role's turn, `read` tokens so far.
    Turn {
        role: Role,
        read: usize,
    },
    /// Behind an `<end_of_turn>`: the next token belongs to the template.
    Ended,
}

/// Reads a sequence token by token and says where each stands: `<start_of_turn>` through the next newline token, and `<end_of_turn>`
/// with the one token after it, are template.
#[derive(Clone, Debug)]
pub struct Turns<'a> {
    tokenizer: &'a Tokenizer,
    place: Place,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            place: Place::Outside,
        }
    }

    /// Takes the next token of the sequence.
    pub fn push(&mut self, id: u32) -> Standing {
        let mut standing = self.advance(id);
        if id == self.tokenizer.bos() {
            standing.kind = TokenKind::Bos;
            standing.role = Role::None;
        }
        standing
    }

    fn advance(&mut self, id: u32) -> Standing {
        let template = Standing {
            kind: TokenKind::Template,
            role: Role::None,
            answer_rank: None,
        };
        if Some(id) == self.tokenizer.start_of_turn() {
            self.place = Place::Header(String::new());
            return template;
        }
        // Within a header an end of turn means nothing.
        let ends = Some(id) == self.tokenizer.end_of_turn();
        match &mut self.place {
            Place::Header(text) => {
                if !self.tokenizer.is_newline(id) {
                    text.push_str(&self.tokenizer.text(id));
                    return template;
                }
                let role = match text.trim() {
                    USER => Role::User,
                    ASSISTANT => Role::Assistant,
                    _ => Role::None,
                };
                self.place = Place::Turn { role, read: 0 };
                Standing {
                    answer_rank: (role == Role::Assistant).then_some(0),
                    ..template
                }
            }
            Place::Turn { role, .. } if ends => {
                let role = match role {
                    Role::Assistant => Role::Assistant,
                    Role::User | Role::None => Role::None,
                };
                self.place = Place::Ended;
                Standing { role, ..template }
            }
            Place::Outside | Place::Ended if ends => {
                self.place = Place::Ended;
                template
            }
            Place::Turn { role, read } => {
                *read += 1;
                Standing {
                    kind: TokenKind::Content,
                    role: *role,
                    answer_rank: (*role == Role::Assistant).then_some(*read),
                }
            }
            Place::Ended => {
                self.place = Place::Outside;
                template
            }
            Place::Outside => Standing {
                kind: TokenKind::Content,
                ..template
            },
        }
    }
}
