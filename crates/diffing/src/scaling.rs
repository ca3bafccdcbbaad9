//! Latent Scaling: how much of a chat direction is in each model's error and reconstruction.

use api::Betas;
use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::error::{Error, Result, same};
use crate::norms::dot;

/// One latent's sums over tokens; `[2]` is base, chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    /// Σ f
    f: f64,
    /// Σ f²
    f2: f64,
    /// Σ f·⟨d_chat, x_m⟩
    activation: [f64; 2],
    /// Σ f·⟨d_chat, x̂_m⟩
    reconstruction: [f64; 2],
}

/// Sums that give the least-squares coefficients β of Latent Scaling for four targets and both models; mergeable.
///
/// β_j = Σ f_j⟨d_j, y⟩ / (‖d_j‖²·Σ f_j²) with d_j the chat decoder row for both models' targets and f_j the unscaled code.
/// The four targets need two inner products per model and active latent, the rest follows:
/// with the bias b removed, Σ f⟨d, x − b⟩ = Σ f⟨d, x⟩ − ⟨d, b⟩·Σ f; and the error target ε + f·d_m, in which the latent's own part
/// is left, gives Σ f⟨d, x − x̂⟩ + ⟨d, d_m⟩·Σ f².
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingSums {
    latents: Vec<Sums>,
}

impl ScalingSums {
    /// No token yet, for a dictionary of this many latents.
    pub fn new(latents: usize) -> Self {
        Self {
            latents: vec![Sums::default(); latents],
        }
    }

    /// Adds one token: residuals `x` and full reconstructions `x_hat` (bias included) of base and chat, each [D], in the space of
    /// the decoder (normalised where the dictionary normalises), and the active latents as (id, unscaled f).
    ///
    /// # Errors
    /// If an id is outside the dictionary, or a row's width or the dictionary's size does not fit. Nothing is added then.
    pub fn add_token(
        &mut self,
        x: [&[f32]; 2],
        x_hat: [&[f32]; 2],
        active: &[(u32, f32)],
        decoder: &Decoder,
    ) -> Result<()> {
        same(
            "latents of the decoder",
            self.latents.len(),
            decoder.latents(),
        )?;
        for row in x.iter().chain(&x_hat) {
            same("width of a residual", decoder.dim(), row.len())?;
        }
        let latents = self.latents.len();
        if let Some(&(id, _)) = active.iter().find(|(id, _)| *id as usize >= latents) {
            return Err(Error::UnknownLatent { id, latents });
        }
        for &(id, f) in active {
            let direction = decoder.chat(id as usize);
            let f = f64::from(f);
            let Some(sums) = self.latents.get_mut(id as usize) else {
                continue;
            };
            sums.f += f;
            sums.f2 += f * f;
            for (sum, row) in sums.activation.iter_mut().zip(x) {
                *sum += f * dot(direction, row);
            }
            for (sum, row) in sums.reconstruction.iter_mut().zip(x_hat) {
                *sum += f * dot(direction, row);
            }
        }
        Ok(())
    }

    /// Adds another part's sums.
    ///
    /// # Errors
    /// If the dictionaries differ in size.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same("latents", self.latents.len(), other.latents.len())?;
        for (here, there) in self.latents.iter_mut().zip(&other.latents) {
            here.f += there.f;
            here.f2 += there.f2;
            for m in 0..2 {
                here.activation[m] += there.activation[m];
                here.reconstruction[m] += there.reconstruction[m];
            }
        }
        Ok(())
    }

    /// Coefficients of every latent; `None` where the latent was never active or its chat row is zero.
    ///
    /// # Errors
    /// If the decoder has another number of latents.
    pub fn betas(&self, decoder: &Decoder) -> Result<Vec<Betas>> {
        same(
            "latents of the decoder",
            self.latents.len(),
            decoder.latents(),
        )?;
        let bias = decoder.bias();
        Ok(self
            .latents
            .iter()
            .enumerate()
            .map(|(j, sums)| {
                let d = decoder.chat(j);
                let denominator = dot(d, d) * sums.f2;
                let beta = |numerator: f64| {
                    let beta = numerator / denominator;
                    beta.is_finite().then_some(beta)
                };
                let no_bias = |m: usize| sums.activation[m] - dot(d, bias[m]) * sums.f;
                let error = |m: usize| {
                    sums.activation[m] - sums.reconstruction[m]
                        + dot(d, decoder.row(m, j)) * sums.f2
                };
                Betas {
                    beta_activation_base: beta(sums.activation[0]),
                    beta_activation_chat: beta(sums.activation[1]),
                    beta_activation_no_bias_base: beta(no_bias(0)),
                    beta_activation_no_bias_chat: beta(no_bias(1)),
                    beta_reconstruction_base: beta(sums.reconstruction[0]),
                    beta_reconstruction_chat: beta(sums.reconstruction[1]),
                    beta_error_base: beta(error(0)),
                    beta_error_chat: beta(error(1)),
                }
            })
            .collect())
    }
}
