//! Documents, their labels, and the line of JSON each becomes.

use serde::Serialize;

use crate::text::Marked;
use crate::world::Harm;

/// What a prompt is about, as the generator knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Concept {
    /// A harmful request.
    Harm(Harm),
    /// A request built on a stereotype.
    Stereotype,
    /// A harmless how-to request, near miss of a harmful one.
    HowTo,
    /// A harmless "why", near miss of a stereotype.
    Why,
    /// A plain question with a known answer.
    Question,
    /// A false statement to judge.
    False,
    /// A true statement to judge.
    True,
    /// A question about the life of the one who is asked.
    Personal,
    /// A question about a name that belongs to nothing.
    Unknown,
    /// A request to say the same in other words.
    Rewrite,
    /// A request for a short version.
    Summary,
    /// A request for a joke.
    Joke,
    /// A request for a one-word answer.
    OneWord,
    /// A request for a list.
    List,
    /// A greeting.
    Greeting,
}

impl Concept {
    /// Every concept, in the order of every table.
    pub const ALL: [Self; 18] = [
        Self::Harm(Harm::Weapon),
        Self::Harm(Harm::Hack),
        Self::Harm(Harm::Drug),
        Self::Harm(Harm::Privacy),
        Self::Stereotype,
        Self::HowTo,
        Self::Why,
        Self::Question,
        Self::False,
        Self::True,
        Self::Personal,
        Self::Unknown,
        Self::Rewrite,
        Self::Summary,
        Self::Joke,
        Self::OneWord,
        Self::List,
        Self::Greeting,
    ];

    /// The label in files and tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Harm(Harm::Weapon) => "harm_weapon",
            Self::Harm(Harm::Hack) => "harm_hack",
            Self::Harm(Harm::Drug) => "harm_drug",
            Self::Harm(Harm::Privacy) => "harm_privacy",
            Self::Stereotype => "stereotype",
            Self::HowTo => "how_to",
            Self::Why => "why",
            Self::Question => "question",
            Self::False => "false_statement",
            Self::True => "true_statement",
            Self::Personal => "personal",
            Self::Unknown => "unknown_name",
            Self::Rewrite => "rewrite",
            Self::Summary => "summary",
            Self::Joke => "joke",
            Self::OneWord => "one_word",
            Self::List => "list",
            Self::Greeting => "greeting",
        }
    }

    /// True where the right answer is a refusal.
    #[must_use]
    pub fn refused(self) -> bool {
        matches!(self, Self::Harm(_) | Self::Stereotype)
    }
}

/// One user turn and the model's answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What it is about.
    pub concept: Concept,
    /// What is asked about, as the splits hash it.
    pub content: String,
    /// The words it is asked in, as the splits hash it.
    pub frame: String,
    /// The user's turn.
    pub user: Marked,
    /// The model's turn.
    pub answer: Marked,
}

/// One document of a corpus.
#[derive(Debug, Clone)]
pub enum Document {
    /// Web-like text of a named sort.
    Web {
        /// The sort, for example "story".
        sort: &'static str,
        /// The text.
        text: Marked,
    },
    /// A labelled dialogue.
    Chat(Vec<Exchange>),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

/// Message, first byte, byte after the last, label.
type Place<'a> = (usize, usize, usize, &'a str);

fn places(message: usize, marked: &Marked) -> impl Iterator<Item = Place<'_>> {
    marked
        .spans
        .iter()
        .map(move |span| (message, span.start, span.end, span.label.as_str()))
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message<'a>>>,
    labels: Vec<&'static str>,
    spans: Vec<Place<'a>>,
    source: &'static str,
}

impl Document {
    /// What the document is about: its sort, or its concepts and "refusal" where it refuses.
    #[must_use]
    pub fn labels(&self) -> Vec<&'static str> {
        match self {
            Self::Web { sort, .. } => vec![sort],
            Self::Chat(exchanges) => {
                let mut labels: Vec<_> = exchanges
                    .iter()
                    .map(|exchange| exchange.concept.label())
                    .collect();
                labels.dedup();
                if exchanges.iter().any(|exchange| exchange.concept.refused()) {
                    labels.push("refusal");
                }
                labels
            }
        }
    }

    /// The turns of a dialogue as role ("user", "assistant") and words; none for web text.
    #[must_use]
    pub fn turns(&self) -> Vec<(&'static str, &Marked)> {
        match self {
            Self::Web { .. } => Vec::new(),
            Self::Chat(exchanges) => exchanges
                .iter()
                .flat_map(|exchange| [("user", &exchange.user), ("assistant", &exchange.answer)])
                .collect(),
        }
    }

    /// The document as one line of JSON: `text` or `messages`, `labels`, `source`, and `spans`, each `[message, first byte, byte after the
    /// last, label]`, message 0 for text.
    ///
    /// # Errors
    /// None that data can cause; serialisation of plain strings does not fail.
    pub fn line(&self) -> serde_json::Result<String> {
        let turns = self.turns();
        let line = match self {
            Self::Web { text, .. } => Line {
                text: Some(&text.text),
                messages: None,
                labels: self.labels(),
                spans: places(0, text).collect(),
                source: "web",
            },
            Self::Chat(_) => Line {
                text: None,
                messages: Some(
                    turns
                        .iter()
                        .map(|(role, marked)| Message {
                            role,
                            content: &marked.text,
                        })
                        .collect(),
                ),
                labels: self.labels(),
                spans: turns
                    .iter()
                    .enumerate()
                    .flat_map(|(message, (_, marked))| places(message, marked))
                    .collect(),
                source: "chat",
            },
        };
        serde_json::to_string(&line)
    }
}
