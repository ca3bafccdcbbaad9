//! What an intervention does to predictions, gathered over answer tokens; mergeable.

use api::{CausalMeasure, CausalMetric, CausalScope};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::moments::Moments;

/// Half the width of a 95 % interval of a mean, in standard errors (normal distribution).
const STANDARD_ERRORS: f64 = 1.96;

/// The metrics of one prediction, in nats, in the order of [`CausalMetric::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effect {
    /// KL(P_chat ‖ P_edited).
    pub kl_from_chat: f64,
    /// KL(P_base ‖ P_edited).
    pub kl_from_base: f64,
    /// Cross-entropy of the true next token.
    pub loss: f64,
    /// Cross-entropy of the chat model's most probable token.
    pub loss_to_chat: f64,
}

/// Moments of the metrics over all answer tokens, the first of each answer, and the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectSums {
    /// In the order of [`CausalScope::ALL`].
    scopes: [Moments; 3],
}

impl Default for EffectSums {
    fn default() -> Self {
        Self {
            scopes: [0; 3].map(|_| Moments::new(CausalMetric::ALL.len())),
        }
    }
}

impl EffectSums {
    /// Adds one prediction; `first` says that it is among the first of its answer.
    ///
    /// # Errors
    /// None for sums of this program.
    pub fn add(&mut self, effect: &Effect, first: bool) -> Result<()> {
        let row = [
            effect.kl_from_chat,
            effect.kl_from_base,
            effect.loss,
            effect.loss_to_chat,
        ];
        for (scope, moments) in CausalScope::ALL.into_iter().zip(&mut self.scopes) {
            let counts = match scope {
                CausalScope::All => true,
                CausalScope::First => first,
                CausalScope::Rest => !first,
            };
            if counts {
                moments.add(&row)?;
            }
        }
        Ok(())
    }

    /// Adds what another part has gathered. Merging the sums of several random sets pools them: the mean is weighted by tokens, the
    /// variance is that within the sets and that between them.
    ///
    /// # Errors
    /// Sums of another program version.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.scopes
            .iter_mut()
            .zip(&other.scopes)
            .try_for_each(|(here, there)| here.merge(there))
    }

    /// Every metric in every scope that has tokens.
    pub fn measures(&self) -> Vec<CausalMeasure> {
        let scopes = CausalScope::ALL.into_iter().zip(&self.scopes);
        scopes
            .filter(|(_, moments)| moments.count() > 0)
            .flat_map(|(scope, moments)| {
                let count = moments.count();
                let columns = moments.mean().iter().zip(moments.variance());
                CausalMetric::ALL
                    .into_iter()
                    .zip(columns)
                    .map(move |(metric, (&mean, variance))| {
                        let variance = (count > 1).then_some(variance);
                        CausalMeasure {
                            scope,
                            metric,
                            mean,
                            variance,
                            count,
                            half_width: half_width(variance, count),
                        }
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

/// Half the width of the 95 % interval of a mean over `count` values: 1.96·√(variance / count).
pub fn half_width(variance: Option<f64>, count: u64) -> Option<f64> {
    let width = STANDARD_ERRORS * (variance? / count as f64).sqrt();
    width.is_finite().then_some(width)
}
