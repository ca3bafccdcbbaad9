//! What can be wrong with numbers handed to this crate.

/// A mistake in the shape or content of the numbers handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two things that must have the same size do not.
    #[error(
        "{what}: expected {expected}, found {found}; both must come from the same dictionary and models"
    )]
    Size {
        /// What was counted.
        what: &'static str,
        /// Size expected.
        expected: usize,
        /// Size found.
        found: usize,
    },
    /// A latent id beyond the dictionary.
    #[error("latent {id} is outside the dictionary, which has {latents} latents (0 to {})", latents.saturating_sub(1))]
    UnknownLatent {
        /// The id.
        id: u32,
        /// Size of the dictionary.
        latents: usize,
    },
    /// A corpus that was not announced.
    #[error("a token of corpus {number} came where {corpora} corpora are read (0 to {}); the table of contents does not fit its shards", corpora.saturating_sub(1))]
    UnknownCorpus {
        /// Its number.
        number: usize,
        /// How many there are.
        corpora: usize,
    },
    /// Two samplers that were set up differently cannot be merged.
    #[error(
        "samples cannot be merged: their {what} differ; sample every shard with the same seed, size and maxima"
    )]
    Setup {
        /// What differs.
        what: &'static str,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Refuses a size other than the expected one.
pub(crate) fn same(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Size {
            what,
            expected,
            found,
        })
    }
}
