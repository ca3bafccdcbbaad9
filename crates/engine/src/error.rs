//! What can go wrong in the engine; every error is a sentence for the person who asked.

/// An error of the engine. The variants say whose fault it is, so that a server can choose a status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request asks for something impossible; the sentence names it and the remedy.
    #[error("{0}")]
    Invalid(String),
    /// No dictionary of this name is loaded.
    #[error("there is no dictionary {slug:?}; this study has {known}")]
    UnknownDictionary {
        /// Name asked for.
        slug: String,
        /// Names that exist.
        known: String,
    },
    /// The queue is full.
    #[error("{waiting} requests are waiting already, no more are accepted; try again shortly")]
    Busy {
        /// Length of the queue.
        waiting: usize,
    },
    /// The weights are still being read.
    #[error("the models are loading ({:.0} % read); try again shortly", fraction * 100.0)]
    Loading {
        /// Share of the weights read, 0 to 1.
        fraction: f32,
    },
    /// The weights could not be loaded.
    #[error("the models could not be loaded: {0}")]
    Failed(String),
    /// The engine is ending.
    #[error("the server is ending and takes no more prompts")]
    Stopping,
    /// A check before loading found a fault.
    #[error("{0}")]
    Check(String),
    /// What is to be loaded does not fit into memory.
    #[error(
        "the models do not fit: {shortage}; start with {nearest}, or with --memory SIZE to plan for more than is free now\n{plan}"
    )]
    Memory {
        /// What is short where.
        shortage: String,
        /// Options with which it fits.
        nearest: String,
        /// The plan that does not.
        plan: String,
    },
    /// A request failed in the middle of its computation; others are not touched.
    #[error("the computation failed: {0}")]
    Computation(String),
    /// A model file or a model's computation.
    #[error(transparent)]
    Gemma(#[from] gemma::Error),
    /// A dictionary file or a dictionary's computation.
    #[error(transparent)]
    Crosscoder(#[from] crosscoder::Error),
    /// A tensor operation.
    #[error("the computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// Result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Invalid`] from a sentence.
    pub(crate) fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }
}
