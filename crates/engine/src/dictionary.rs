//! A loaded dictionary: its crosscoder, its name, and what the analysis knows of its latents.

use crosscoder::Crosscoder;

use crate::{Error, Result};

/// A dictionary ready for use.
pub(crate) struct Dictionary {
    pub slug: String,
    pub crosscoder: Crosscoder,
    /// Largest v per latent in the analysed corpus; empty where unknown.
    pub max_activations: Vec<Option<f32>>,
}

impl Dictionary {
    /// Number of latents F.
    pub(crate) fn len(&self) -> usize {
        self.crosscoder.dict_size()
    }

    /// Fails with a sentence for a latent that does not exist.
    pub(crate) fn check_latent(&self, id: u32) -> Result<()> {
        if (id as usize) < self.len() {
            Ok(())
        } else {
            Err(Error::invalid(format!(
                "dictionary {:?} has no latent {id}; its ids are 0 to {}",
                self.slug,
                self.len().saturating_sub(1)
            )))
        }
    }

    /// Decoder row of a model in residual space, [D].
    pub(crate) fn row(&self, model: usize, id: u32) -> Vec<f32> {
        self.crosscoder.residual_row(model, id)
    }

    /// The latent's largest v; `kind` is the intervention that asks, `units` the units that do without.
    pub(crate) fn natural_maximum(&self, kind: &str, units: &str, id: u32) -> Result<f32> {
        let known = self.max_activations.get(id as usize).copied().flatten();
        match known {
            Some(max) if max > 0.0 => Ok(max),
            Some(_) => Err(Error::invalid(format!(
                "{kind}: latent {id} never fired in the analysed tokens, so its natural maximum is 0; use the unit {units}"
            ))),
            None => Err(Error::invalid(format!(
                "{kind}: the natural maximum of latent {id} is unknown, because the dictionary {:?} is not analysed; use the unit {units}, or run stereoscope analyse",
                self.slug
            ))),
        }
    }

    /// The unscaled code f_j of an activation v_j, as a model's decoder reads it; `kind` is the intervention that asks.
    pub(crate) fn code(&self, kind: &str, id: u32, value: f32, model: usize) -> Result<f32> {
        let weight = self.crosscoder.model_weight(model, id);
        if weight <= 0.0 {
            return Err(zero_row(kind, id));
        }
        let code = value / weight;
        let longest = code * diffing::norm(&self.row(model, id));
        if longest.is_finite() {
            Ok(code)
        } else {
            Err(Error::invalid(format!(
                "{kind}: an activation of {value} of latent {id} is not a finite vector; use a smaller one"
            )))
        }
    }

    /// 1/‖d_j‖; `kind` is the intervention that asks.
    pub(crate) fn inverse_norm(&self, kind: &str, id: u32, model: usize) -> Result<f32> {
        let norm = diffing::norm(&self.row(model, id));
        if norm > 0.0 {
            Ok(1.0 / norm)
        } else {
            Err(zero_row(kind, id))
        }
    }
}

fn zero_row(kind: &str, id: u32) -> Error {
    Error::invalid(format!(
        "{kind}: latent {id} has a zero row in that decoder, so it has no direction; use the other decoder"
    ))
}
