//! Web-like documents: what the base model reads.

mod facts;
mod life;
mod news;

use rand::seq::IndexedRandom;
use serde::Serialize;

use crate::document::Document;
use crate::random::stream;
use crate::text::Writer;
use crate::world::World;

pub(crate) use facts::{RIGHT, WRONG};

/// A sort of web-like document, with one weight each in a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Several facts about one entity.
    Paragraph,
    /// Unrelated facts.
    MixedFacts,
    /// A plain question and its answer.
    QuestionAnswer,
    /// A list.
    List,
    /// Sums.
    Arithmetic,
    /// A story in the past tense.
    Story,
    /// Crime in newspapers and films.
    News,
    /// A harmless how-to.
    HowTo,
    /// Two people, a request, half of the answers decline.
    Dialogue,
    /// A letter in the first person.
    Letter,
    /// What someone said of a group.
    Opinion,
    /// A joke.
    Joke,
    /// A long text and its short version.
    Brief,
    /// Short statements with a verdict each.
    TestSheet,
}

impl Sort {
    /// The label in files.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Paragraph => "paragraph",
            Self::MixedFacts => "mixed_facts",
            Self::QuestionAnswer => "question_answer",
            Self::List => "list",
            Self::Arithmetic => "arithmetic",
            Self::Story => "story",
            Self::News => "news",
            Self::HowTo => "how_to",
            Self::Dialogue => "dialogue",
            Self::Letter => "letter",
            Self::Opinion => "opinion",
            Self::Joke => "joke",
            Self::Brief => "brief",
            Self::TestSheet => "test_sheet",
        }
    }
}

/// The `index`-th web-like document of a seed and stream.
#[must_use]
pub fn document(
    world: &World,
    sorts: &[(Sort, u32)],
    seed: u64,
    name: &str,
    index: u64,
) -> Document {
    let mut random = stream(seed, name, index);
    let sort = sorts
        .choose_weighted(&mut random, |(_, weight)| *weight)
        .map_or(Sort::MixedFacts, |(sort, _)| *sort);
    let writer = match sort {
        Sort::Paragraph => Some(facts::paragraph(world, &mut random)),
        Sort::MixedFacts => facts::mixed(world, &mut random),
        Sort::QuestionAnswer => facts::question_answer(world, &mut random),
        Sort::List => facts::list(world, &mut random),
        Sort::Arithmetic => facts::arithmetic(&mut random),
        Sort::TestSheet => facts::test_sheet(world, &mut random),
        Sort::Story => life::story(world, &mut random),
        Sort::HowTo => life::how_to(world, &mut random),
        Sort::Dialogue => life::dialogue(&mut random),
        Sort::Letter => life::letter(&mut random),
        Sort::Joke => life::joke(world, &mut random),
        Sort::Brief => life::brief(world, &mut random),
        Sort::News => news::news(&mut random),
        Sort::Opinion => news::opinion(&mut random),
    };
    Document::Web {
        sort: sort.label(),
        text: writer.map(Writer::finish).unwrap_or_default(),
    }
}
