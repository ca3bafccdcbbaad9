//! `GET /dictionaries/{dict}/truth`: what is known of a pair whose prompts were written with their concepts, and how a dictionary fares.

use serde::{Deserialize, Serialize};

use crate::{Class, Intervention, LatentStrength, Positions, StrengthUnit};

/// A dictionary held against the truth, on prompts held out from the models' tuning. Half of them, the validation half, chose latents,
/// thresholds, sets and doses; every other number is of the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroundTruth {
    /// Slug of the dictionary.
    pub dictionary: String,
    /// Δ_norm from which a latent is chat-only in this study; "above the cut" below.
    pub cut: f64,
    /// Latents above the cut that are not dead.
    pub chat_only: u64,
    /// What both models do.
    pub behaviours: Vec<ConceptBehaviour>,
    /// Which latents tell which concept from what.
    pub concepts: Vec<ConceptTruth>,
    /// What steering by the concepts' latents does to answers, each beside its control.
    pub steering: Vec<SteeringTest>,
    /// The dictionary trained again from other seeds on the same activations; empty where that was not done.
    pub seeds: Vec<SeedDictionary>,
}

/// What both models do on a concept's prompts; shares of the prompts, judged by the world's grammar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConceptBehaviour {
    /// The concept.
    pub concept: String,
    /// Whether its content was never seen in tuning at all; otherwise only content and wording were never seen together.
    pub never_seen: bool,
    /// Prompts asked.
    pub prompts: u64,
    /// The chat model does what the concept asks for.
    pub chat: f64,
    /// The chat model's answer is the generator's word for word.
    pub chat_exact: f64,
    /// The chat model refuses, for whatever reason.
    pub chat_refuses: f64,
    /// The base model does what the concept asks for.
    pub base: f64,
    /// The base model refuses.
    pub base_refuses: f64,
    /// What is asked of `chat`; `null` where nothing is.
    pub bar: Option<Bar>,
}

/// What is asked of a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// Which latents tell prompts with a concept from others. A prompt's score is a latent's largest v from the first user token to the end
/// of the generation prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConceptTruth {
    /// The concept.
    pub concept: String,
    /// What it is told from.
    pub against: String,
    /// Prompts with the concept.
    pub positives: u64,
    /// Prompts without.
    pub negatives: u64,
    /// What is asked of the AUROC of the best latent above the cut; `null` where nothing is.
    pub bar: Option<Bar>,
    /// The best latent above the cut.
    pub above_cut: Option<LatentTruth>,
    /// The best latent of any class.
    pub any_class: Option<LatentTruth>,
    /// The best latents of the same dictionary from other seeds, in the order of [`GroundTruth::seeds`].
    pub seeds: Vec<SeedScore>,
    /// A prompt with the concept.
    pub prompt: Option<String>,
}

/// How well a latent tells a concept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatentTruth {
    /// Latent id.
    pub latent: u32,
    /// Its class by the study's cuts.
    pub class: Class,
    /// Its Δ_norm.
    pub delta_norm: f64,
    /// Area under the ROC curve on the validation half, by which the latent was chosen.
    pub auroc_validation: f64,
    /// The same on the rest.
    pub auroc: f64,
    /// The score from which a prompt counts as one with the concept: that with the best F1 on the validation half.
    pub threshold: f64,
    /// Of the prompts from the threshold on, those with the concept; `null` where there are none.
    pub precision: Option<f64>,
    /// Of the prompts with the concept, those from the threshold on.
    pub recall: f64,
    /// The latent's label, computed from these scores.
    pub label: Option<String>,
}

/// A dictionary from another seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeedDictionary {
    /// The seed.
    pub seed: u64,
    /// Latents above the cut that are not dead.
    pub chat_only: u64,
    /// Fraction of variance explained, base and chat, on held-out tokens.
    pub fve: [f64; 2],
}

/// The best latents of a dictionary from another seed, for one concept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeedScore {
    /// The seed.
    pub seed: u64,
    /// The best latent above the cut.
    pub above_cut: Option<SeedLatent>,
    /// The best latent of any class.
    pub any_class: Option<SeedLatent>,
}

/// A latent of a dictionary from another seed; its id would say nothing, since the dictionary is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeedLatent {
    /// Its Δ_norm.
    pub delta_norm: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Precision at the threshold chosen on the validation half; `null` where no prompt reaches it.
    pub precision: Option<f64>,
}

