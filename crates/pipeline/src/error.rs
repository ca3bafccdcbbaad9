//! What can go wrong offline, each as a sentence with its remedy.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A step that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The study's manifest or database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A checkpoint, tokenizer or forward pass.
    #[error(transparent)]
    Model(#[from] gemma::Error),
    /// A dictionary or its training.
    #[error(transparent)]
    Dictionary(#[from] crosscoder::Error),
    /// Sizes that do not fit together.
    #[error(transparent)]
    Numbers(#[from] diffing::Error),
    /// The tensor library.
    #[error("the tensor library failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was tried, for instance `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file whose content cannot be used.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and found, and the remedy.
        message: String,
    },
    /// Parts that do not fit together, or an option out of range: a sentence.
    #[error("{0}")]
    Mismatch(String),
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull => {
            "; make room and run the same command again, finished parts are kept"
        }
        _ => "",
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File {
            path: path.to_path_buf(),
            message: message.into(),
        }
    }
}
