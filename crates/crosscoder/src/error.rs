//! What can go wrong with a dictionary, and what to do about it.

use std::path::PathBuf;

/// A fault in a dictionary's files, in numbers handed over, or in settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{path}: {source}; check that the folder is a dictionary and may be accessed")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file cannot be written, as when the disk is full.
    #[error(
        "{path}: cannot be written: {source}; make room or mend permissions, and go on from the last checkpoint, where there is one"
    )]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is shorter or longer than its header says.
    #[error(
        "{path}: expected {expected} bytes by its header, found {found}; the copy is incomplete or damaged, fetch the file again"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A file is not what its name says.
    #[error("{path}: {detail}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found and the remedy.
        detail: String,
    },
    /// The file was written to or cut while its weights were in use.
    #[error(transparent)]
    Changed(#[from] matrix::Changed),
    /// The whole decoder is wanted as f32 and lies in its file.
    #[error("the decoder is in its file; load the dictionary into memory to have all of it")]
    Mapped,
    /// A tensor is missing.
    #[error(
        "{path}: expected a tensor {tensor}, found {found}; the folder must hold a crosscoder as dictionary_learning saves it"
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Names present.
        found: String,
    },
    /// A tensor has the wrong shape.
    #[error(
        "{path}: tensor {tensor}: expected shape {expected}, found {found:?}; the file does not belong to this dictionary"
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Shape expected.
        expected: String,
        /// Shape found.
        found: Vec<usize>,
    },
    /// A tensor has a number format that is not read.
    #[error("{path}: tensor {tensor}: expected {expected}, found {found}; convert the file")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Formats read.
        expected: &'static str,
        /// Format found.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "{path}: tensor {tensor}: expected finite numbers, found {value} at index {index}; the dictionary is damaged or its training diverged"
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Flat index of the first such number.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A field of a JSON file disagrees with the weights or is not understood.
    #[error(
        "{path}: field {field}: expected {expected}, found {found}; mend the field or fetch the file that belongs to the weights"
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// Name of the field.
        field: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Numbers handed over do not fit the dictionary.
    #[error(
        "{what}: expected {expected}, found {found}; activations must come from the models that the dictionary was trained on"
    )]
    Input {
        /// What does not fit.
        what: &'static str,
        /// Size or shape expected.
        expected: String,
        /// Size or shape found.
        found: String,
    },
    /// A latent id beyond the dictionary.
    #[error("latent {id} is outside the dictionary, which has {latents} latents (0 to {})", latents.saturating_sub(1))]
    UnknownLatent {
        /// The id.
        id: u32,
        /// Size of the dictionary.
        latents: usize,
    },
    /// A training setting that makes no sense.
    #[error("setting {field}: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Training left the numbers.
    #[error(
        "training step {step}: expected a finite loss, found {loss}; lower the learning rate or check the activations for NaN"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The tensor library refused.
    #[error("the tensor library reports: {0}; if this is memory, encode fewer tokens at a time")]
    Tensor(#[from] candle_core::Error),
    /// Numbers that do not fit together.
    #[error(transparent)]
    Diffing(#[from] diffing::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
