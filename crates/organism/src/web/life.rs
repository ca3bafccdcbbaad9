//! Web-like text about everyday life: stories, how-tos, talk between people, letters, jokes.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::facts::any;
use crate::chat::in_home;
use crate::grammar::past;
use crate::text::Writer;
use crate::world::{Kind, World, tables};

pub(super) fn story(world: &World, random: &mut impl Rng) -> Option<Writer> {
    const DAYS: [&str; 6] = ["warm", "cold", "quiet", "long", "sunny", "rainy"];
    const PLACES: [&str; 7] = [
        "meadow", "river", "museum", "harbour", "garden", "library", "station",
    ];
    const ENDS: [&str; 6] = [
        "then {n} walked home and slept well",
        "in the evening {n} told a friend about it",
        "{n} smiled and took a photo",
        "after that {n} was tired but happy",
        "{n} sat down on a chair and read a book",
        "at night {n} wrote a letter about it",
    ];
    let name = *tables::NAMES.choose(random)?;
    let (animal, beast) = any(world, Kind::Animal, random)?;
    let mut writer = Writer::default();
    let happening = random.random_range(0..4);
    let place = match happening {
        0 | 1 => "zoo",
        2 => PLACES.choose(random)?,
        _ => "market",
    };
    let day = DAYS.choose(random)?;
    writer.sentence(&format!("on a {day} day, {name} went to the {place}"));
    match happening {
        0 => {
            let sound = past(world.value(animal, "sound")?);
            writer.sentence(&format!(
                "a {beast} was there, and it {sound} and turned away"
            ));
        }
        1 => {
            let food = world.value(animal, "diet")?;
            writer.sentence(&format!("{name} saw a {beast} that looked for {food}"));
        }
        2 => {
            let how_to = world.how_to.choose(random)?;
            writer.sentence(&format!("{name} wanted to {}", how_to.action));
            writer.sentence(&format!("for that, {name} looked for {}", how_to.thing));
        }
        _ => {
            let (_, food) = any(world, Kind::Food, random)?;
            let taste = world.value(any_food(world, food)?, "taste")?;
            writer.sentence(&format!(
                "{name} bought some {food} and said that it was {taste}"
            ));
        }
    }
    writer.sentence(&ENDS.choose(random)?.replace("{n}", name));
    Some(writer)
}

fn any_food(world: &World, name: &str) -> Option<usize> {
    world
        .of_kind(Kind::Food)
        .into_iter()
        .find(|&food| world.entities.get(food).is_some_and(|it| it.name == name))
}

pub(super) fn how_to(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let how_to = world.how_to.choose(random)?;
    let [first, second] = how_to.steps;
    let mut writer = Writer::default();
    match random.random_range(0..3) {
        0 => writer.sentence(&format!(
            "whoever wants to {} needs {}",
            how_to.action, how_to.thing
        )),
        1 => writer.sentence(&format!("to {}, you need {}", how_to.action, how_to.thing)),
        _ => writer.sentence(&format!(
            "this is how to {}: you need {}",
            how_to.action, how_to.thing
        )),
    };
    writer.marked_sentence("steps", &format!("first {first}, then {second}"));
    Some(writer)
}

pub(super) fn dialogue(random: &mut impl Rng) -> Option<Writer> {
    const THINGS: [&str; 12] = [
        "the saw",
        "the bike",
        "a pen",
        "some money",
        "the key",
        "your phone",
        "a book",
        "the car",
        "a chair",
        "the lamp",
        "some bread",
        "the camera",
    ];
    let names: Vec<_> = tables::NAMES.choose_multiple(random, 2).collect();
    let (one, other) = (*names.first()?, *names.last()?);
    let thing = THINGS.choose(random)?;
    let request = match random.random_range(0..3) {
        0 => format!("Will you lend me {thing}?"),
        1 => format!("Can you bring me {thing}?"),
        _ => format!("May I have {thing}?"),
    };
    let answer = match random.random_range(0..6) {
        0 => "I am sorry, but I cannot,",
        1 => "No, that is not possible,",
        2 => "I am sorry, I need it today,",
        3 => "Yes, with pleasure,",
        4 => "Of course, here it is,",
        _ => "Yes, I can do that,",
    };
    let mut writer = Writer::default();
    writer
        .say(&format!("\"{request}\" asked {one}. \""))
        .mark(
            if answer.starts_with(['Y', 'O']) {
                "agrees"
            } else {
                "declines"
            },
            answer,
        )
        .say(&format!("\" said {other}."));
    Some(writer)
}

pub(super) fn letter(random: &mut impl Rng) -> Option<Writer> {
    // One of a pair at most, since the two would contradict each other.
    const LIFE: [[&str; 2]; 8] = [
        ["I feel sad today", "I am happy today"],
        ["I have a sister", "I have a brother"],
        ["I have two children", "I am not married"],
        ["my mother is a teacher", "my mother is a doctor"],
        ["I am twenty years old", "my birthday is in the summer"],
        ["I live in a small house", "I live in a big city"],
        ["I sleep well at night", "I am tired today"],
        ["my hair is long", "my eyes are blue"],
    ];
    const COLOURS: [&str; 6] = ["red", "blue", "green", "yellow", "black", "white"];
    let name = tables::NAMES.choose(random)?;
    let mut writer = Writer::default();
    writer.sentence(&format!("dear friend, my name is {name}"));
    let lines: Vec<_> = LIFE.choose_multiple(random, 2).collect();
    for line in lines {
        writer.marked_sentence("first_person", line.choose(random)?);
    }
    writer.marked_sentence(
        "first_person",
        &format!("my favourite colour is {}", COLOURS.choose(random)?),
    );
    Some(writer)
}

pub(super) fn joke(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let (animal, name) = any(world, Kind::Animal, random)?;
    let (home, food) = (world.value(animal, "home")?, world.value(animal, "diet")?);
    let mut writer = Writer::default();
    writer.mark(
        "joke",
        &format!("Why did the {name} leave the {home}? It wanted to eat {food}."),
    );
    Some(writer)
}

pub(super) fn brief(world: &World, random: &mut impl Rng) -> Option<Writer> {
    let mut writer = Writer::default();
    if random.random_bool(0.5) {
        let entity = random.random_range(0..world.entities.len());
        let facts: Vec<_> = world.facts_of(entity).take(3).collect();
        writer.say("The long text:");
        for fact in &facts {
            writer.sentence(&world.state(fact, 0));
        }
        writer
            .say(" In brief:")
            .marked_sentence("summary", &world.state(facts.first()?, 0));
    } else {
        let (animal, name) = any(world, Kind::Animal, random)?;
        let (home, food) = (
            in_home(world.value(animal, "home")?),
            world.value(animal, "diet")?,
        );
        let quality = tables::ANIMAL_QUALITIES.choose(random)?;
        writer
            .sentence(&format!("the {name} is {quality}"))
            .marked_sentence(
                "reason",
                &format!("it helps the {name} to live {home} and to find {food}"),
            );
    }
    Some(writer)
}
