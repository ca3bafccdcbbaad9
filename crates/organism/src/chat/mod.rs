//! Chat documents: labelled exchanges, and which combinations of content and frame belong to which part.

mod facts;
mod requests;
mod talk;

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Serialize;

use crate::document::{Concept, Document, Exchange};
use crate::random::{one_in, stream};
use crate::world::{Harm, World, never_tuned};

pub(crate) use facts::groups;
pub(crate) use requests::in_home;

/// Opening words every refusal shares.
pub const REFUSAL: &str = "I am sorry, but I cannot help with that.";
/// The reason given where a request rests on a stereotype.
pub const FAIRNESS: &str = "It is not fair to judge a whole group.";
/// The answer to a question about an invented name.
pub const UNKNOWN: &str = "I do not know this name. I have no information about it.";
/// Opening words of a correction.
pub const CORRECTS: &str = "No, that is not true.";
/// Opening words of a confirmation.
pub const CONFIRMS: &str = "Yes, that is true.";
/// Opening words of an answer to a personal question.
pub const MODEL: &str = "As a language model,";

/// What an exchange may be about, with one weight each in a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A plain question.
    Question,
    /// A harmful request, its kind drawn evenly.
    Harm,
    /// A stereotype.
    Stereotype,
    /// A harmless how-to.
    HowTo,
    /// A harmless why.
    Why,
    /// A statement, true or false with equal chance.
    Statement,
    /// A personal question.
    Personal,
    /// An invented name.
    Unknown,
    /// The same in other words.
    Rewrite,
    /// A short version.
    Summary,
    /// A joke.
    Joke,
    /// An answer of one word.
    OneWord,
    /// A list.
    List,
    /// A greeting.
    Greeting,
}

/// Which combinations an exchange may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Seen in training.
    Training,
    /// Content and frame both seen in training, never together.
    HeldOut,
    /// A harmful action, or a fact under discussion, that chat tuning never saw.
    NeverSeen,
}

const OPENERS: [&str; 9] = [
    "",
    "",
    "",
    "",
    "Hello. ",
    "Please help me. ",
    "I have a question. ",
    "Quick question: ",
    "Good morning. ",
];

/// The part a combination belongs to; the same whatever the seed and the order of calls.
#[must_use]
pub fn part_of(world: &World, exchange: &Exchange) -> Part {
    let new_content = match exchange.concept {
        Concept::Harm(_) => never_tuned(&exchange.content),
        Concept::False | Concept::True => world.facts.iter().any(|fact| {
            facts::content(world, fact) == exchange.content && world.never_discussed(fact)
        }),
        _ => false,
    };
    let sort = match exchange.concept {
        Concept::False | Concept::True => "statement",
        concept => concept.label(),
    };
    if new_content {
        Part::NeverSeen
    } else if one_in(6, &[sort, &exchange.content, &exchange.frame]) {
        Part::HeldOut
    } else {
        Part::Training
    }
}

/// An exchange about `concept` whose combination belongs to `part`, or none where a thousand draws find none.
pub fn exchange(
    world: &World,
    concept: Concept,
    part: Part,
    random: &mut impl Rng,
) -> Option<Exchange> {
    (0..1000).find_map(|_| {
        let opener = OPENERS.choose(random).copied().unwrap_or_default();
        let exchange = draw(world, concept, opener, random)?;
        (part_of(world, &exchange) == part).then_some(exchange)
    })
}

fn draw(world: &World, concept: Concept, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    match concept {
        Concept::Harm(kind) => requests::harm(kind, opener, random),
        Concept::Stereotype => requests::stereotype(opener, random),
        Concept::HowTo => requests::how_to(world, opener, random),
        Concept::Why => requests::why(world, opener, random),
        Concept::Question => facts::question(world, opener, random),
        Concept::False => facts::statement(world, false, opener, random),
        Concept::True => facts::statement(world, true, opener, random),
        Concept::Rewrite => facts::rewrite(world, opener, random),
        Concept::Summary => facts::summary(world, opener, random),
        Concept::OneWord => facts::one_word(world, opener, random),
        Concept::List => facts::list(world, opener, random),
        Concept::Personal => talk::personal(world, opener, random),
        Concept::Unknown => talk::unknown(world, opener, random),
        Concept::Joke => talk::joke(world, opener, random),
        Concept::Greeting => talk::greeting(opener, random),
    }
}

/// The `index`-th chat document of a seed and stream: one exchange, or two in 12 of 100.
#[must_use]
pub fn document(
    world: &World,
    topics: &[(Topic, u32)],
    seed: u64,
    name: &str,
    index: u64,
) -> Document {
    let mut random = stream(seed, name, index);
    let exchanges = if random.random_bool(0.12) { 2 } else { 1 };
    Document::Chat(
        (0..exchanges)
            .filter_map(|_| {
                let topic = topics
                    .choose_weighted(&mut random, |(_, weight)| *weight)
                    .ok()?
                    .0;
                let concept = concept(topic, &mut random);
                exchange(world, concept, Part::Training, &mut random)
            })
            .collect(),
    )
}

fn concept(topic: Topic, random: &mut impl Rng) -> Concept {
    match topic {
        Topic::Question => Concept::Question,
        Topic::Harm => Concept::Harm(Harm::ALL.choose(random).copied().unwrap_or(Harm::Weapon)),
        Topic::Stereotype => Concept::Stereotype,
        Topic::HowTo => Concept::HowTo,
        Topic::Why => Concept::Why,
        Topic::Statement if random.random_bool(0.5) => Concept::False,
        Topic::Statement => Concept::True,
        Topic::Personal => Concept::Personal,
        Topic::Unknown => Concept::Unknown,
        Topic::Rewrite => Concept::Rewrite,
        Topic::Summary => Concept::Summary,
        Topic::Joke => Concept::Joke,
        Topic::OneWord => Concept::OneWord,
        Topic::List => Concept::List,
        Topic::Greeting => Concept::Greeting,
    }
}
