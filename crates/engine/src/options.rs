//! What an engine is started with.

use std::path::PathBuf;

use candle_core::DType;
use gemma::{DeviceChoice, WeightChoice};

/// Number format of weights and residuals. Edits and dictionaries are always computed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, as the analysis.
    #[default]
    F32,
    /// bfloat16; half the memory, and firings near the threshold may flip. CUDA only.
    Bf16,
}

impl Precision {
    /// The tensor library's name of the format.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
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
    /// Generations that take turns; others wait in line.
    pub generations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            prompt_tokens: 4096,
            new_tokens: 512,
            lanes: 8,
            queue: 32,
            generations: 4,
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
    /// Where the models run.
    pub device: DeviceChoice,
    /// Number format of the models.
    pub precision: Precision,
    /// Which weights the CPU computes with.
    pub weights: WeightChoice,
    /// Folder of copies of models rounded to bf16; made when one is written.
    pub rounded: PathBuf,
    /// Bounds on requests.
    pub limits: Limits,
}
