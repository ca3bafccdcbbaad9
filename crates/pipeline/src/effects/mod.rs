//! Causal effects: what moving sets of latents from base to chat does to the chat model's predictions, over dialogues under teacher
//! forcing.

mod dialogues;
mod forced;
mod scopes;
mod setups;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{CausalEffects, CausalSetup, LatentRow};
use crosscoder::Crosscoder;
use diffing::EffectSums;
use gemma::Model;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use dialogues::Dialogues;
pub use table::EffectsSummary;

use crate::{Error, Progress, Result};
use dialogues::Dialogue;
use forced::Pair;
use setups::Plan;

/// What the step `effects` needs beside a study.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Runs every intervention on every dialogue.
///
/// # Errors
/// A model that fails, or predictions that are not finite.
pub(crate) fn effects(
    inputs: &Inputs<'_>,
    options: &EffectOptions,
    progress: &dyn Progress,
) -> Result<EffectsSummary> {
    let plan = Plan::new(inputs.rows, options);
    let part = gather(inputs, &plan, progress)?;
    let setups = plan
        .setups
        .iter()
        .map(|setup| {
            let mut sums = EffectSums::default();
            for &lane in &setup.lanes {
                if let Some(more) = part.lanes.get(lane) {
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
            dialogues: part.dialogues,
            source: inputs.dialogues.source.clone(),
            candidates: plan.candidates as u64,
            setups,
        },
        left_out: plan.left_out,
    })
}

/// Every lane over every dialogue. Dialogues run side by side on the host, and are summed in their order, so that the number of threads
/// changes no bit.
fn gather(inputs: &Inputs<'_>, plan: &Plan, progress: &dyn Progress) -> Result<Part> {
    let dialogues = &inputs.dialogues.all;
    progress.start("effects", "dialogues", dialogues.len() as u64);
    let done = AtomicU64::new(0);
    let one = |dialogue: &Dialogue| {
        let part = run(inputs, plan, dialogue)?;
        progress.advance(done.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(part)
    };
    let parts: Vec<Part> = if inputs.models[0].device().is_cpu() {
        dialogues.par_iter().map(one).collect::<Result<_>>()?
    } else {
        dialogues.iter().map(one).collect::<Result<_>>()?
    };
    progress.finish();
    let mut all = Part::default();
    parts.iter().try_for_each(|part| all.merge(part))?;
    Ok(all)
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
