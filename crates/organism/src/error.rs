//! What can go wrong while a pair is made, each a sentence with its remedy.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}; check that the folder exists, is writable and has room", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}; delete it to start this stage anew", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The tokenizer could not be trained.
    #[error("training the tokenizer: {problem}")]
    Tokenizer {
        /// What is wrong.
        problem: String,
    },
    /// The loss left the range of numbers.
    #[error(
        "{stage} training, step {step}: the loss is {loss}; start again with a lower peak rate"
    )]
    Diverged {
        /// The stage.
        stage: &'static str,
        /// The step.
        step: usize,
        /// The loss found.
        loss: f32,
    },
    /// A gate was not passed.
    #[error(
        "{what} is {found:.3}, expected at least {expected:.3}: this pair is not worth continuing; build with another --seed or train longer"
    )]
    Gate {
        /// What was measured.
        what: String,
        /// Its value.
        found: f64,
        /// The bar.
        expected: f64,
    },
    /// The study was not made by this crate, or lacks a part.
    #[error("{}: {problem}", path.display())]
    Study {
        /// The study or a part of it.
        path: PathBuf,
        /// What is wrong, with the remedy.
        problem: String,
    },
    /// The models' own fault.
    #[error(transparent)]
    Gemma(#[from] gemma::Error),
    /// The pipeline's own fault.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// A tensor operation failed.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}