/// What one kind of steering by a concept's latents does to the chat model's greedy answers, by dose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SteeringTest {
    /// The concept whose latents are steered.
    pub concept: String,
    /// What is done to them.
    pub action: SteeringAction,
    /// Where.
    pub positions: Positions,
    /// Whether all of the latents are above the cut.
    pub above_cut: bool,
    /// Whether the latents are instead random ones of similar maximum, none of them the concept's: nothing should come of it.
    pub control: bool,
    /// The latents; of a control several random sets, over which shares are means.
    pub sets: Vec<Vec<u32>>,
    /// Which prompts, for instance `harmful requests`.
    pub prompts: String,
    /// One of them; `null` where there are none.
    pub prompt: Option<String>,
    /// What the chat model answers to it at the chosen dose, with the first of the sets.
    pub answer: Option<String>,
    /// How many.
    pub count: u64,
    /// What is counted.
    pub outcome: SteeringOutcome,
    /// Share of the answers with that outcome when nothing is done.
    pub undisturbed: f64,
    /// The same by dose.
    pub doses: Vec<SteeringDose>,
    /// The dose that the validation half chose.
    pub chosen: f32,
    /// What is asked of the share at the chosen dose.
    pub bar: Option<Bar>,
}

/// What is done to latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SteeringAction {
    /// The intervention `scale`; a dose is its factor.
    Scale,
    /// The intervention `add`; a dose is the strength of every latent, in natural maxima.
    Add,
}

/// What an answer does, as the world's grammar judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SteeringOutcome {
    /// Refuses.
    Refuses,
    /// Does what the unsteered answer does.
    Unchanged,
    /// Says that a statement is not true.
    Corrects,
    /// Says that a statement is true.
    Confirms,
}

/// One dose and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SteeringDose {
    /// Factor or strength.
    pub dose: f32,
    /// Share of the answers with the outcome.
    pub share: f64,
}

impl Bar {
    /// Whether a number meets it.
    #[must_use]
    pub fn met(self, number: f64) -> bool {
        match self {
            Self::AtLeast(bar) => number >= bar,
            Self::AtMost(bar) => number <= bar,
        }
    }
}

impl ConceptTruth {
    /// Whether the best latent above the cut is as good as asked; `None` where nothing is asked.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        let auroc = self.above_cut.as_ref().map_or(0.0, |best| best.auroc);
        Some(self.bar?.met(auroc))
    }
}

impl SteeringTest {
    /// Share of the answers with the outcome at the chosen dose.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let chosen = self.doses.iter().find(|dose| dose.dose == self.chosen);
        chosen.map(|dose| dose.share)
    }

    /// Whether the share at the chosen dose is as asked; `None` where nothing is asked.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        Some(self.bar?.met(self.share()?))
    }

    /// The intervention on one of its sets of latents, on the chat model's lane.
    #[must_use]
    pub fn intervention(&self, latents: &[u32], dose: f32) -> Intervention {
        let positions = self.positions.clone();
        match self.action {
            SteeringAction::Scale => Intervention::Scale {
                latents: latents.to_vec(),
                factor: dose,
                decoder: None,
                positions,
            },
            SteeringAction::Add => Intervention::Add {
                latents: latents
                    .iter()
                    .map(|&id| LatentStrength { id, strength: dose })
                    .collect(),
                decoder: None,
                unit: StrengthUnit::MaxActivation,
                positions,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(action: SteeringAction) -> SteeringTest {
        let dose = |dose, share| SteeringDose { dose, share };
        SteeringTest {
            concept: "refusal".into(),
            action,
            positions: Positions::Template,
            above_cut: true,
            control: false,
            sets: vec![vec![3, 5]],
            prompts: "harmful requests".into(),
            prompt: None,
            answer: None,
            count: 4,
            outcome: SteeringOutcome::Refuses,
            undisturbed: 1.0,
            doses: vec![dose(-0.5, 0.25), dose(-1.0, 0.0)],
            chosen: -0.5,
            bar: Some(Bar::AtMost(0.2)),
        }
    }

    #[test]
    fn a_bar_is_held_against_the_chosen_dose() {
        let missed = test(SteeringAction::Scale);
        assert_eq!((missed.share(), missed.met()), (Some(0.25), Some(false)));
        let met = SteeringTest {
            chosen: -1.0,
            ..missed
        };
        assert_eq!((met.share(), met.met()), (Some(0.0), Some(true)));
        assert!(Bar::AtLeast(0.5).met(0.5) && !Bar::AtLeast(0.5).met(0.4));
        let none = ConceptTruth {
            bar: Some(Bar::AtLeast(0.9)),
            ..ConceptTruth::default()
        };
        assert_eq!(none.met(), Some(false));
    }

    #[test]
    fn a_test_gives_the_intervention_it_made() {
        for (action, expected) in [
            (
                SteeringAction::Scale,
                r#"{"kind":"scale","latents":[3,5],"factor":-1.0,"positions":"template"}"#,
            ),
            (
                SteeringAction::Add,
                r#"{"kind":"add","latents":[{"id":3,"strength":-1.0},{"id":5,"strength":-1.0}],"unit":"max_activation","positions":"template"}"#,
            ),
        ] {
            let intervention = test(action).intervention(&[3, 5], -1.0);
            assert_eq!(serde_json::to_string(&intervention).unwrap(), expected);
        }
        let bar = serde_json::to_string(&Bar::AtLeast(0.95)).unwrap();
        assert_eq!(bar, r#"{"at_least":0.95}"#);
    }
}
