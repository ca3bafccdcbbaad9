//! What kind of dictionary a folder holds, told without reading its weights.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use matrix::Residence;

use crate::CodeNormalization;
use crate::crosscoder::LARGE;
use crate::error::{Error, Result};
use crate::file::TensorFile;

/// Number of models of a crosscoder here.
pub(crate) const MODELS: usize = 2;
/// Names in a dictionary folder.
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const TRAINER_CONFIG: &str = "trainer_config.json";

/// Sparsity of a dictionary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// ReLU, trained with an L1 penalty.
    L1,
    /// The k·B largest activations of a batch in training, a threshold afterwards.
    #[default]
    BatchTopK,
}

impl Kind {
    /// `l1` or `batchtopk`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::BatchTopK => "batchtopk",
        }
    }

    /// Class name in trainer_config.json.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::L1 => "CrossCoder",
            Self::BatchTopK => "BatchTopKCrossCoder",
        }
    }
}

/// A dictionary's shape and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Width D of both models' residuals.
    pub activation_dim: usize,
    /// Number of latents F.
    pub dict_size: usize,
    /// L1 or BatchTopK.
    pub kind: Kind,
    /// How decoder norms weigh the code.
    pub normalization: CodeNormalization,
    /// k of BatchTopK.
    pub k: Option<u64>,
    /// Inference thresholds on v of BatchTopK, base and chat: equal unless the code normalisation is DECOUPLED. −1 means that
    /// training ended before it was estimated.
    pub thresholds: Option<[f32; 2]>,
    /// Whether activations are normalised before encoding.
    pub normalized: bool,
    /// Bytes that a weight takes where the dictionary may stay in its file: as stored, or of an f32 where it is converted.
    pub(crate) number_bytes: usize,
}

impl Header {
    /// Bytes that the loaded dictionary takes on the host and on its device, where that is another: the encoder is there, the decoder on
    /// the host.
    pub fn memory(&self, on_host: bool, residence: Residence) -> [u64; 2] {
        let numbers = (MODELS * self.activation_dim * self.dict_size) as u64;
        let wide = size_of::<f32>() as u64;
        let kept = if residence.in_files(2 * numbers, LARGE) {
            self.number_bytes as u64
        } else {
            wide
        };
        // A bias, two norms, at most two weights of the code, and seven numbers that it is held against.
        let beside = (12 * self.dict_size * size_of::<f32>()) as u64;
        if on_host {
            [2 * numbers * kept + beside, 0]
        } else {
            [numbers * kept + beside, numbers * wide]
        }
    }

    /// The inference threshold on v; the chat model's for DECOUPLED, `None` for plain ReLU.
    pub fn threshold(&self) -> Option<f32> {
        self.thresholds.map(|[_, chat]| chat)
    }
}

/// Reads a dictionary folder's JSON files, the weights' header and its few scalars; checks every tensor's name and shape and the
/// file's length, but no weights.
///
/// # Errors
/// A sentence naming the file, tensor or field at fault, what was expected and what was found.
pub fn open(dir: impl AsRef<Path>) -> Result<Header> {
    let dir = dir.as_ref();
    let file = TensorFile::open(&dir.join(WEIGHTS))?;
    read_header(dir, &file)
}

/// [`open`] with the weights' file at hand.
pub(crate) fn read_header(dir: &Path, file: &TensorFile) -> Result<Header> {
    let trainer = Json::read(dir.join(TRAINER_CONFIG))?;
    let config = Json::read(dir.join(CONFIG))?;
    let (dim, latents) = match file.shape("encoder.weight")? {
        &[MODELS, dim, latents] if dim > 0 && latents > 0 => (dim, latents),
        _ => {
            return Err(file.wrong_shape("encoder.weight", "[2, activation_dim, dict_size]"));
        }
    };
    file.expect("encoder.bias", &[&[latents], &[MODELS, latents]])?;
    file.expect("decoder.weight", &[&[MODELS, latents, dim]])?;
    file.expect("decoder.bias", &[&[MODELS, dim]])?;
    config.same("activation_dim", dim)?;
    config.same("dict_size", latents)?;
    config.same("num_layers", MODELS)?;
    if let Some(layers) = config.at("encoder_layers").filter(|v| !v.is_null())
        && layers != &serde_json::json!([0, 1])
    {
        return Err(config.fault("encoder_layers", "null or [0, 1]", layers.to_string()));
    }
    let kind = kind(&trainer, file)?;
    let normalization = normalization(&config, &trainer, file)?;
    let (mut k, mut thresholds) = (None, None);
    if kind == Kind::BatchTopK {
        let stored = file.integer("k")?;
        config.same("k", stored as usize)?;
        k = u64::try_from(stored).ok();
        file.expect("threshold", &[&[], &[1], &[MODELS]])?;
        thresholds = match *file.finite("threshold")?.as_slice() {
            [one] => Some([one, one]),
            [base, chat] if normalization == CodeNormalization::Decoupled => Some([base, chat]),
            _ => return Err(file.wrong_shape("threshold", "[]")),
        };
    }
    Ok(Header {
        activation_dim: dim,
        dict_size: latents,
        kind,
        normalization,
        k,
        thresholds,
        normalized: has_normalizer(file, dim)?,
        number_bytes: file.number_bytes("encoder.weight")?,
    })
}

