//! Half a model on its way over a prompt, a piece at a time, so that others have their turns in between.

use api::ModelName;
use candle_core::Tensor;
use gemma::KvCache;

use crate::{
    Result,
    pair::Pair,
    reading::{Reading, Upper},
    turns::Turns,
};

/// A half of a model over a prompt, in pieces of [`crate::Limits::read_at_once`] tokens from the prompt's beginning on.
pub(crate) struct Pass {
    model: ModelName,
    over: Over,
    cache: KvCache,
    /// What the half made of the tokens before `from`.
    done: Vec<Tensor>,
    from: usize,
    end: usize,
    /// Tokens that it had to run from the beginning.
    tokens: usize,
}

/// What a half reads.
enum Over {
    /// The lower one.
    Ids(Vec<u32>),
    /// The upper one, [T, D].
    Residual(Tensor),
}

impl Pass {
    /// A lower half over tokens, of which so many were read before.
    pub(crate) fn lower(
        pair: &Pair,
        model: ModelName,
        ids: &[u32],
        begun: Option<(&Reading, usize)>,
    ) -> Result<Self> {
        let mut cache = pair.model(model).cache(ids.len());
        let (mut done, mut from) = (Vec::new(), 0);
        if let Some((known, shared)) = begun {
            cache.begin(0, pair.lower_blocks(), &known.lower, shared)?;
            done.push(beginning(&known.residual, shared)?);
            from = shared;
        }
        Ok(Self {
            model,
            over: Over::Ids(ids.to_vec()),
            cache,
            done,
            from,
            end: ids.len(),
            tokens: ids.len() - from,
        })
    }

    /// An upper half over a residual [T, D], of which so many rows were run before.
    pub(crate) fn upper(
        pair: &Pair,
        model: ModelName,
        residual: &Tensor,
        begun: Option<(&Upper, usize)>,
    ) -> Result<Self> {
        let end = residual.dim(0)?;
        let mut cache = pair.model(model).cache(end);
        let (mut done, mut from) = (Vec::new(), 0);
        if let Some((known, shared)) = begun {
            cache.begin(0, pair.upper_blocks(model), &known.cache, shared)?;
            done.push(beginning(&known.states, shared)?);
            from = shared;
        }
        Ok(Self {
            model,
            over: Over::Residual(residual.clone()),
            cache,
            done,
            from,
            end,
            tokens: end - from,
        })
    }

    /// Tokens that it has to run in all.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Runs one piece; says whether there is another.
    pub(crate) fn step(&mut self, pair: &Pair) -> Result<bool> {
        let next = pair.limits.read_at_once.max(1).min(self.end - self.from);
        if next > 0 {
            let rows = self.from..self.from + next;
            self.done.push(match &self.over {
                Over::Ids(ids) => {
                    let ids = ids.get(rows).unwrap_or_default();
                    let model = pair.model(self.model);
                    model.lower(ids, pair.layer, &mut self.cache)?
                }
                Over::Residual(residual) => {
                    let piece = residual.narrow(0, rows.start, next)?;
                    let blocks = pair.upper_blocks(self.model);
                    let model = pair.whole(self.model)?;
                    model.blocks(&piece, blocks, &mut self.cache)?
                }
            });
            self.from += next;
        }
        Ok(self.from < self.end)
    }

    /// Runs what is left, in turns; gives what the half made of the prompt, [T, D], and its keys and values.
    pub(crate) fn end(mut self, pair: &Pair, turns: &Turns<'_>) -> Result<(Tensor, KvCache)> {
        while self.step(pair)? {
            turns.pause()?;
        }
        Ok((Tensor::cat(&self.done, 0)?, self.cache))
    }
}

/// A copy of the first rows, so that the others can be let go of.
fn beginning(all: &Tensor, rows: usize) -> Result<Tensor> {
    Ok(all.narrow(0, 0, rows)?.force_contiguous()?)
}
