//! Which positions of a call logits are wanted at.

use candle_core::Tensor;

use crate::{Error, Result};

/// The positions at which logits are wanted, counted in the call's own tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits<'a> {
    /// None.
    None,
    /// Every position.
    All,
    /// The last position.
    Last,
    /// These positions, in this order.
    At(&'a [usize]),
}

impl Logits<'_> {
    /// The wanted ones of rows `[T, D]`: `[P, D]`.
    ///
    /// # Errors
    /// For a position that is not there.
    pub(crate) fn rows(self, x: &Tensor) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        match self {
            Self::None => Ok(x.narrow(0, 0, 0)?),
            Self::All => Ok(x.clone()),
            Self::Last => Ok(x.narrow(0, tokens.saturating_sub(1), tokens.min(1))?),
            Self::At(positions) => {
                if let Some(position) = positions.iter().find(|position| **position >= tokens) {
                    return Err(Error::Argument(format!(
                        "logits are wanted at position {position}, the call has positions 0 to {}",
                        tokens.saturating_sub(1)
                    )));
                }
                let positions: Vec<u32> = positions.iter().map(|at| *at as u32).collect();
                Ok(x.index_select(&Tensor::new(positions, x.device())?, 0)?)
            }
        }
    }

    /// The positions whose hidden states a model must compute to its end: the wanted ones, or the last where there are none.
    pub(crate) fn or_last(self) -> Self {
        match self {
            Self::None | Self::At([]) => Self::Last,
            some => some,
        }
    }
}
