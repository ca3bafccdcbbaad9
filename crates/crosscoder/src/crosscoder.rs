//! A loaded crosscoder: weights on a device for encoding, decoder on the host for sparse work.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use diffing::Decoder;
use matrix::{MappedFile, Residence};

use crate::encode::Gates;
use crate::error::{Error, Result};
use crate::file::TensorFile;
use crate::header::{Header, MODELS, WEIGHTS, read_header};
use crate::resting::{Encoder, Rows};
use crate::{CodeNormalization, Kind, Normalizer};

/// Numbers of encoder and decoder together from which they stay in their file: in f32 they would take 256 MiB.
pub(crate) const LARGE: u64 = 1 << 26;

/// A crosscoder of two models, computed in f32.
///
/// Rows and biases are stored in the normalised space where the dictionary normalises activations, else in residual space; the
/// `residual_*` methods give them as they act on the residual stream.
#[derive(Debug)]
pub struct Crosscoder {
    pub(crate) header: Header,
    pub(crate) device: Device,
    pub(crate) encoder: Encoder,
    pub(crate) encoder_bias: Vec<f32>,
    decoder: Rows,
    /// What encoder or decoder lie in, where they were not loaded.
    file: Option<Arc<MappedFile>>,
    /// [2, D]
    pub(crate) decoder_bias: Vec<f32>,
    pub(crate) normalizer: Option<Normalizer>,
    /// [2, F]
    norms: Vec<f32>,
    /// [F], or [2, F] for DECOUPLED.
    scaling: Vec<f32>,
    pub(crate) gates: Gates,
}

/// The tensors of a crosscoder.
struct Weights {
    encoder: Encoder,
    /// [F]
    encoder_bias: Vec<f32>,
    decoder: Rows,
    file: Option<Arc<MappedFile>>,
    /// [2, D]
    decoder_bias: Vec<f32>,
    normalizer: Option<Normalizer>,
}

impl Crosscoder {
    /// Loads a dictionary folder onto a device, in f32 whatever the file's format.
    ///
    /// # Errors
    /// As [`crate::open`]; also if a weight is NaN or infinite, or the device lacks memory.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::load_to(dir, device, Residence::Memory)
    }

    /// As [`Crosscoder::load`], with a choice of where the decoder is kept, and the encoder when the device is the CPU. Those in f32 or bf16
    /// may stay in their file; [`Crosscoder::decoder`] is not for them.
    ///
    /// # Errors
    /// As [`Crosscoder::load`].
    pub fn load_to(dir: impl AsRef<Path>, device: &Device, residence: Residence) -> Result<Self> {
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
            Some(Normalizer::read(&file)?)
        } else {
            None
        };
        let dim = header.activation_dim;
        let numbers = (2 * MODELS * dim * latents) as u64;
        let in_file = residence.in_files(numbers, LARGE);
        let left = |name: &str, columns: usize, may: bool| {
            if may {
                file.left(name, columns)
            } else {
                Ok(None)
            }
        };
        let encoder = match left("encoder.weight", latents, in_file && device.is_cpu())? {
            Some(encoder) => Encoder::Mapped(encoder),
            None => Encoder::Loaded(Tensor::from_vec(
                file.finite("encoder.weight")?,
                (MODELS * dim, latents),
                device,
            )?),
        };
        // On the host whatever the device: edits read the rows of active latents alone.
        let decoder = match left("decoder.weight", dim, in_file)? {
            Some(decoder) => Rows::Mapped(decoder),
            None => Rows::Loaded(file.finite("decoder.weight")?, dim),
        };
        let weights = Weights {
            encoder,
            encoder_bias,
            decoder,
            file: in_file.then(|| file.mapped()),
            decoder_bias: file.finite("decoder.bias")?,
            normalizer,
        };
        Ok(Self::from_weights(header, weights, device))
    }

    /// From tensors whose sizes fit the header.
    fn from_weights(header: Header, weights: Weights, device: &Device) -> Self {
        let latents = header.dict_size;
        let norms = weights.decoder.norms();
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
        let mut crosscoder = Self {
            header,
            device: device.clone(),
            encoder: weights.encoder,
            encoder_bias: weights.encoder_bias,
            decoder: weights.decoder,
            file: weights.file,
            decoder_bias: weights.decoder_bias,
            normalizer: weights.normalizer,
            norms,
            scaling,
            gates: Gates::default(),
        };
        crosscoder.gates = crosscoder.make_gates();
        crosscoder
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
    pub fn decoder_row(&self, model: usize, latent: u32) -> Cow<'_, [f32]> {
        let (latents, j) = (self.dict_size(), latent as usize);
        if model >= MODELS || j >= latents {
            return Cow::Borrowed(&[]);
        }
        self.decoder.row(model * latents + j)
    }

    /// Decoder row as it acts on the residual stream, [D]: divided by s_m + 1e-8 where activations are normalised.
    pub fn residual_row(&self, model: usize, latent: u32) -> Vec<f32> {
        let mut row = self.decoder_row(model, latent).into_owned();
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
    /// For a dictionary whose decoder was left in its file.
    pub fn decoder(&self) -> Result<Decoder<'_>> {
        let Rows::Loaded(decoder, _) = &self.decoder else {
            return Err(Error::Mapped);
        };
        let (base, chat) = decoder.split_at(decoder.len() / MODELS);
        let bias = [self.decoder_bias(0), self.decoder_bias(1)];
        Ok(Decoder::new([base, chat], bias)?)
    }

    /// Refuses weights whose file was written to or cut.
    ///
    /// # Errors
    /// With the file's name.
    pub fn check_file(&self) -> Result<()> {
        if let Some(file) = &self.file {
            file.check()?;
        }
        Ok(())
    }

    /// Refuses activations that are not [N, 2, D], and weights as [`Crosscoder::check_file`] does.
    pub(crate) fn check_input(&self, x: &Tensor) -> Result<usize> {
        self.check_file()?;
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
