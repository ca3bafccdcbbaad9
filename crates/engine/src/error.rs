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
    /// Whoever asked has left.
    #[error("nobody waits for the answer any more")]
    Abandoned,
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
    /// A GPU had no room for what a request, or the loading, needed.
    #[error(
        "the GPU has no memory left: {0}; ask for a shorter prompt, fewer lanes or fewer tokens, or start the server with --precision bf16, a smaller --prompt-cache or --base-device cpu"
    )]
    DeviceMemory(String),
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
    /// The same error, or [`Error::DeviceMemory`] where a driver's words say that this is what it is: the tensor library hands on what the
    /// driver says as text.
    pub(crate) fn told_clearly(self) -> Self {
        let from_library = matches!(
            self,
            Self::Gemma(_) | Self::Crosscoder(_) | Self::Tensor(_) | Self::Computation(_)
        );
        let said = self.to_string();
        let full = ["OUT_OF_MEMORY", "out of memory", "ALLOC_FAILED"];
        if from_library && full.iter().any(|words| said.contains(words)) {
            // The first line: what follows may be a list of calls.
            let line = said.lines().next().unwrap_or_default();
            return Self::DeviceMemory(line.into());
        }
        self
    }

    /// An [`Error::Invalid`] from a sentence.
    pub(crate) fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn a_full_gpu_is_told_from_other_faults() {
        let driver = |words: &str| candle_core::Error::Msg(words.into());
        for words in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: frames",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
        ] {
            for error in [
                Error::Tensor(driver(words)),
                Error::Gemma(gemma::Error::Tensor(driver(words))),
            ] {
                let told = error.told_clearly();
                assert!(matches!(told, Error::DeviceMemory(_)), "{told}");
                let told = told.to_string();
                assert!(told.contains("shorter prompt") && !told.contains("frames"));
            }
        }
        let other = Error::Tensor(driver("shape mismatch")).told_clearly();
        assert!(matches!(other, Error::Tensor(_)));
        let said = Error::invalid("the words out of memory cannot be encoded").told_clearly();
        assert!(matches!(said, Error::Invalid(_)));
    }
}