/// Whether mean and deviation are there and free of NaN.
fn has_normalizer(file: &TensorFile, dim: usize) -> Result<bool> {
    let names = ["activation_mean", "activation_std"];
    if !names.iter().any(|n| file.has(n)) {
        return Ok(false);
    }
    let mut present = true;
    for name in names {
        file.expect(name, &[&[MODELS, dim]])?;
        present &= !file.floats(name)?.iter().any(|x| x.is_nan());
    }
    Ok(present)
}

fn kind(trainer: &Json, file: &TensorFile) -> Result<Kind> {
    match trainer.in_trainer("dict_class") {
        Some(Value::String(class)) => [Kind::L1, Kind::BatchTopK]
            .into_iter()
            .find(|k| k.class() == class)
            .ok_or_else(|| {
                trainer.fault(
                    "trainer.dict_class",
                    "CrossCoder or BatchTopKCrossCoder",
                    class.clone(),
                )
            }),
        Some(other) => Err(trainer.fault("trainer.dict_class", "a class name", other.to_string())),
        None if file.has("k") || file.has("threshold") => Ok(Kind::BatchTopK),
        None => Ok(Kind::L1),
    }
}

/// From the stored number, else config.json, else CROSSCODER as in files of before the choice existed.
fn normalization(config: &Json, trainer: &Json, file: &TensorFile) -> Result<CodeNormalization> {
    let alpha = |name, default| {
        config
            .at(name)
            .or_else(|| trainer.in_trainer(name))
            .and_then(Value::as_f64)
            .unwrap_or(default)
    };
    let (sae, cc) = CodeNormalization::MIXED_DEFAULTS;
    let (sae, cc) = (
        alpha("code_normalization_alpha_sae", sae),
        alpha("code_normalization_alpha_cc", cc),
    );
    if file.has("code_normalization_id") {
        let id = file.integer("code_normalization_id")?;
        return CodeNormalization::from_id(id, sae, cc).ok_or_else(|| Error::Malformed {
            path: file.path().to_path_buf(),
            detail: format!("tensor code_normalization_id: expected 1 to 5, found {id}; this code normalisation is not known"),
        });
    }
    match config.at("code_normalization") {
        Some(Value::String(name)) => CodeNormalization::from_name(name, sae, cc).ok_or_else(|| {
            config.fault(
                "code_normalization",
                "CROSSCODER, SAE, MIXED, NONE or DECOUPLED",
                name.clone(),
            )
        }),
        _ => Ok(CodeNormalization::Crosscoder),
    }
}

/// One of the folder's JSON files; absent files are empty.
struct Json {
    path: PathBuf,
    value: Value,
}

impl Json {
    fn read(path: PathBuf) -> Result<Self> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => "{}".into(),
            Err(source) => return Err(Error::Io { path, source }),
        };
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Self { path, value }),
            Err(e) => Err(Error::Malformed {
                detail: format!("expected JSON, found {e}; fetch the file again or remove it"),
                path,
            }),
        }
    }

    fn at(&self, field: &str) -> Option<&Value> {
        self.value.get(field)
    }

    fn in_trainer(&self, field: &str) -> Option<&Value> {
        self.value.get("trainer")?.get(field)
    }

    /// Refuses a number other than the weights'.
    fn same(&self, field: &'static str, expected: usize) -> Result<()> {
        match self.at(field) {
            Some(found) if !found.is_null() && found.as_u64() != Some(expected as u64) => Err(self
                .fault(
                    field,
                    &format!("{expected} as in {WEIGHTS}"),
                    found.to_string(),
                )),
            _ => Ok(()),
        }
    }

    fn fault(&self, field: &'static str, expected: &str, found: String) -> Error {
        Error::Field {
            path: self.path.clone(),
            field,
            expected: expected.to_owned(),
            found,
        }
    }
}
