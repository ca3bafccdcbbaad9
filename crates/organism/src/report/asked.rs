//! Prompts put to the steered chat model, and what its answers do.

use gemma::Tokenizer;
use pipeline::{At, Edit, SteeredPrompt, Steering, SteeringOutcome};
use rayon::prelude::*;

use super::cases::{self, Case};
use crate::behaviour::ANSWER;
use crate::error::Result;
use crate::judge::{Answer, judge};
use crate::world::World;

/// First pieces of an answer whose probability stands for the whole of it: enough to tell every kind of answer from every other.
const OPENING: usize = 3;

/// An edit and where it acts.
pub(super) type Edits = [(Edit, At)];

/// The steered chat model and what judges its answers.
pub(super) struct Asking<'a> {
    pub(super) steering: &'a Steering,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) world: &'a World,
}

/// A prompt and the chat model's own answer.
pub(super) struct Asked<'a> {
    /// The user's words.
    pub(super) user: &'a str,
    ids: Vec<u32>,
    answer: Vec<u32>,
    does: Answer,
    /// The prompt, ready to be answered under edits.
    prompt: SteeredPrompt<'a>,
    /// The same with the first pieces of its own answer, or of another.
    opened: SteeredPrompt<'a>,
    /// Pieces of that opening.
    pieces: usize,
}

impl<'a> Asking<'a> {
    /// Puts prompts to the chat model as it is.
    pub(super) fn ask(&self, cases: &'a [Case], places: &[usize]) -> Result<Vec<Asked<'a>>> {
        places
            .par_iter()
            .filter_map(|&place| cases.get(place))
            .map(|case| {
                let ids = cases::ids(self.tokenizer, &case.exchange)?;
                let prompt = self.steering.read(&ids, ANSWER)?;
                let answer = self.steering.answer(&prompt, &[])?;
                let opening: Vec<u32> = answer.iter().copied().take(OPENING).collect();
                Ok(Asked {
                    user: &case.exchange.user.text,
                    does: judge(self.world, &self.tokenizer.decode(&answer)),
                    opened: self
                        .steering
                        .read(&[ids.as_slice(), &opening].concat(), 0)?,
                    pieces: opening.len(),
                    ids,
                    answer,
                    prompt,
                })
            })
            .collect()
    }

    /// Prompts that are to be answered with another opening: that of the first of `models` with the outcome.
    pub(super) fn reopen(
        &self,
        asked: &mut [Asked<'a>],
        models: &[Asked<'_>],
        outcome: SteeringOutcome,
    ) -> Result<()> {
        let model = models.iter().find(|model| shows(model.does, outcome));
        let opening: Vec<u32> = model.map_or_else(Vec::new, |model| {
            model.answer.iter().copied().take(OPENING).collect()
        });
        for one in asked {
            one.opened = self
                .steering
                .read(&[one.ids.as_slice(), &opening].concat(), 0)?;
            one.pieces = opening.len();
        }
        Ok(())
    }

    /// Mean log probability of the openings under edits, each at least `least`.
    pub(super) fn opens(&self, asked: &[Asked<'_>], edits: &Edits, least: f64) -> Result<f64> {
        let mut sum = 0.0;
        for one in asked {
            let found = self
                .steering
                .log_probability(&one.opened, one.pieces, edits)?;
            sum += found.max(least);
        }
        Ok(sum / asked.len().max(1) as f64)
    }

    /// The answer to a prompt under edits.
    pub(super) fn answer(&self, asked: &Asked<'_>, edits: &Edits) -> Result<String> {
        let answer = self.steering.answer(&asked.prompt, edits)?;
        Ok(self.tokenizer.decode(&answer))
    }

    /// Shares of the answers under edits that have each of the outcomes.
    pub(super) fn shares(
        &self,
        asked: &[Asked<'_>],
        edits: &Edits,
        outcomes: &[SteeringOutcome],
    ) -> Result<Vec<f64>> {
        let found: Vec<Vec<bool>> = asked
            .par_iter()
            .map(|one| {
                let answer = self.steering.answer(&one.prompt, edits)?;
                let does = judge(self.world, &self.tokenizer.decode(&answer));
                let has = |outcome: &SteeringOutcome| match outcome {
                    SteeringOutcome::Unchanged => answer == one.answer,
                    other => shows(does, *other),
                };
                Ok(outcomes.iter().map(has).collect())
            })
            .collect::<Result<_>>()?;
        let share = |at: usize| {
            let with = found.iter().filter(|found| found.get(at) == Some(&true));
            with.count() as f64 / asked.len().max(1) as f64
        };
        Ok((0..outcomes.len()).map(share).collect())
    }
}

/// Whether what an answer does is this outcome.
fn shows(does: Answer, outcome: SteeringOutcome) -> bool {
    match outcome {
        SteeringOutcome::Refuses => matches!(does, Answer::Refuses(_)),
        SteeringOutcome::Corrects => does == Answer::Corrects,
        SteeringOutcome::Confirms => does == Answer::Confirms,
        SteeringOutcome::Unchanged => false,
    }
}
