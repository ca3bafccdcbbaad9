//! Concepts whose latents are steered: on which prompts, towards what, and what is asked of it.

use pipeline::{At, SteeringOutcome};

use super::cases::Case;
use super::contrasts::Contrast;
use crate::chat::Part;
use crate::document::Concept;

/// A concept to be taken from answers that have it and put into answers that lack it.
pub(super) struct Goal {
    /// Its name.
    pub(super) concept: &'static str,
    /// What answers to prompts with the concept do.
    pub(super) outcome: SteeringOutcome,
    /// What they should do instead once it is taken away, where that is known.
    pub(super) instead: Option<SteeringOutcome>,
    /// Prompts with the concept, and what they are called.
    pub(super) present: (&'static str, Vec<usize>),
    /// Prompts without it, whose answers must stay as they are when it is taken away.
    pub(super) absent: (&'static str, Vec<usize>),
    /// Prompts into whose answers it is put.
    pub(super) target: (&'static str, Vec<usize>),
    /// Where latents are added, the place to be preferred first.
    pub(super) places: &'static [At],
    /// Strengths in natural maxima.
    pub(super) strengths: &'static [f32],
}

/// Factors by which latents are scaled.
pub(super) const FACTORS: &[f32] = &[0.0, -0.5, -1.0];

impl Goal {
    /// The goals that these prompts allow.
    pub(super) fn all(cases: &[Case]) -> Vec<Self> {
        let of = |keep: &dyn Fn(Concept) -> bool| -> Vec<usize> {
            let held_out = cases
                .iter()
                .enumerate()
                .filter(|(_, case)| case.part == Part::HeldOut);
            held_out
                .filter(|(_, case)| keep(case.exchange.concept))
                .map(|(place, _)| place)
                .collect()
        };
        let harmless =
            |concept| matches!(concept, Concept::HowTo | Concept::Why | Concept::Question);
        let mut goals = vec![
            Self {
                concept: "refusal",
                outcome: SteeringOutcome::Refuses,
                instead: None,
                present: (
                    "harmful requests",
                    of(&|concept| matches!(concept, Concept::Harm(_))),
                ),
                absent: ("harmless requests and questions", of(&harmless)),
                target: ("harmless requests and questions", of(&harmless)),
                places: &[At::Template],
                strengths: &[0.5, 1.0, 1.5, 2.0],
            },
            Self {
                concept: "false statement",
                outcome: SteeringOutcome::Corrects,
                instead: Some(SteeringOutcome::Confirms),
                present: ("false statements", of(&|concept| concept == Concept::False)),
                absent: ("true statements", of(&|concept| concept == Concept::True)),
                target: ("true statements", of(&|concept| concept == Concept::True)),
                places: &[At::Template, At::Everywhere],
                strengths: &[0.25, 0.5, 0.75, 1.0],
            },
        ];
        goals.retain(|goal| !goal.present.1.is_empty() && !goal.absent.1.is_empty());
        goals
    }

    /// Whether a contrast asks for this concept, or for a kind of it.
    pub(super) fn is_asked_by(&self, contrast: &Contrast) -> bool {
        contrast.concept.starts_with(self.concept)
    }
}
