//! What can be known of models and dictionaries without reading a weight; run before a server listens.

use std::path::Path;

use api::ModelInfo;
use candle_core::DType;
use gemma::{Checkpoint, Place, Plan, Tokenizer};

use crate::{
    DictionaryOptions, Error, Options, Precision, Result, devices::Devices, memory::Sizes,
};

/// What the checks found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The base model; its name is the folder's.
    pub base: ModelInfo,
    /// The chat model.
    pub chat: ModelInfo,
    /// Fingerprints of the base and the chat model's files.
    pub hashes: [String; 2],
    /// Chat template, as text.
    pub template: String,
    /// Where the models will run, for instance `cpu`.
    pub device: String,
    /// Their number format, for instance `f32`.
    pub dtype: String,
    /// Longest prompt accepted, in tokens.
    pub max_prompt_tokens: usize,
    /// Dictionaries in the order of the options.
    pub dictionaries: Vec<DictionaryFile>,
}

/// What a dictionary's files say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryFile {
    /// `l1` or `batchtopk`.
    pub kind: String,
    /// Number of latents F.
    pub latents: usize,
    /// Width D.
    pub activation_dim: usize,
    /// Code normalisation, for instance `CROSSCODER`.
    pub code_normalization: String,
    /// Inference threshold on v; `None` for plain ReLU.
    pub threshold: Option<f64>,
    /// k of BatchTopK.
    pub k: Option<u64>,
    /// Whether activations are normalised before encoding.
    pub normalized: bool,
}

/// The pair's checkpoints and tokenizer, found fit for each other.
pub(crate) struct Opened {
    pub checkpoints: [Checkpoint; 2],
    pub tokenizer: Tokenizer,
}

/// Checks both models, every dictionary, the layer and the device: config.json, index, every file's header and length, tokenizer, widths
/// and vocabularies; and that everything fits into memory. Reads no weights.
///
/// # Errors
/// A sentence that names the file or tensor, what was expected and what was found.
pub fn check(options: &Options) -> Result<Checked> {
    let opened = open(options)?;
    let [base, chat] = &opened.checkpoints;
    let devices = Devices::open(options)?;
    let on_host = devices.models.iter().any(candle_core::Device::is_cpu);
    if on_host && options.precision == Precision::Bf16 {
        return Err(Error::Check(
            "bf16 runs on a GPU only; use f32 on the CPU".into(),
        ));
    }
    let dictionaries = options
        .dictionaries
        .iter()
        .map(|d| fitting_dictionary(d, base.config().hidden_size))
        .collect::<Result<_>>()?;
    Sizes::new(&opened, options, context(&opened))?.check(options, &devices)?;
    let places = devices.models.each_ref().map(Place::of);
    let formats = opened
        .formats(options, &devices)
        .map(|dtype| dtype.as_str());
    Ok(Checked {
        base: info(base),
        chat: info(chat),
        hashes: opened.checkpoints.each_ref().map(gemma::Checkpoint::hash),
        template: opened.tokenizer.template_source().to_owned(),
        device: of_both(&places),
        dtype: of_both(&formats),
        max_prompt_tokens: options.limits.prompt_tokens.min(context(&opened)),
        dictionaries,
    })
}

/// What loading is going to take, from headers alone, whether it fits or not.
///
/// # Errors
/// As [`check`], but for what does not fit into memory.
pub fn plan(options: &Options) -> Result<Plan> {
    let opened = open(options)?;
    let devices = Devices::open(options)?;
    let sizes = Sizes::new(&opened, options, context(&opened))?;
    Ok(sizes.plan(options, &devices))
}

impl Opened {
    /// Number formats of both models.
    pub(crate) fn formats(&self, options: &Options, devices: &Devices) -> [DType; 2] {
        let format = |model: usize| {
            let stored = self.checkpoints[model].stored_dtype();
            let place = Place::of(&devices.models[model]);
            options.precision.dtype(place, stored)
        };
        [format(0), format(1)]
    }
}

/// One word for both models, or one for each.
fn of_both(words: &[impl ToString; 2]) -> String {
    let [base, chat] = words.each_ref().map(ToString::to_string);
    if base == chat {
        base
    } else {
        format!("base {base}, chat {chat}")
    }
}

/// Opens both checkpoints and the chat model's tokenizer, and checks that they fit each other and the layer.
pub(crate) fn open(options: &Options) -> Result<Opened> {
    let checkpoints = [
        Checkpoint::open(&options.base)?,
        Checkpoint::open(&options.chat)?,
    ];
    let [base, chat] = [&checkpoints[0], &checkpoints[1]].map(Checkpoint::config);
    let differ = |what: &str, b: usize, c: usize| {
        Err(Error::Check(format!(
            "the two models do not match: {} has {what} {b}, {} has {c}; a study needs a model and its tuned version",
            options.base.display(),
            options.chat.display()
        )))
    };
    if base.hidden_size != chat.hidden_size {
        return differ("width (hidden_size)", base.hidden_size, chat.hidden_size);
    }
    if base.vocab_size != chat.vocab_size {
        return differ("vocabulary (vocab_size)", base.vocab_size, chat.vocab_size);
    }
    for (config, dir) in [(base, &options.base), (chat, &options.chat)] {
        if options.layer >= config.num_layers {
            return Err(Error::Check(format!(
                "layer {} is out of range: {} has {} blocks, numbered from 0; set layer in study.toml to at most {}",
                options.layer,
                dir.display(),
                config.num_layers,
                config.num_layers.saturating_sub(1)
            )));
        }
    }
    let tokenizer = Tokenizer::open(&options.chat)?;
    if tokenizer.vocab_size() > chat.vocab_size {
        return Err(Error::Check(format!(
            "the tokenizer of {} has {} tokens, its model only {}; they do not belong together",
            options.chat.display(),
            tokenizer.vocab_size(),
            chat.vocab_size
        )));
    }
    Ok(Opened {
        checkpoints,
        tokenizer,
    })
}

/// Longest sequence that both models take.
pub(crate) fn context(opened: &Opened) -> usize {
    let [base, chat] = &opened.checkpoints;
    base.config().max_positions.min(chat.config().max_positions)
}

/// Checks a dictionary's headers and lengths.
///
/// # Errors
/// A sentence that names the file or tensor, what was expected and what was found.
pub fn dictionary_file(dir: &Path) -> Result<DictionaryFile> {
    let header = crosscoder::open(dir)?;
    Ok(DictionaryFile {
        kind: header.kind.as_str().into(),
        latents: header.dict_size,
        activation_dim: header.activation_dim,
        code_normalization: header.normalization.name().into(),
        threshold: header.threshold().map(f64::from),
        k: header.k,
        normalized: header.normalized,
    })
}

fn fitting_dictionary(options: &DictionaryOptions, width: usize) -> Result<DictionaryFile> {
    let file = dictionary_file(&options.path)?;
    if file.activation_dim != width {
        return Err(Error::Check(format!(
            "the dictionary {:?} ({}) is {} wide, the models are {width} wide; it was trained on other models",
            options.slug,
            options.path.display(),
            file.activation_dim
        )));
    }
    Ok(file)
}

fn info(checkpoint: &Checkpoint) -> ModelInfo {
    let config = checkpoint.config();
    let dir = checkpoint.dir();
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    ModelInfo {
        name: name.to_string_lossy().into_owned(),
        revision: None,
        hidden_size: config.hidden_size,
        layers: config.num_layers,
        vocab_size: config.vocab_size,
        context: config.max_positions,
        parameters: checkpoint.parameters(),
    }
}
