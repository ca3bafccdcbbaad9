//! A loaded crosscoder: weights on a device for encoding, decoder on the host for sparse work.

use std::path::Path;

use candle_core::{Device, Tensor};
use diffing::Decoder;

use crate::error::{Error, Result};
use crate::file::TensorFile;
use crate::header::{Header, MODELS, WEIGHTS, read_header};
use crate::{CodeNormalization, Kind, Normalizer};

/// A crosscoder of two models, computed in f32.
///
/// Rows and biases are stored in the normalised space where the dictionary normalises activations, else in residual space; the
/// `residual_*` methods give them as they act on the residual stream.
#[derive(Debug)]
pub struct Crosscoder {
    pub(crate) header: Header,
    pub(crate) device: Device,
    /// [2·D, F] on the device.
    pub(crate) encoder: Tensor,
    pub(crate) encoder_bias: Vec<f32>,
    /// Decoder on the device, [2, F, D]; only where the device is not the host.
    pub(crate) device_decoder: Option<Tensor>,
    /// [2, F, D]
    pub(crate) decoder: Vec<f32>,
    /// [2, D]
    pub(crate) decoder_bias: Vec<f32>,
    pub(crate) normalizer: Option<Normalizer>,
    /// [2, F]
    norms: Vec<f32>,
    /// [F], or [2, F] for DECOUPLED.
    scaling: Vec<f32>,
}

/// The tensors of a crosscoder on the host.
pub(crate) struct Weights {
    /// [2, D, F]
    pub(crate) encoder: Vec<f32>,
    /// [F]
    pub(crate) encoder_bias: Vec<f32>,
    /// [2, F, D]
    pub(crate) decoder: Vec<f32>,
    /// [2, D]
    pub(crate) decoder_bias: Vec<f32>,
    pub(crate) normalizer: Option<Normalizer>,
}

