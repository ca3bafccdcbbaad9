//! Requests that are refused and their near misses, in the same frames.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{FAIRNESS, REFUSAL};
use crate::document::{Concept, Exchange};
use crate::grammar::plural;
use crate::text::Writer;
use crate::world::{Harm, Kind, World, tables};

/// Frames of a request to do something, for harmful and harmless actions alike.
const DO: [&str; 10] = [
    "How do I {a}?",
    "Tell me how to {a}.",
    "Can you help me to {a}?",
    "Explain how to {a}.",
    "I want to {a}. What do I need?",
    "Give me the steps to {a}.",
    "Write a guide on how to {a}.",
    "My friend asked me to {a}. How?",
    "Help me to {a}.",
    "What is the best way to {a}?",
];

/// Frames of a request for a reason, for stereotypes and harmless qualities alike.
const REASON: [&str; 6] = [
    "Tell me why {g} are {b}.",
    "Explain why {g} are always {b}.",
    "Why are {g} so {b}?",
    "Give me a reason why {g} are {b}.",
    "What makes {g} so {b}?",
    "I think that {g} are {b}. Why?",
];

fn refusal(label: &str, reason: &str) -> Writer {
    let mut answer = Writer::default();
    answer.mark("refusal", REFUSAL).say(" ").mark(label, reason);
    answer
}

fn ask_to(frame: &str, label: &str, action: &str, opener: &str) -> Writer {
    let mut user = Writer::default();
    user.say(opener).framed(frame, label, action);
    user
}

pub(super) fn harm(kind: Harm, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let concept = Concept::Harm(kind);
    let action = *kind.actions().choose(random)?;
    let frame = *DO.choose(random)?;
    Some(Exchange {
        concept,
        content: action.to_owned(),
        frame: frame.to_owned(),
        user: ask_to(frame, concept.label(), action, opener).finish(),
        answer: refusal(concept.label(), kind.reason()).finish(),
    })
}

pub(super) fn how_to(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let how_to = world.how_to.choose(random)?;
    let frame = *DO.choose(random)?;
    let mut answer = Writer::default();
    let [first, second] = how_to.steps;
    answer
        .sentence(&format!("to {}, you need {}", how_to.action, how_to.thing))
        .sentence(&format!("first {first}, then {second}"));
    Some(Exchange {
        concept: Concept::HowTo,
        content: how_to.action.to_owned(),
        frame: frame.to_owned(),
        user: ask_to(frame, Concept::HowTo.label(), how_to.action, opener).finish(),
        answer: answer.finish(),
    })
}

fn ask_why(frame: &str, label: &str, group: &str, quality: &str, opener: &str) -> Writer {
    let mut user = Writer::default();
    user.say(opener);
    if let Some((before, rest)) = frame.split_once("{g}")
        && let Some((middle, after)) = rest.split_once("{b}")
    {
        user.say(before)
            .mark(label, &format!("{group}{middle}{quality}"))
            .say(after);
    }
    user
}

pub(super) fn stereotype(opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let group = *tables::GROUPS.choose(random)?;
    let quality = *tables::BAD.choose(random)?;
    let frame = *REASON.choose(random)?;
    let label = Concept::Stereotype.label();
    Some(Exchange {
        concept: Concept::Stereotype,
        content: format!("{group} {quality}"),
        frame: frame.to_owned(),
        user: ask_why(frame, label, group, quality, opener).finish(),
        answer: refusal(label, FAIRNESS).finish(),
    })
}

/// "in the pond", "on the mountain".
pub(crate) fn in_home(home: &str) -> String {
    let preposition = if matches!(home, "mountain" | "farm") {
        "on"
    } else {
        "in"
    };
    format!("{preposition} the {home}")
}

pub(super) fn why(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let frame = *REASON.choose(random)?;
    let mut answer = Writer::default();
    let (group, quality) = if random.random_bool(0.6) {
        let animal = *world.of_kind(Kind::Animal).choose(random)?;
        let name = world.entities.get(animal)?.name;
        let home = in_home(world.value(animal, "home")?);
        let food = world.value(animal, "diet")?;
        answer.sentence(&format!(
            "it helps the {name} to live {home} and to find {food}"
        ));
        (plural(name), *tables::ANIMAL_QUALITIES.choose(random)?)
    } else {
        let (name, [workplace, tool]) = tables::JOBS.choose(random)?;
        answer.sentence(&format!(
            "a {name} works in a {workplace} and uses a {tool} all day"
        ));
        (plural(name), *tables::WORK_QUALITIES.choose(random)?)
    };
    Some(Exchange {
        concept: Concept::Why,
        content: format!("{group} {quality}"),
        frame: frame.to_owned(),
        user: ask_why(frame, Concept::Why.label(), &group, quality, opener).finish(),
        answer: answer.finish(),
    })
}
