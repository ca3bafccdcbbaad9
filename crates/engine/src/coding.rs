//! A prompt's codes on their way, a piece at a time, so that others have their turns in between.

use candle_core::Tensor;
use crosscoder::Codes;

use crate::{Dictionary, Result, turns::Turns};

/// The codes of pairs [T, 2, D], in pieces from the first on.
pub(crate) struct Coding {
    x: Tensor,
    /// Of the tokens so far.
    codes: Codes,
    from: usize,
    /// Tokens of a piece.
    at_once: usize,
}

impl Coding {
    /// Those of pairs [T, 2, D], so many at once.
    pub(crate) fn new(x: Tensor, at_once: usize) -> Self {
        Self {
            x,
            codes: Codes::default(),
            from: 0,
            at_once: at_once.max(1),
        }
    }

    /// Computes the next piece's; says whether there are more.
    pub(crate) fn step(&mut self, dictionary: &Dictionary) -> Result<bool> {
        let end = self.x.dim(0)?;
        let count = self.at_once.min(end - self.from);
        if count > 0 {
            let some = self.x.narrow(0, self.from, count)?;
            self.codes.append(&dictionary.crosscoder.codes(&some)?);
            self.from += count;
        }
        Ok(self.from < end)
    }

    /// The codes, when there are no more to compute.
    pub(crate) fn done(self) -> Codes {
        self.codes
    }

    /// Computes what is left.
    pub(crate) fn end(mut self, dictionary: &Dictionary, turns: &Turns<'_>) -> Result<Codes> {
        while self.step(dictionary)? {
            turns.pause()?;
        }
        turns.pause()?;
        Ok(self.done())
    }
}
