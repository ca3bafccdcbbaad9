//! What an engine is started with.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::ModelName;
use candle_core::DType;
use gemma::{DeviceChoice, Place, WeightChoice};

/// Number format of weights and residuals. Edits and dictionaries are always computed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// bfloat16 on a GPU for a checkpoint that is stored so, else 32 bits.
    #[default]
    Auto,
    /// 32 bits, as the analysis.
    F32,
    /// bfloat16; half the memory, and firings near the threshold may flip. CUDA only.
    Bf16,
}

impl Precision {
    /// The format of a model in `place` whose weights are stored as `stored` (config.json's name).
    pub(crate) fn dtype(self, place: Place, stored: &str) -> DType {
        match self {
            Self::Bf16 => DType::BF16,
            Self::Auto if place != Place::Cpu && stored == "bfloat16" => DType::BF16,
            Self::Auto | Self::F32 => DType::F32,
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!(
                "{text:?} is not a number format; use auto, f32 or bf16"
            )),
        }
    }
}

/// Bounds on what one request may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest prompt, in tokens; the models' context bounds it as well.
    pub prompt_tokens: usize,
    /// Most tokens generated per lane.
    pub new_tokens: usize,
    /// Most lanes in one request.
    pub lanes: usize,
    /// Requests that may wait while others are served.
    pub queue: usize,
    /// Generations that take turns, and so many other computations; others wait in line.
    pub generations: usize,
    /// Bytes of prompts that are kept as both models read them, so that asking for them again, or for longer ones, is quick.
    pub prompt_cache: u64,
    /// How long a computation keeps others waiting, where it can be interrupted, before they have their turn.
    pub turn: Duration,
    /// Tokens of a prompt that a model reads at once. What is kept is used again in pieces of so many.
    pub read_at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            prompt_tokens: 4096,
            new_tokens: 512,
            lanes: 8,
            queue: 32,
            generations: 4,
            prompt_cache: 512_000_000,
            turn: Duration::from_millis(100),
            read_at_once: 256,
        }
    }
}

/// A dictionary to load.
#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryOptions {
    /// Name in requests.
    pub slug: String,
    /// Folder of the dictionary.
    pub path: PathBuf,
    /// Largest v per latent in the analysed corpus; empty where unknown.
    pub max_activations: Vec<Option<f32>>,
}

/// What an engine is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Folder of the base model.
    pub base: PathBuf,
    /// Folder of the chat model; its tokenizer and template serve both.
    pub chat: PathBuf,
    /// The hook point: output of this 0-based block.
    pub layer: usize,
    /// Dictionaries in the study's order.
    pub dictionaries: Vec<DictionaryOptions>,
    /// Where models and dictionaries are.
    pub device: DeviceChoice,
    /// Where the base and the chat model are instead.
    pub model_devices: [Option<DeviceChoice>; 2],
    /// Bytes of the host's memory to plan with; what is free by default.
    pub memory: Option<u64>,
    /// Bytes of the host's memory that whoever starts the engine needs for other things.
    pub beside: u64,
    /// Number format of the models.
    pub precision: Precision,
    /// Which weights the CPU computes with.
    pub weights: WeightChoice,
    /// Folder of copies of models rounded to bf16; made when one is written.
    pub rounded: PathBuf,
    /// Bounds on requests.
    pub limits: Limits,
}

impl Options {
    /// Where a model is.
    pub(crate) fn device_of(&self, model: ModelName) -> DeviceChoice {
        let own = self.model_devices.get(model.index()).copied().flatten();
        own.unwrap_or(self.device)
    }
}
