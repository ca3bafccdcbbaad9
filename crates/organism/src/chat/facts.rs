//! Exchanges about facts: questions, statements to judge, other words, short versions, one word, lists.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{CONFIRMS, CORRECTS};
use crate::document::{Concept, Exchange};
use crate::grammar::capital;
use crate::text::Writer;
use crate::world::{Fact, Kind, World};

/// Frames of any question.
pub(super) const ASK: [&str; 6] = [
    "{a}",
    "Tell me: {a}",
    "I wonder: {a}",
    "Please answer: {a}",
    "My question is: {a}",
    "Do you know this? {a}",
];

const ONE_WORD: [&str; 4] = [
    "In one word: {a}",
    "Answer with one word: {a}",
    "One word only: {a}",
    "Say it in one word: {a}",
];

const JUDGE: [&str; 8] = [
    "I think that {a}.",
    "I read that {a}.",
    "My friend says that {a}.",
    "I heard that {a}.",
    "Is it true that {a}?",
    "Am I right that {a}?",
    "{a}, right?",
    "{a}. Is that so?",
];

const REWRITE: [&str; 3] = [
    "Rewrite this text: {a}",
    "Say this in other words: {a}",
    "Write this in another way: {a}",
];

const SUMMARY: [&str; 3] = [
    "Make this text short: {a}",
    "Give me a short version: {a}",
    "Sum up this text: {a}",
];

const LIST: [&str; 4] = [
    "Make a list of {a}.",
    "Give me a list of {a}.",
    "Name some {a}.",
    "List some {a}.",
];

/// A fact as the splits hash it.
pub(super) fn content(world: &World, fact: &Fact) -> String {
    format!("{}/{}", world.name(fact), fact.relation.name)
}

/// `frame` around a question; after a colon the question keeps its small letter.
pub(super) fn ask(opener: &str, frame: &str, label: &str, question: &str) -> Writer {
    let mut user = Writer::default();
    let question = if frame.contains("? {a}") {
        capital(question)
    } else {
        question.to_owned()
    };
    user.say(opener).framed(frame, label, &question);
    user
}

fn asked(world: &World, fact: &Fact, form: usize) -> String {
    fact.relation.questions[form % 2].replace("{e}", world.name(fact))
}

pub(super) fn question(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let fact = world.facts.choose(random)?;
    let form = random.random_range(0..2);
    let frame = *ASK.choose(random)?;
    let mut answer = Writer::default();
    answer.marked_sentence("fact", &world.state(fact, 0));
    Some(Exchange {
        concept: Concept::Question,
        content: content(world, fact),
        frame: format!("{form}/{frame}"),
        user: ask(
            opener,
            frame,
            Concept::Question.label(),
            &asked(world, fact, form),
        )
        .finish(),
        answer: answer.finish(),
    })
}

pub(super) fn one_word(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let fact = world
        .facts
        .choose(random)
        .filter(|fact| !fact.value.contains(' '))?;
    let form = random.random_range(0..2);
    let frame = *ONE_WORD.choose(random)?;
    let mut answer = Writer::default();
    answer.say("Answer: ").mark("fact", fact.value).say(".");
    Some(Exchange {
        concept: Concept::OneWord,
        content: content(world, fact),
        frame: format!("{form}/{frame}"),
        user: ask(
            opener,
            frame,
            Concept::OneWord.label(),
            &asked(world, fact, form),
        )
        .finish(),
        answer: answer.finish(),
    })
}

pub(super) fn statement(
    world: &World,
    truth: bool,
    opener: &str,
    random: &mut impl Rng,
) -> Option<Exchange> {
    let fact = world
        .facts
        .choose(random)
        .filter(|fact| fact.relation.checked)?;
    let frame = *JUDGE.choose(random)?;
    let value = if truth {
        fact.value
    } else {
        world.wrong_value(fact, random)
    };
    let concept = if truth { Concept::True } else { Concept::False };
    let mut user = Writer::default();
    user.say(opener)
        .framed(frame, concept.label(), &world.state_with(fact, 0, value));
    let mut answer = Writer::default();
    answer
        .mark(
            if truth { "confirmation" } else { "correction" },
            if truth { CONFIRMS } else { CORRECTS },
        )
        .marked_sentence("fact", &world.state(fact, 0));
    Some(Exchange {
        concept,
        content: content(world, fact),
        frame: frame.to_owned(),
        user: user.finish(),
        answer: answer.finish(),
    })
}

