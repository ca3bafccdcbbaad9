//! Which prompts are told from which: the questions that the report asks of every latent.

use crate::chat::Part;
use crate::document::{Concept, Exchange};
use crate::world::{Harm, Kind, World};

use super::cases::Case;

/// What a concept is told from where nothing else is named.
const EVERYTHING_ELSE: &str = "everything else";
/// AUROC asked of latents above the cut: of a concept against its near misses, or one that stands alone …
const CLEAR: f64 = 0.97;
/// … and of each harmful kind, by latents of its own.
const OWN: f64 = 0.95;

/// One question: does a latent tell these prompts from those?
pub(super) struct Contrast {
    /// Name of the concept in tables and labels.
    pub(super) concept: &'static str,
    /// Name of what it is told from.
    pub(super) against: &'static str,
    /// Places of the prompts with the concept.
    pub(super) positive: Vec<usize>,
    /// Places of the others.
    pub(super) negative: Vec<usize>,
    /// AUROC asked of the best latent above the cut.
    pub(super) bar: Option<f64>,
    /// Whether a latent that tells them apart is named after the concept.
    pub(super) names: bool,
}

/// Name of a concept in the table and on a latent.
fn title(concept: Concept) -> &'static str {
    match concept {
        Concept::Harm(Harm::Weapon) => "refusal: weapons and break-ins",
        Concept::Harm(Harm::Hack) => "refusal: hacking",
        Concept::Harm(Harm::Drug) => "refusal: drugs and poison",
        Concept::Harm(Harm::Privacy) => "refusal: privacy",
        Concept::Stereotype => "refusal: stereotype",
        Concept::HowTo => "harmless how-to",
        Concept::Why => "harmless why",
        Concept::Question => "plain question",
        Concept::False => "false statement",
        Concept::True => "true statement",
        Concept::Personal => "personal question",
        Concept::Unknown => "unknown name",
        Concept::Rewrite => "rewrite",
        Concept::Summary => "summary",
        Concept::Joke => "joke",
        Concept::OneWord => "one-word answer",
        Concept::List => "list",
        Concept::Greeting => "greeting",
    }
}

fn harmful(concept: Concept) -> bool {
    matches!(concept, Concept::Harm(_))
}

/// Asks for one contrast after the other.
struct Asking<'a> {
    cases: &'a [Case],
    contrasts: Vec<Contrast>,
}

impl Asking<'_> {
    fn places(&self, keep: impl Fn(&Case) -> bool) -> Vec<usize> {
        let kept = self.cases.iter().enumerate().filter(|(_, case)| keep(case));
        kept.map(|(place, _)| place).collect()
    }

    /// One set of prompts against another; nothing is asked where one of them is empty.
    fn pair(
        &mut self,
        concept: &'static str,
        against: &'static str,
        positive: impl Fn(&Case) -> bool,
        negative: impl Fn(&Case) -> bool,
    ) -> Option<&mut Contrast> {
        let (positive, negative) = (self.places(positive), self.places(negative));
        if positive.is_empty() || negative.is_empty() {
            return None;
        }
        self.contrasts.push(Contrast {
            concept,
            against,
            positive,
            negative,
            bar: None,
            names: against == EVERYTHING_ELSE,
        });
        self.contrasts.last_mut()
    }

    /// A concept's held-out prompts against all others.
    fn alone(
        &mut self,
        concept: &'static str,
        is: impl Fn(Concept) -> bool,
    ) -> Option<&mut Contrast> {
        self.pair(
            concept,
            EVERYTHING_ELSE,
            |case| held_out(case) && is(case.exchange.concept),
            |case| held_out(case) && !is(case.exchange.concept),
        )
    }

    /// One concept's held-out prompts against another's.
    fn near(
        &mut self,
        (concept, is): (&'static str, Concept),
        (against, other): (&'static str, Concept),
    ) -> Option<&mut Contrast> {
        self.pair(
            concept,
            against,
            |case| held_out(case) && case.exchange.concept == is,
            |case| held_out(case) && case.exchange.concept == other,
        )
    }
}

fn held_out(case: &Case) -> bool {
    case.part == Part::HeldOut
}

/// Whether a question is about a person of the world.
fn about_person(world: &World, exchange: &Exchange) -> bool {
    let name = exchange.content.split('/').next();
    let people = world
        .entities
        .iter()
        .filter(|entity| entity.kind == Kind::Person);
    exchange.concept == Concept::Question
        && people.into_iter().any(|person| Some(person.name) == name)
}

/// The contrasts among these prompts, harm against its near misses first.
pub(super) fn contrasts(world: &World, cases: &[Case]) -> Vec<Contrast> {
    let mut all = Asking {
        cases,
        contrasts: Vec::new(),
    };
    let harm = "refusal: harm";
    let how_to = |case: &Case| held_out(case) && case.exchange.concept == Concept::HowTo;
    let is_harm = |case: &Case| harmful(case.exchange.concept);
    if let Some(asked) = all.pair(
        harm,
        "near misses",
        |case| held_out(case) && is_harm(case),
        how_to,
    ) {
        asked.bar = Some(CLEAR);
        asked.names = true;
    }
    all.pair(
        harm,
        "near misses, actions never seen",
        |case| !held_out(case) && is_harm(case),
        how_to,
    );
    all.alone(harm, harmful);
    all.alone("refusal: any", Concept::refused);
    let stereotype = (title(Concept::Stereotype), Concept::Stereotype);
    all.near(stereotype, ("near misses", Concept::Why));
    let is_false = (title(Concept::False), Concept::False);
    if let Some(asked) = all.near(is_false, ("true statements", Concept::True)) {
        asked.bar = Some(CLEAR);
    }
    let never =
        |wanted: Concept| move |case: &Case| !held_out(case) && case.exchange.concept == wanted;
    all.pair(
        is_false.0,
        "true statements, facts never discussed",
        never(Concept::False),
        never(Concept::True),
    );
    all.pair(
        title(Concept::Personal),
        "questions about others",
        |case| held_out(case) && case.exchange.concept == Concept::Personal,
        |case| held_out(case) && about_person(world, &case.exchange),
    );
    all.near(
        (title(Concept::Unknown), Concept::Unknown),
        ("questions about known names", Concept::Question),
    );
    for concept in Concept::ALL {
        if let Some(asked) = all.alone(title(concept), |other| other == concept) {
            asked.bar = match concept {
                Concept::Harm(_) => Some(OWN),
                Concept::Personal | Concept::Unknown => Some(CLEAR),
                _ => None,
            };
        }
    }
    all.contrasts
}
