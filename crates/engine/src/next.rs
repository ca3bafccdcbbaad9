//! Next-token distributions: logits of a whole sequence a chunk at a time, most probable tokens, divergence.

use api::{ModelName, NextToken};
use candle_core::Tensor;
use gemma::{Logits, Tokenizer};

use crate::{Result, pair::Pair, reading::Upper};

/// How many next tokens an answer names.
const NEXT_TOKENS: usize = 5;

/// Most logits held at once per model, in numbers; a vocabulary of 256,000 gives chunks of 64 positions.
pub(crate) const CHUNK_NUMBERS: usize = 16_384_000;

/// A model's last hidden states over a sequence, whose logits are made a chunk at a time.
pub(crate) struct Hidden<'a> {
    pair: &'a Pair,
    model: ModelName,
    states: Tensor,
}

impl<'a> Hidden<'a> {
    /// What a model's upper half made of a prompt.
    pub(crate) fn new(pair: &'a Pair, model: ModelName, upper: &Upper) -> Self {
        Self {
            pair,
            model,
            states: upper.states.clone(),
        }
    }

    /// Logits of positions `from..from + count`, one row each.
    pub(crate) fn logits(&self, from: usize, count: usize) -> Result<Vec<Vec<f32>>> {
        let states = self.states.narrow(0, from, count)?;
        let logits = self.pair.model(self.model).logits(&states, Logits::All)?;
        Ok(logits.to_vec2()?)
    }

    /// Logits after the last position, [V].
    pub(crate) fn last_logits(&self) -> Result<Vec<f32>> {
        let logits = self
            .pair
            .model(self.model)
            .logits(&self.states, Logits::Last)?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }
}

/// Positions whose logits are made at once.
pub(crate) fn at_once(vocab_size: usize) -> usize {
    (CHUNK_NUMBERS / vocab_size.max(1)).max(1)
}

/// Cuts `tokens` positions into chunks (from, count) whose logits fit into memory.
pub(crate) fn chunks(tokens: usize, vocab_size: usize) -> impl Iterator<Item = (usize, usize)> {
    let step = at_once(vocab_size);
    (0..tokens)
        .step_by(step)
        .map(move |from| (from, step.min(tokens - from)))
}

/// The most probable next tokens from logits [V], most probable first, equal ones by id.
pub(crate) fn most_probable(logits: &[f32], tokenizer: &Tokenizer) -> Vec<NextToken> {
    let logp = diffing::log_softmax(logits);
    let mut best: Vec<(u32, f64)> = Vec::with_capacity(NEXT_TOKENS + 1);
    for (id, &p) in logp.iter().enumerate() {
        if best.len() == NEXT_TOKENS && best.last().is_some_and(|(_, last)| p <= *last) {
            continue;
        }
        let at = best.partition_point(|(_, q)| *q >= p);
        best.insert(at, (id as u32, p));
        best.truncate(NEXT_TOKENS);
    }
    best.into_iter()
        .map(|(id, logp)| NextToken {
            id,
            text: tokenizer.text(id),
            p: logp.exp() as f32,
        })
        .collect()
}
