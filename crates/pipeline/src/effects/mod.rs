//! Causal effects: what moving sets of latents from base to chat does to the chat model's predictions, over dialogues under teacher
//! forcing.

mod dialogues;
mod forced;
mod scopes;
mod setups;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use api::{CausalEffects, CausalSetup, LatentRow};
use crosscoder::Crosscoder;
use diffing::EffectSums;
use gemma::Model;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use dialogues::Dialogues;
pub use table::EffectsSummary;

use crate::analyse::Checkpoint;
use crate::{Error, Progress, Result, ShardOf};
use dialogues::Dialogue;
use forced::Pair;
use setups::Plan;

/// What the step `effects` needs beside a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectOptions {
    /// JSON lines with the conversations to run; by default those of the collection.
    pub dialogues: Option<PathBuf>,
    /// Most dialogues run.
    pub most: usize,
    /// Draws sets from this many latents of highest Δ_norm instead of the chat-only ones.
    pub effective: Option<usize>,
    /// Random sets drawn of each kind.
    pub seeds: u64,
    /// Also runs the additive form and the sets by thresholds.
    pub additive: bool,
}

impl Default for EffectOptions {
    fn default() -> Self {
        Self {
            dialogues: None,
            most: 512,
            effective: None,
            seeds: 5,
            additive: false,
        }
    }
}

/// What is run.
pub(crate) struct Inputs<'a> {
    /// Base and chat.
    pub(crate) models: &'a [Model; 2],
    /// Output of this 0-based block is edited.
    pub(crate) layer: usize,
    pub(crate) crosscoder: &'a Crosscoder,
    /// The dictionary's latents with what earlier steps found.
    pub(crate) rows: &'a [LatentRow],
    pub(crate) dialogues: &'a Dialogues,
    /// Which of the dialogues, by their number.
    pub(crate) share: ShardOf,
}

/// Sums over some of the dialogues; parts of one plan can be merged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Part {
    dialogues: u64,
    /// Per lane of the plan.
    lanes: Vec<EffectSums>,
}

impl Part {
    fn merge(&mut self, other: &Self) -> Result<()> {
        self.dialogues += other.dialogues;
        if self.lanes.is_empty() {
            self.lanes.clone_from(&other.lanes);
            return Ok(());
        }
        for (here, there) in self.lanes.iter_mut().zip(&other.lanes) {
            here.merge(there)?;
        }
        Ok(())
    }
}

/// What was measured over a share of the dialogues; mergeable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MeasuredEffects {
    /// Hash of all dialogues, other workers' ones too.
    dialogues: String,
    /// Where they are from, in words.
    source: String,
    part: Part,
}

impl MeasuredEffects {
    /// Adds another share.
    ///
    /// # Errors
    /// Shares of other dialogues.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        if self.dialogues != other.dialogues {
            return Err(Error::Mismatch(format!(
                "the effects were measured on different dialogues ({}; {}); run all shards with the same --dialogues",
                self.source, other.source
            )));
        }
        self.part.merge(&other.part)
    }

    /// The effects of every intervention. `rows` are those with which they were measured.
    ///
    /// # Errors
    /// None for what this program measured.
    pub(crate) fn summary(
        &self,
        rows: &[LatentRow],
        options: &EffectOptions,
    ) -> Result<EffectsSummary> {
        let plan = Plan::new(rows, options);
        let setups = plan
            .setups
            .iter()
            .map(|setup| {
                let mut sums = EffectSums::default();
                for &lane in &setup.lanes {
                    if let Some(more) = self.part.lanes.get(lane) {
                        sums.merge(more)?;
                    }
                }
                Ok(CausalSetup {
                    name: setup.name.clone(),
                    description: setup.description.clone(),
                    latents: setup.latents,
                    sets: setup.lanes.len() as u64,
                    measures: sums.measures(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(EffectsSummary {
            effects: CausalEffects {
                dialogues: self.part.dialogues,
                source: self.source.clone(),
                candidates: plan.candidates as u64,
                setups,
            },
            left_out: plan.left_out,
        })
    }
}

/// Runs every intervention on this worker's share of the dialogues. They run side by side on the host, and are summed in their order, so
/// that neither the number of threads nor an ended run that is gone on with changes a bit.
///
/// # Errors
/// A model that fails, or predictions that are not finite.
pub(crate) fn measure(
    inputs: &Inputs<'_>,
    options: &EffectOptions,
    checkpoint: Checkpoint<'_>,
    progress: &dyn Progress,
) -> Result<MeasuredEffects> {
    let plan = Plan::new(inputs.rows, options);
    let dialogues = inputs.dialogues.all.iter().enumerate();
    let mine: Vec<(usize, &Dialogue)> = dialogues
        .filter(|(number, _)| inputs.share.has(*number))
        .collect();
    progress.start("effects", "dialogues", mine.len() as u64);
    let found: BTreeMap<usize, Part> = checkpoint
        .load()
        .map(|(_, parts)| parts)
        .unwrap_or_default();
    let left: Vec<(usize, &Dialogue)> = mine
        .into_iter()
        .filter(|(number, _)| !found.contains_key(number))
        .collect();
    let done = Mutex::new((checkpoint, found));
    let one = |&(number, dialogue): &(usize, &Dialogue)| -> Result<()> {
        let part = run(inputs, &plan, dialogue)?;
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        let (checkpoint, parts) = &mut *done;
        parts.insert(number, part);
        checkpoint.offer(parts.len() as u64, parts)?;
        progress.advance(parts.len() as u64);
        Ok(())
    };
    if inputs.models[0].device().is_cpu() {
        left.par_iter().try_for_each(one)?;
    } else {
        left.iter().try_for_each(one)?;
    }
    progress.finish();
    let (_, parts) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut part = Part::default();
    parts.values().try_for_each(|more| part.merge(more))?;
    Ok(MeasuredEffects {
        dialogues: inputs.dialogues.hash(),
        source: inputs.dialogues.source.clone(),
        part,
    })
}

/// Every lane over one dialogue.
fn run(inputs: &Inputs<'_>, plan: &Plan, dialogue: &Dialogue) -> Result<Part> {
    let pair = Pair {
        models: inputs.models,
        layer: inputs.layer,
        crosscoder: inputs.crosscoder,
    };
    let positions: Vec<usize> = dialogue.scored.iter().map(|s| s.position).collect();
    let effects = pair.effects(&plan.lanes, &dialogue.ids, &dialogue.kinds, &positions)?;
    let lanes = effects
        .iter()
        .enumerate()
        .map(|(lane, effects)| {
            let mut sums = EffectSums::default();
            for (effect, scored) in effects.iter().zip(&dialogue.scored) {
                // Also where the lane's own prediction is not finite.
                if !(effect.kl_from_chat + effect.kl_from_base + effect.loss).is_finite() {
                    return Err(unusable(plan, lane, dialogue, scored.position));
                }
                sums.add(effect, scored.first)?;
            }
            Ok(sums)
        })
        .collect::<Result<_>>()?;
    Ok(Part {
        dialogues: 1,
        lanes,
    })
}

fn unusable(plan: &Plan, lane: usize, dialogue: &Dialogue, position: usize) -> Error {
    let setup = plan.setups.iter().find(|setup| setup.lanes.contains(&lane));
    Error::Mismatch(format!(
        "{}: the prediction after token {position} is NaN or infinite with the intervention {}; check the weights of both models and of \
         the dictionary",
        dialogue.place(),
        setup.map_or("none", |setup| setup.name.as_str())
    ))
}
