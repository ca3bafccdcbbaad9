//! A prompt's codes on their way, a piece at a time, so that others have their turns in between.

use candle_core::Tensor;
use crosscoder::Codes;

use crate::{Dictionary, Result, pair::paired, turns::Turns};

/// The codes of a prompt's residuals, in pieces from the first on.
pub(crate) struct Coding {
    /// Base's and chat's, [T, D].
    residuals: [Tensor; 2],
    /// Of the tokens so far.
    codes: Codes,
    from: usize,
    /// Tokens of a piece.
    at_once: usize,
}

impl Coding {
    /// Those of base's and chat's residuals [T, D], so many tokens at once.
    pub(crate) fn new(residuals: [&Tensor; 2], at_once: usize) -> Self {
        Self {
            residuals: residuals.map(Tensor::clone),
            codes: Codes::default(),
            from: 0,
            at_once: at_once.max(1),
        }
    }

    /// Computes the next piece's; says whether there are more.
    pub(crate) fn step(&mut self, dictionary: &Dictionary) -> Result<bool> {
        let [base, chat] = &self.residuals;
        let end = base.dim(0)?;
        let count = self.at_once.min(end - self.from);
        if count > 0 {
            let some = |residual: &Tensor| residual.narrow(0, self.from, count);
            let x = paired(&some(base)?, &some(chat)?)?;
            self.codes.append(&dictionary.crosscoder.codes(&x)?);
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
