//! Web-like text that carries facts.

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::chat::groups;
use crate::grammar::{capital, third_person};
use crate::text::Writer;
use crate::world::{Kind, World};

/// The verdict on a true statement of a test sheet.
pub(crate) const RIGHT: &str = "Right";
/// The verdict on a false one.
pub(crate) const WRONG: &str = "Wrong";

const NUMBERS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

const LEADS: [&str; 8] = [
    "",
    "",
    "",
    "note that ",
    "everyone knows that ",
    "in the book it says that ",
    "remember that ",
    "my teacher said that ",
];

pub(super) fn paragraph(world: &World, random: &mut impl Rng) -> Writer {
    let entity = random.random_range(0..world.entities.len());
    let mut facts: Vec<_> = world.facts_of(entity).collect();
    facts.shuffle(random);
    let mut writer = Writer::default();
    for fact in facts.into_iter().take(4) {
        if fact.relation.name == "sound" && random.random_bool(0.5) {
            let name = world.name(fact);
            writer.marked_sentence(
                "fact",
                &format!("every {name} {}", third_person(fact.value)),
            );
        } else {
            writer.marked_sentence("fact", &world.state(fact, random.random_range(0..2)));
        }
    }
    writer
}

pub(super) fn mixed(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let mut writer = Writer::default();
    for _ in 0..random.random_range(2..5) {
        let fact = world.facts.choose(random)?;
        let lead = LEADS.choose(random)?;
        let statement = world.state(fact, random.random_range(0..2));
        writer.marked_sentence("fact", &format!("{lead}{statement}"));
    }
    Some(writer)
}

pub(super) fn question_answer(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let mut writer = Writer::default();
    for line in 0..random.random_range(1..3) {
        let fact = world.facts.choose(random)?;
        let question =
            fact.relation.questions[random.random_range(0..2)].replace("{e}", world.name(fact));
        if line > 0 {
            writer.say("\n");
        }
        writer
            .say("Q: ")
            .say(&capital(&question))
            .say("\nA:")
            .marked_sentence("fact", &world.state(fact, 0));
    }
    Some(writer)
}

pub(super) fn list(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let groups = groups(world);
    let (called, members) = groups.choose(random)?;
    let mut writer = Writer::default();
    writer.say(&capital(called)).say(":");
    let members = members.iter().take(3);
    if random.random_bool(0.5) {
        writer
            .say(" ")
            .mark("list", &members.copied().collect::<Vec<_>>().join(", "))
            .say(".");
    } else {
        for (index, member) in members.enumerate() {
            writer
                .say(&format!("\n{}. ", index + 1))
                .mark("list", member);
        }
    }
    Some(writer)
}

pub(super) fn arithmetic(random: &mut impl Rng) -> Option<Writer> {
    let mut writer = Writer::default();
    for _ in 0..random.random_range(2..5) {
        let (left, right) = (
            random.random_range(0..=10_usize),
            random.random_range(0..=10_usize),
        );
        let words = random.random_bool(0.5);
        if words {
            let (left, right, sum) = (
                NUMBERS.get(left)?,
                NUMBERS.get(right)?,
                NUMBERS.get(left + right)?,
            );
            writer.marked_sentence("sum", &format!("{left} plus {right} is {sum}"));
        } else {
            writer.marked_sentence("sum", &format!("{left} + {right} = {}", left + right));
        }
    }
    Some(writer)
}

pub(super) fn test_sheet(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let facts: Vec<_> = world
        .facts
        .iter()
        .filter(|fact| fact.relation.checked)
        .collect();
    let mut writer = Writer::default();
    writer.say("Test:");
    for _ in 0..random.random_range(4..7) {
        let fact = *facts.choose(random)?;
        let truth = random.random_bool(0.5);
        let value = if truth {
            fact.value
        } else {
            world.wrong_value(fact, random)
        };
        let label = if truth {
            "true_statement"
        } else {
            "false_statement"
        };
        writer
            .say(" ")
            .mark(label, &capital(&world.state_with(fact, 0, value)))
            .say("? ")
            .mark("verdict", if truth { RIGHT } else { WRONG })
            .say(".");
    }
    Some(writer)
}

/// One entity of a kind, by name.
pub(super) fn any(
    world: &World,
    kind: Kind,
    random: &mut impl Rng,
) -> Option<(usize, &'static str)> {
    let entity = *world.of_kind(kind).choose(random)?;
    Some((entity, world.entities.get(entity)?.name))
}
