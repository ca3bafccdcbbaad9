//! Sequences on which a latent fires.

use serde::{Deserialize, Serialize};

use crate::TokenInfo;

/// A group of examples: sequences whose largest v lies in a band of the latent's maximum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExampleGroup {
    /// Number of quantile thresholds strictly below the sequence's largest v, 0 (weakest) to 5.
    pub group: u32,
    /// Smallest v of the band (exclusive).
    pub from: f64,
    /// Largest v of the band (inclusive).
    pub to: f64,
    /// Stored examples.
    pub examples: u64,
    /// Sequences of the corpus that fall into the band.
    pub sequences: u64,
}

/// A sequence with the latent's activation at every token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Example {
    /// Number of the sequence in the analysed corpus.
    pub sequence: u64,
    /// Quantile group.
    pub group: u32,
    /// Largest v in the sequence.
    pub max: f64,
    /// Corpus, and the document's own `source` if it names one.
    pub source: String,
    /// The sequence's tokens.
    pub tokens: Vec<TokenInfo>,
    /// v at every token, 0 where inactive.
    pub values: Vec<f32>,
}

/// A page of examples, strongest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExamplesPage {
    /// How many match in all.
    pub total: u64,
    /// Cursor of the next page; `null` at the end.
    pub next: Option<String>,
    /// This page.
    pub examples: Vec<Example>,
}
