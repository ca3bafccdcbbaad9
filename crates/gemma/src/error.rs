//! What can go wrong, each as a sentence that says what was expected, what was found and how to mend it.

use std::path::PathBuf;

use crate::memory::readable;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault in a checkpoint, a tokenizer, a prompt or a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {source}; check that the path is a Gemma-2 folder with config.json, tokenizer.json and the safetensors files", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check that the folder exists, may be written to and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{} is not valid JSON: {source}; restore it from the original checkpoint", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The checkpoint is not Gemma-2.
    #[error("{}: model_type is {found}, expected \"gemma2\"; choose a Gemma-2 checkpoint", path.display())]
    ModelType {
        /// config.json.
        path: PathBuf,
        /// The model type found, quoted, or `missing`.
        found: String,
    },
    /// A field of config.json is missing or has a value that cannot be used.
    #[error("{}: {field} {problem}", path.display())]
    Field {
        /// config.json.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong with it and what would do.
        problem: String,
    },
    /// A safetensors file or its index is damaged.
    #[error("{}: {problem}; download or copy the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A safetensors file is shorter or longer than its header says.
    #[error("{}: the header promises {expected} bytes and the file has {found}; download or copy the file again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// A tensor that the configuration asks for is in no file.
    #[error("{}: tensor {tensor} is missing; config.json asks for it with shape {expected:?}, so use the config.json and the weights of one checkpoint", path.display())]
    MissingTensor {
        /// The checkpoint's folder.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape by config.json.
        expected: Vec<usize>,
    },
    /// A file has a tensor that the configuration knows nothing of.
    #[error("{}: tensor {tensor} does not belong to the model that config.json describes; use the config.json and the weights of one checkpoint", path.display())]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor's shape is not what the configuration asks for.
    #[error("{}: tensor {tensor} has shape {found:?}, config.json asks for {expected:?}; use the config.json and the weights of one checkpoint", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape by config.json.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a number format that is not read.
    #[error("{}: tensor {tensor} is stored as {found}, expected F32, BF16 or F16; convert the checkpoint", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The format found.
        found: String,
    },
    /// A file was written to or cut while its weights were in use.
    #[error(transparent)]
    Changed(#[from] matrix::Changed),
    /// A copy of a checkpoint rounded to bf16 could not be written.
    #[error("cannot write {} of weights rounded to bf16 to {}: {source}; make room there, or keep the weights as they are with --weights as-is", readable(*bytes), path.display())]
    Round {
        /// The file or folder.
        path: PathBuf,
        /// Size of the copy.
        bytes: u64,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A weight is NaN or infinite.
    #[error("{}: tensor {tensor} holds {value} at element {element}; every weight must be finite, so the checkpoint is broken: download it again or train it anew", path.display())]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Row-major index of the first such element.
        element: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
    /// tokenizer.json or tokenizer_config.json cannot be used.
    #[error("{}: {problem}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would do.
        problem: String,
    },
    /// A text could not be tokenised.
    #[error("the text cannot be tokenised: {0}")]
    Encode(String),
    /// A message has a role that chat templates do not know.
    #[error(
        "message {index} has the unknown role {role:?}; the roles are \"user\" and \"assistant\""
    )]
    Role {
        /// Position of the message, from 0.
        index: usize,
        /// The role found.
        role: String,
    },
    /// The chat template refused the messages or failed.
    #[error("the chat template refuses these messages: {0}")]
    Template(String),
    /// There is nothing to run.
    #[error("the prompt is empty; give at least one token")]
    Empty,
    /// A token id is outside the vocabulary.
    #[error("token {position} has id {id}, the vocabulary has ids 0 to {}", vocab_size.saturating_sub(1))]
    TokenId {
        /// Position in the call's ids.
        position: usize,
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// More positions than the cache or the model has room for.
    #[error(
        "{wanted} positions are needed and {limit} is the {what}; shorten the prompt or the answer"
    )]
    TooLong {
        /// Positions needed.
        wanted: usize,
        /// Positions there are.
        limit: usize,
        /// Whose limit it is.
        what: &'static str,
    },
    /// A call's arguments do not fit the model.
    #[error("{0}")]
    Argument(String),
    /// A checkpoint's files are not those that were opened.
    #[error(
        "{}: the checkpoint was replaced while it was in use, so the rest of its weights does not belong to those in memory; start again", path.display()
    )]
    Replaced {
        /// The folder.
        path: PathBuf,
    },
    /// A device cannot be opened.
    #[error(
        "cannot use the device cuda:{number}: {source}; use --device cpu, or a build with the cuda feature on a machine with that GPU"
    )]
    Device {
        /// Number of the CUDA device.
        number: usize,
        /// What the driver says.
        source: candle_core::Error,
    },
    /// The tensor library failed.
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// The error for a block that a model of `num_layers` blocks lacks.
    pub(crate) fn no_block(block: usize, num_layers: usize) -> Self {
        Self::Argument(format!(
            "there is no block {block}: the model has blocks 0 to {}",
            num_layers.saturating_sub(1)
        ))
    }
}
