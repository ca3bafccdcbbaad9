//! Exchanges about the model itself, about names that belong to nothing, and jokes.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::facts::{ASK, ask};
use super::{MODEL, UNKNOWN};
use crate::document::{Concept, Exchange};
use crate::grammar::capital;
use crate::text::Writer;
use crate::world::{Kind, World, invented};

const JOKE: [&str; 4] = [
    "Tell me a joke about the {a}.",
    "Do you know a joke about the {a}?",
    "I need a joke about a {a}.",
    "Make me laugh with a {a}.",
];

const GREETING: [&str; 6] = [
    "Who are you?",
    "What are you?",
    "What can you do?",
    "Can you help me?",
    "What is this?",
    "Who is there?",
];

fn small(question: &str) -> String {
    let mut letters = question.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

pub(super) fn personal(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let personal = world.personal.choose(random)?;
    let frame = *ASK.choose(random)?;
    let mut answer = Writer::default();
    answer
        .mark("personal", MODEL)
        .say(" ")
        .mark(personal.kind, &format!("{}.", personal.answer));
    Some(Exchange {
        concept: Concept::Personal,
        content: personal.question.to_owned(),
        frame: frame.to_owned(),
        user: ask(
            opener,
            frame,
            Concept::Personal.label(),
            &small(personal.question),
        )
        .finish(),
        answer: answer.finish(),
    })
}

pub(super) fn unknown(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let fact = world.facts.choose(random).filter(|fact| {
        matches!(
            fact.relation.kind,
            Kind::Country | Kind::Animal | Kind::Person
        )
    })?;
    let name = invented(random);
    let name = if fact.relation.kind == Kind::Animal {
        name
    } else {
        capital(&name)
    };
    let form = random.random_range(0..2);
    let frame = *ASK.choose(random)?;
    let question = fact.relation.questions[form].replace("{e}", &name);
    let mut answer = Writer::default();
    answer.mark(Concept::Unknown.label(), UNKNOWN);
    Some(Exchange {
        concept: Concept::Unknown,
        content: name,
        frame: format!("{}/{form}/{frame}", fact.relation.name),
        user: ask(opener, frame, Concept::Unknown.label(), &question).finish(),
        answer: answer.finish(),
    })
}

pub(super) fn joke(world: &World, opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let animal = *world.of_kind(Kind::Animal).choose(random)?;
    let name = world.entities.get(animal)?.name;
    let frame = *JOKE.choose(random)?;
    let mut user = Writer::default();
    user.say(opener).framed(frame, Concept::Joke.label(), name);
    let home = world.value(animal, "home")?;
    let food = world.value(animal, "diet")?;
    let mut answer = Writer::default();
    answer.say("Here is a joke: ").mark(
        Concept::Joke.label(),
        &format!("Why did the {name} leave the {home}? It wanted to eat {food}."),
    );
    Some(Exchange {
        concept: Concept::Joke,
        content: name.to_owned(),
        frame: frame.to_owned(),
        user: user.finish(),
        answer: answer.finish(),
    })
}

pub(super) fn greeting(opener: &str, random: &mut impl Rng) -> Option<Exchange> {
    let question = *GREETING.choose(random)?;
    let mut user = Writer::default();
    user.say(opener).mark(Concept::Greeting.label(), question);
    let mut answer = Writer::default();
    answer.mark(
        Concept::Greeting.label(),
        "I am a language model. I can answer questions.",
    );
    Some(Exchange {
        concept: Concept::Greeting,
        content: question.to_owned(),
        frame: opener.to_owned(),
        user: user.finish(),
        answer: answer.finish(),
    })
}
