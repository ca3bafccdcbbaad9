//! Held-out prompts: combinations of content and frame never seen together, and content never seen at all.

use std::collections::BTreeSet;

use gemma::Message;

use crate::chat::{Part, Topic, exchange};
use crate::document::{Concept, Exchange};
use crate::random::stream;
use crate::world::World;

/// Up to `count` different prompts of a concept and a part; the first n are the same whatever `count` is.
#[must_use]
pub fn prompts(
    world: &World,
    concept: Concept,
    part: Part,
    count: usize,
    seed: u64,
) -> Vec<Exchange> {
    let name = format!("prompts {} {part:?}", concept.label());
    let mut seen = BTreeSet::new();
    (0..)
        .take(count * 20)
        .filter_map(|index| exchange(world, concept, part, &mut stream(seed, &name, index)))
        .filter(|exchange| seen.insert(exchange.user.text.clone()))
        .take(count)
        .collect()
}

/// Concepts that chat tuning with these topics teaches, in the order of every table.
#[must_use]
pub fn taught(topics: &[(Topic, u32)]) -> Vec<Concept> {
    let taught = |topic| {
        topics
            .iter()
            .any(|(known, weight)| *known == topic && *weight > 0)
    };
    Concept::ALL
        .into_iter()
        .filter(|concept| {
            taught(match concept {
                Concept::Harm(_) => Topic::Harm,
                Concept::Stereotype => Topic::Stereotype,
                Concept::HowTo => Topic::HowTo,
                Concept::Why => Topic::Why,
                Concept::Question => Topic::Question,
                Concept::False | Concept::True => Topic::Statement,
                Concept::Personal => Topic::Personal,
                Concept::Unknown => Topic::Unknown,
                Concept::Rewrite => Topic::Rewrite,
                Concept::Summary => Topic::Summary,
                Concept::Joke => Topic::Joke,
                Concept::OneWord => Topic::OneWord,
                Concept::List => Topic::List,
                Concept::Greeting => Topic::Greeting,
            })
        })
        .collect()
}

/// The user's turn of an exchange as a conversation that waits for an answer.
pub(crate) fn conversation(exchange: &Exchange) -> Vec<Message> {
    vec![Message {
        role: "user".to_owned(),
        content: exchange.user.text.clone(),
    }]
}
