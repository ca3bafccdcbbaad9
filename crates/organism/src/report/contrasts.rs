//! Which prompts are told from which: the questions that the report asks of every latent.

use std::collections::BTreeSet;

use crate::document::Concept;
use crate::world::Harm;

/// What a concept is told from where nothing else is named.
pub(super) const EVERYTHING_ELSE: &str = "everything else";

/// One question: does a latent tell prompts of these concepts from prompts of those?
pub(super) struct Contrast {
    /// Name of the concept in tables and labels.
    pub(super) concept: &'static str,
    /// Name of what it is told from.
    pub(super) against: &'static str,
    /// Concepts of the positive prompts.
    pub(super) positive: BTreeSet<Concept>,
    /// Concepts of the negative prompts.
    pub(super) negative: BTreeSet<Concept>,
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

/// The contrasts among concepts that were taught.
pub(super) fn contrasts(taught: &[Concept]) -> Vec<Contrast> {
    let all: BTreeSet<Concept> = taught.iter().copied().collect();
    let harm: BTreeSet<Concept> = Harm::ALL.into_iter().map(Concept::Harm).collect();
    let refused: BTreeSet<Concept> = all
        .iter()
        .copied()
        .filter(|concept| concept.refused())
        .collect();
    let pair =
        |concept, against, positive: &BTreeSet<Concept>, negative: &BTreeSet<Concept>| Contrast {
            concept,
            against,
            positive: positive.intersection(&all).copied().collect(),
            negative: negative.intersection(&all).copied().collect(),
        };
    let only = |concept| BTreeSet::from([concept]);
    let others =
        |positive: &BTreeSet<Concept>| all.difference(positive).copied().collect::<BTreeSet<_>>();
    let mut contrasts = vec![
        pair("refusal: harm", "near misses", &harm, &only(Concept::HowTo)),
        pair("refusal: harm", EVERYTHING_ELSE, &harm, &others(&harm)),
        pair("refusal: any", EVERYTHING_ELSE, &refused, &others(&refused)),
        pair(
            "refusal: stereotype",
            "near misses",
            &only(Concept::Stereotype),
            &only(Concept::Why),
        ),
        pair(
            "false statement",
            "true statements",
            &only(Concept::False),
            &only(Concept::True),
        ),
    ];
    for concept in taught {
        contrasts.push(pair(
            title(*concept),
            EVERYTHING_ELSE,
            &only(*concept),
            &others(&only(*concept)),
        ));
    }
    contrasts.retain(|contrast| !contrast.positive.is_empty() && !contrast.negative.is_empty());
    contrasts
}
