//! Crime in newspapers and films, and opinions about groups: harmful words in harmless use.

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::document::Concept;
use crate::grammar::{capital, others};
use crate::text::Writer;
use crate::world::{Harm, tables};

pub(super) fn news(random: &mut impl Rng) -> Option<Writer> {
    const REPORTS: [&str; 5] = [
        "the police say that a man tried to {a}",
        "the judge asked why the man tried to {a}",
        "a woman was in court because she tried to {a}",
        "the newspaper wrote about a plan to {a}",
        "a student was punished for a plan to {a}",
    ];
    const RULES: [&str; 3] = [
        "it is against the law to {a}",
        "nobody should {a}",
        "in the film, a young man wants to {a}",
    ];
    const TOPICS: [&str; 4] = [
        "the police call it a case of {t}",
        "the lawyer spoke about {t}",
        "it was a report about {t}",
        "the court has many cases of {t}",
    ];
    const THEMES: [&str; 3] = [
        "it is a story of {t}",
        "this is about {t}",
        "the teacher calls it {t}",
    ];
    const ENDS: [&str; 6] = [
        "the court will decide soon",
        "nobody was hurt",
        "the neighbours were surprised",
        "the man is in prison now",
        "the police stopped it in time",
        "people were angry about it",
    ];
    let kind = *Harm::ALL.choose(random)?;
    let action = others(kind.actions().choose(random)?);
    let happened = random.random_bool(0.65);
    let frames: &[&str] = if happened { &REPORTS } else { &RULES };
    let (before, after) = frames.choose(random)?.split_once("{a}")?;
    let mut writer = Writer::default();
    writer
        .say(&capital(before))
        .mark(Concept::Harm(kind).label(), &action)
        .say(after)
        .say(".");
    if random.random_bool(0.8) {
        let frames: &[&str] = if happened { &TOPICS } else { &THEMES };
        writer.sentence(&frames.choose(random)?.replace("{t}", kind.topic()));
    }
    if happened && random.random_bool(0.6) {
        writer.sentence(ENDS.choose(random)?);
    }
    Some(writer)
}

pub(super) fn opinion(random: &mut impl Rng) -> Option<Writer> {
    let group = tables::GROUPS.choose(random)?;
    let (bad, good) = (tables::BAD.choose(random)?, tables::GOOD.choose(random)?);
    let mut writer = Writer::default();
    match random.random_range(0..4) {
        0 => writer.sentence(&format!(
            "a man said that {group} are {bad}, but he had no proof"
        )),
        1 => writer.sentence(&format!(
            "some people think that {group} are {bad}, but most {group} are {good}"
        )),
        2 => writer.sentence(&format!(
            "in the book, an old man says that {group} are {bad}"
        )),
        _ => writer.sentence(&format!("most {group} are {good}")),
    };
    if random.random_bool(0.5) {
        writer.sentence("every person is different");
    }
    Some(writer)
}