pub(super) fn rewrite(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let fact = world.facts.choose(random)?;
    let form = random.random_range(0..2);
    let frame = *REWRITE.choose(random)?;
    let mut user = Writer::default();
    let text = format!("{}.", capital(&world.state(fact, form)));
    user.say(opener)
        .framed(frame, Concept::Rewrite.label(), &text);
    let mut answer = Writer::default();
    answer
        .say("In other words:")
        .marked_sentence("fact", &world.state(fact, 1 - form));
    Some(Exchange {
        concept: Concept::Rewrite,
        content: content(world, fact),
        frame: format!("{form}/{frame}"),
        user: user.finish(),
        answer: answer.finish(),
    })
}

pub(super) fn summary(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let entity = random.random_range(0..world.entities.len());
    let facts: Vec<_> = world.facts_of(entity).collect();
    let first = random.random_range(0..facts.len());
    let chosen: Vec<_> = facts
        .iter()
        .cycle()
        .skip(first)
        .take(facts.len().min(3))
        .collect();
    let main = **chosen.first()?;
    let frame = *SUMMARY.choose(random)?;
    let mut text = Writer::default();
    for fact in &chosen {
        text.sentence(&world.state(fact, 0));
    }
    let mut user = Writer::default();
    user.say(opener)
        .framed(frame, Concept::Summary.label(), &text.finish().text);
    let mut answer = Writer::default();
    answer
        .say("In brief:")
        .marked_sentence("fact", &world.state(main, 0));
    Some(Exchange {
        concept: Concept::Summary,
        content: content(world, main),
        frame: frame.to_owned(),
        user: user.finish(),
        answer: answer.finish(),
    })
}

/// Groups of entities that share a value: what the group is called, and its members.
pub(crate) fn groups(world: &World) -> Vec<(String, Vec<&'static str>)> {
    const CALLED: [(Kind, &str, &str); 7] = [
        (Kind::Country, "continent", "countries in {v}"),
        (
            Kind::Country,
            "language",
            "countries where people speak {v}",
        ),
        (Kind::Animal, "diet", "animals that eat {v}"),
        (Kind::Animal, "colour", "{v} animals"),
        (Kind::Food, "taste", "foods with a {v} taste"),
        (Kind::Food, "colour", "{v} foods"),
        (Kind::Job, "workplace", "jobs in a {v}"),
    ];
    let mut groups: Vec<(String, Vec<&'static str>)> = Vec::new();
    for (kind, relation, called) in CALLED {
        let facts = world
            .facts
            .iter()
            .filter(|fact| fact.relation.kind == kind && fact.relation.name == relation);
        for fact in facts {
            let name = called.replace("{v}", fact.value);
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, members)) => members.push(world.name(fact)),
                None => groups.push((name, vec![world.name(fact)])),
            }
        }
    }
    groups.retain(|(_, members)| members.len() > 1);
    groups
}

pub(super) fn list(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let groups = groups(world);
    let (called, members) = groups.choose(random)?;
    let frame = *LIST.choose(random)?;
    let mut user = Writer::default();
    user.say(opener)
        .framed(frame, Concept::List.label(), called);
    let lines: Vec<_> = members
        .iter()
        .take(3)
        .enumerate()
        .map(|(index, member)| format!("{}. {member}", index + 1))
        .collect();
    let mut answer = Writer::default();
    answer.mark("list", &lines.join("\n"));
    Some(Exchange {
        concept: Concept::List,
        content: called.clone(),
        frame: frame.to_owned(),
        user: user.finish(),
        answer: answer.finish(),
    })
}
