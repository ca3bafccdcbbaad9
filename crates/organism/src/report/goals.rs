//! Concepts whose latents are steered: on which prompts, towards what, and what is asked of it.

use pipeline::{At, SteeringAction, SteeringOutcome};

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
    /// Prompts of other sorts into whose answers it is put as well, to see how far that reaches: nothing is asked of them.
    pub(super) beyond: (&'static str, Vec<usize>),
    /// How it is taken away, until one way does what is asked.
    pub(super) taking: &'static [Way],
    /// Where latents are added, the place to be preferred first.
    pub(super) places: &'static [At],
    /// Strengths in natural maxima.
    pub(super) strengths: &'static [f32],
}

/// How latents are steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The concept is taken away by scaling what its latents read.
    Scale,
    /// The concept is taken away by adding its latents with negative strengths.
    Subtract,
    /// The concept is put in by adding its latents.
    Add,
}

/// Factors by which latents are scaled.
const FACTORS: &[f32] = &[0.0, -0.5, -1.0];

impl Way {
    /// The intervention.
    pub(super) fn action(self) -> SteeringAction {
        match self {
            Self::Scale => SteeringAction::Scale,
            Self::Subtract | Self::Add => SteeringAction::Add,
        }
    }
}

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
                target: (
                    "harmless requests",
                    of(&|concept| concept == Concept::HowTo),
                ),
                beyond: (
                    "questions",
                    of(&|concept| matches!(concept, Concept::Why | Concept::Question)),
                ),
                taking: &[Way::Scale],
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
                beyond: ("", Vec::new()),
                // What a false statement's latents write is written by many others as well; turned over, it outweighs them.
                taking: &[Way::Subtract, Way::Scale],
                places: &[At::Template, At::Everywhere],
                strengths: &[0.25, 0.5, 0.75, 1.0],
            },
        ];
        goals.retain(|goal| !goal.present.1.is_empty() && !goal.absent.1.is_empty());
        goals
    }

    /// The doses of a way.
    pub(super) fn doses(&self, way: Way) -> Vec<f32> {
        match way {
            Way::Scale => FACTORS.to_vec(),
            Way::Subtract => self.strengths.iter().map(|strength| -strength).collect(),
            Way::Add => self.strengths.to_vec(),
        }
    }

    /// A strong dose, at which sets of latents are compared: the last but one.
    pub(super) fn strong(&self, way: Way) -> f32 {
        let doses = self.doses(way);
        doses.iter().rev().nth(1).copied().unwrap_or(1.0)
    }

    /// Where a way acts, the place to be preferred first.
    pub(super) fn places(&self, way: Way) -> &'static [At] {
        match way {
            Way::Scale => &[At::Everywhere],
            Way::Subtract | Way::Add => self.places,
        }
    }

    /// Whether a contrast asks for this concept, or for a kind of it.
    pub(super) fn is_asked_by(&self, contrast: &Contrast) -> bool {
        contrast.concept.starts_with(self.concept)
    }
}
