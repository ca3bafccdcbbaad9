//! Reads the collected sequences one after the other, each with its codes.

use candle_core::Tensor;
use crosscoder::Codes;
use diffing::Speaker;

use super::{Context, chunk_tokens};
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

/// Shows every sequence of this run's shards, in order. `name` is what the progress says.
pub(super) fn each(
    context: &Context<'_>,
    name: &'static str,
    mut visit: impl FnMut(&Reading<'_>) -> Result<()>,
) -> Result<()> {
    let Some(collection) = &context.collection else {
        return Ok(());
    };
    let crosscoder = &context.crosscoder;
    let width = crosscoder.activation_dim();
    let most = chunk_tokens(crosscoder.dict_size());
    let shards = context.shards();
    let total = shards.iter().map(|(entry, _)| entry.tokens).sum();
    context.progress.start(name, "tokens", total);
    let mut done = 0;
    for (entry, mut number) in shards {
        let shard = collection.load(entry)?;
        let sequences = shard.sequences(width);
        let mut left = sequences.as_slice();
        while !left.is_empty() {
            let (now, later) = left.split_at(fitting(left, most));
            left = later;
            let together: Vec<f32> = now
                .iter()
                .flat_map(|sequence| sequence.activations)
                .copied()
                .collect();
            let count = together.len() / (2 * width).max(1);
            let x = Tensor::from_vec(together, (count, 2, width), &context.device)?;
            let codes = crosscoder.codes(&x)?;
            let mut first = 0;
            for sequence in now {
                visit(&Reading {
                    number,
                    sequence,
                    codes: &codes,
                    first,
                })?;
                number += 1;
                first += sequence.tokens.len();
            }
            done += count as u64;
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