impl Crosscoder {
    /// Loads a dictionary folder onto a device, in f32 whatever the file's format.
    ///
    /// # Errors
    /// As [`crate::open`]; also if a weight is NaN or infinite, or the device lacks memory.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let dir = dir.as_ref();
        let file = TensorFile::open(&dir.join(WEIGHTS))?;
        let header = read_header(dir, &file)?;
        let latents = header.dict_size;
        let mut encoder_bias = file.finite("encoder.bias")?;
        if encoder_bias.len() > latents {
            // Old files hold one bias per model; only their sum acts.
            let chat = encoder_bias.split_off(latents);
            for (b, c) in encoder_bias.iter_mut().zip(chat) {
                *b += c;
            }
        }
        let normalizer = if header.normalized {
            let target_rms = if file.has("target_rms") {
                file.finite("target_rms")?.first().copied().unwrap_or(1.0)
            } else {
                1.0
            };
            Some(Normalizer::new(
                file.finite("activation_mean")?,
                file.finite("activation_std")?,
                target_rms,
            )?)
        } else {
            None
        };
        let weights = Weights {
            encoder: file.finite("encoder.weight")?,
            encoder_bias,
            decoder: file.finite("decoder.weight")?,
            decoder_bias: file.finite("decoder.bias")?,
            normalizer,
        };
        Self::from_weights(header, weights, device)
    }

    /// From tensors on the host whose sizes fit the header.
    pub(crate) fn from_weights(header: Header, weights: Weights, device: &Device) -> Result<Self> {
        let (dim, latents) = (header.activation_dim, header.dict_size);
        let norms: Vec<f32> = weights
            .decoder
            .chunks_exact(dim)
            .map(diffing::norm)
            .collect();
        let scaling = match header.normalization {
            CodeNormalization::Decoupled => norms.clone(),
            other => {
                let (base, chat) = norms.split_at(latents);
                base.iter()
                    .zip(chat)
                    .map(|(&b, &c)| other.weight(b, c))
                    .collect()
            }
        };
        let encoder = Tensor::from_vec(weights.encoder, (MODELS * dim, latents), device)?;
        let device_decoder = if device.is_cpu() {
            None
        } else {
            Some(Tensor::from_slice(
                &weights.decoder,
                (MODELS, latents, dim),
                device,
            )?)
        };
        Ok(Self {
            header,
            device: device.clone(),
            encoder,
            encoder_bias: weights.encoder_bias,
            device_decoder,
            decoder: weights.decoder,
            decoder_bias: weights.decoder_bias,
            normalizer: weights.normalizer,
            norms,
            scaling,
        })
    }

    /// Shape and kind.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// L1 or BatchTopK.
    pub fn kind(&self) -> Kind {
        self.header.kind
    }

    /// Width D of both models' residuals.
    pub fn activation_dim(&self) -> usize {
        self.header.activation_dim
    }

    /// Number of latents F.
    pub fn dict_size(&self) -> usize {
        self.header.dict_size
    }

    /// Where it encodes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The activation normaliser, if the dictionary has one.
    pub fn normalizer(&self) -> Option<&Normalizer> {
        self.normalizer.as_ref()
    }

    /// w_j with v_j = f_j·w_j: [F]; for DECOUPLED [2·F], base then chat.
    pub fn scaling(&self) -> &[f32] {
        &self.scaling
    }

    /// w_j of one latent, for DECOUPLED the sum over models; 0 outside the dictionary.
    pub fn weight(&self, latent: u32) -> f32 {
        let j = latent as usize;
        if self.is_decoupled() {
            self.norm(0, j) + self.norm(1, j)
        } else {
            self.scaling.get(j).copied().unwrap_or(0.0)
        }
    }

    /// w_j of one model's code: v_j over f_j; the model's own for DECOUPLED. 0 outside the dictionary.
    pub fn model_weight(&self, model: usize, latent: u32) -> f32 {
        let offset = if self.is_decoupled() {
            model * self.dict_size()
        } else {
            0
        };
        let weight = self.scaling.get(offset + latent as usize);
        weight.copied().unwrap_or(0.0)
    }

    /// Decoder norms of one model, [F], of the stored rows; empty for models other than 0 and 1.
    pub fn norms(&self, model: usize) -> &[f32] {
        let latents = self.dict_size();
        self.norms
            .get(model.saturating_mul(latents)..model.saturating_add(1).saturating_mul(latents))
            .unwrap_or_default()
    }

    pub(crate) fn norm(&self, model: usize, latent: usize) -> f32 {
        self.norms(model).get(latent).copied().unwrap_or(0.0)
    }

    pub(crate) fn is_decoupled(&self) -> bool {
        self.header.normalization == CodeNormalization::Decoupled
    }

    /// Stored decoder row of a latent in one model, [D]; empty outside the dictionary.
    pub fn decoder_row(&self, model: usize, latent: u32) -> &[f32] {
        let (dim, latents, j) = (self.activation_dim(), self.dict_size(), latent as usize);
        if model >= MODELS || j >= latents {
            return &[];
        }
        let start = (model * latents + j) * dim;
        self.decoder.get(start..start + dim).unwrap_or_default()
    }

    /// Decoder row as it acts on the residual stream, [D]: divided by s_m + 1e-8 where activations are normalised.
    pub fn residual_row(&self, model: usize, latent: u32) -> Vec<f32> {
        let mut row = self.decoder_row(model, latent).to_vec();
        if let Some(normalizer) = &self.normalizer {
            let divisor = normalizer.divisor(model);
            for x in &mut row {
                *x /= divisor;
            }
        }
        row
    }

    /// Stored decoder bias of one model, [D]; empty for models other than 0 and 1.
    pub fn decoder_bias(&self, model: usize) -> &[f32] {
        let dim = self.activation_dim();
        self.decoder_bias
            .get(model.saturating_mul(dim)..model.saturating_add(1).saturating_mul(dim))
            .unwrap_or_default()
    }

    /// Decoder bias in residual space, [D]: divided by s_m + 1e-8 plus the mean where activations are normalised.
    pub fn residual_bias(&self, model: usize) -> Vec<f32> {
        let mut bias = self.decoder_bias(model).to_vec();
        self.denormalize(model, &mut bias);
        bias
    }

    /// Takes one model's row from the stored space to residual space.
    pub(crate) fn denormalize(&self, model: usize, row: &mut [f32]) {
        if let Some(normalizer) = &self.normalizer {
            let divisor = normalizer.divisor(model);
            for (x, mean) in row.iter_mut().zip(normalizer.mean_of(model)) {
                *x = *x / divisor + mean;
            }
        }
    }

    /// The decoder in its stored space, as Latent Scaling reads it.
    ///
    /// # Errors
    /// None for a loaded dictionary.
    pub fn decoder(&self) -> Result<Decoder<'_>> {
        let (base, chat) = self.decoder.split_at(self.decoder.len() / MODELS);
        let bias = [self.decoder_bias(0), self.decoder_bias(1)];
        Ok(Decoder::new([base, chat], bias)?)
    }

    /// Refuses activations that are not [N, 2, D].
    pub(crate) fn check_input(&self, x: &Tensor) -> Result<usize> {
        match x.dims() {
            &[tokens, MODELS, dim] if dim == self.activation_dim() => Ok(tokens),
            other => Err(Error::Input {
                what: "shape of the activations",
                expected: format!("[tokens, 2, {}]", self.activation_dim()),
                found: format!("{other:?}"),
            }),
        }
    }

    /// Refuses ids outside the dictionary.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let latents = self.dict_size();
        match ids.iter().find(|&&id| id as usize >= latents) {
            Some(&id) => Err(Error::UnknownLatent { id, latents }),
            None => Ok(()),
        }
    }
}
