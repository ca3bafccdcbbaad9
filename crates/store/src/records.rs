//! Rows handed to the writer that are not wire types already.

use api::{ExampleGroup, LogitLens, ModelName, TokenKind};
use diffing::LogHistogram;
use serde::{Deserialize, Serialize};

/// Histogram of a latent's v over the tokens where it is active.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramRecord {
    /// Latent id.
    pub latent: u32,
    /// Its histogram.
    pub histogram: LogHistogram,
}

/// The logit lens of one decoder row. Texts are taken from the token table, not from here.
#[derive(Clone, Debug, PartialEq)]
pub struct LensRecord {
    /// Latent id.
    pub latent: u32,
    /// Whose decoder row and unembedding.
    pub model: ModelName,
    /// The tokens it writes.
    pub lens: LogitLens,
}

/// The latents whose chat decoder rows are nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighbourRecord {
    /// Latent id.
    pub latent: u32,
    /// Latent and cosine, nearest first.
    pub neighbours: Vec<(u32, f64)>,
}

/// A sequence of the analysed corpus that some example refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceRecord {
    /// Its number in the corpus.
    pub sequence: u64,
    /// Corpus, and the document's own source.
    pub source: String,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// What each token is.
    pub kinds: Vec<TokenKind>,
}

/// A latent on a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleRecord {
    /// Latent id.
    pub latent: u32,
    /// Quantile group.
    pub group: u32,
    /// The sequence's number.
    pub sequence: u64,
    /// Positions where the latent is active, rising.
    pub positions: Vec<u32>,
    /// v at these positions.
    pub values: Vec<f32>,
}

/// A quantile group of a latent.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRecord {
    /// Latent id.
    pub latent: u32,
    /// Its band and counts.
    pub group: ExampleGroup,
}

pub(crate) fn kind_code(kind: TokenKind) -> u8 {
    match kind {
        TokenKind::Bos => 0,
        TokenKind::Template => 1,
        TokenKind::Content => 2,
    }
}

pub(crate) fn kind_of(code: u8) -> Option<TokenKind> {
    match code {
        0 => Some(TokenKind::Bos),
        1 => Some(TokenKind::Template),
        2 => Some(TokenKind::Content),
        _ => None,
    }
}

/// Little-endian bytes of 32-bit values.
pub(crate) fn bytes<T: Copy>(values: &[T], encode: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|&value| encode(value)).collect()
}

/// The 32-bit values of little-endian bytes; `None` when their number is not a multiple of four.
pub(crate) fn words<T>(bytes: &[u8], decode: impl Fn([u8; 4]) -> T) -> Option<Vec<T>> {
    let (words, rest) = bytes.as_chunks::<4>();
    rest.is_empty()
        .then(|| words.iter().map(|&word| decode(word)).collect())
}
