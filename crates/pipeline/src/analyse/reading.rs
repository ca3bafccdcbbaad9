//! Reads the collected sequences one after the other, each with its codes.

use std::collections::BTreeSet;

use candle_core::Tensor;
use crosscoder::Codes;
use diffing::Speaker;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::{Checkpoint, Pass};
use super::{Context, Step, chunk_tokens};
use crate::Result;
use crate::shard::{Role, Sequence};

/// A sequence with its codes.
pub(super) struct Reading<'a> {
    /// Its number in the collection.
    pub(super) number: u64,
    pub(super) sequence: &'a Sequence<'a>,
    codes: &'a Codes,
    /// Its first token among those of the codes.
    first: usize,
}

impl Reading<'_> {
    /// Active latents of every token as (id, v).
    pub(super) fn tokens(&self) -> impl Iterator<Item = Vec<(u32, f32)>> {
        (0..self.sequence.tokens.len()).map(|t| {
            let active = self.codes.token(self.first + t).iter();
            active.map(|a| (a.id, a.v)).collect()
        })
    }

    /// (latent, position, v) of everything that is active.
    pub(super) fn active(&self) -> Vec<(u32, u32, f32)> {
        (0..self.sequence.tokens.len())
            .flat_map(|t| {
                let active = self.codes.token(self.first + t).iter();
                active.map(move |a| (a.id, t as u32, a.v))
            })
            .collect()
    }
}

/// Shows every sequence of this run's shards, in order, to what gathers in `state`; of those that an ended run has seen, the checkpoint
/// has what it gathered. `more` is what determines the pass beside the options.
pub(super) fn each<S: Serialize + DeserializeOwned>(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    pass: Pass,
    more: &impl Serialize,
    state: &mut S,
    mut visit: impl FnMut(&mut S, &Reading<'_>) -> Result<()>,
) -> Result<()> {
    let Some(collection) = &context.collection else {
        return Ok(());
    };
    let crosscoder = &context.crosscoder;
    let width = crosscoder.activation_dim();
    let most = chunk_tokens(crosscoder.dict_size());
    let shards = context.shards();
    let total = shards.iter().map(|(entry, _)| entry.tokens).sum();
    let mut checkpoint = Checkpoint::of(context, steps, pass, more);
    let mut before = 0;
    if let Some(found) = checkpoint.load() {
        (before, *state) = found;
    }
    context.progress.start(pass.as_str(), "tokens", total);
    let mut done = 0;
    for (entry, mut number) in shards {
        if done + entry.tokens <= before {
            done += entry.tokens;
            continue;
        }
        let shard = collection.load(entry)?;
        let sequences = shard.sequences(width);
        let mut left = sequences.as_slice();
        while !left.is_empty() {
            let (now, later) = left.split_at(fitting(left, most));
            left = later;
            let count: usize = now.iter().map(|sequence| sequence.tokens.len()).sum();
            done += count as u64;
            if done <= before {
                number += now.len() as u64;
                continue;
            }
            let together: Vec<f32> = now
                .iter()
                .flat_map(|sequence| sequence.activations)
                .copied()
                .collect();
            let x = Tensor::from_vec(together, (count, 2, width), &context.device)?;
            let codes = crosscoder.codes(&x)?;
            let mut first = 0;
            for sequence in now {
                let reading = Reading {
                    number,
                    sequence,
                    codes: &codes,
                    first,
                };
                visit(state, &reading)?;
                number += 1;
                first += sequence.tokens.len();
            }
            checkpoint.offer(done, state)?;
            context.progress.advance(done);
        }
    }
    context.progress.finish();
    Ok(())
}

/// How many of these sequences are encoded together: as many as fit, at least one.
fn fitting(sequences: &[Sequence<'_>], most: usize) -> usize {
    let mut tokens = 0;
    sequences
        .iter()
        .take_while(|sequence| {
            tokens += sequence.tokens.len();
            tokens <= most
        })
        .count()
        .max(1)
}

/// Who speaks a token, as the statistics have it.
pub(super) fn speaker(role: Role) -> Speaker {
    match role {
        Role::None => Speaker::None,
        Role::User => Speaker::User,
        Role::Assistant => Speaker::Assistant,
    }
}
