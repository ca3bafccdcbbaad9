//! How often, how strongly and on which tokens each latent fires.

use api::TokenKind;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, same};
use crate::histogram::LogHistogram;

/// One latent's counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    active: u64,
    active_template: u64,
    active_not_bos: u64,
    max: f32,
    sum: f64,
    histogram: LogHistogram,
}

/// Statistics of every latent's scaled activation v over the tokens read, BOS included; mergeable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentStatistics {
    tokens: u64,
    latents: Vec<Counts>,
}

/// What the statistics say of one latent.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentSummary {
    /// Tokens read, BOS included.
    pub tokens: u64,
    /// Tokens with v > 0.
    pub active_tokens: u64,
    /// active_tokens / tokens; `None` if no token was read.
    pub frequency: Option<f64>,
    /// Never active in the tokens read; `None` if no token was read.
    pub dead: Option<bool>,
    /// Largest v; 0 if never active.
    pub max_activation: f64,
    /// Mean v over active tokens; `None` if never active.
    pub mean_activation: Option<f64>,
    /// Active template tokens / active tokens other than BOS; `None` if there are none.
    pub template_share: Option<f64>,
}

impl LatentStatistics {
    /// Nothing read yet, for a dictionary of this many latents.
    pub fn new(latents: usize) -> Self {
        Self {
            tokens: 0,
            latents: vec![Counts::default(); latents],
        }
    }

    /// Adds one token with its active latents as (id, v). Entries with v ≤ 0 are not active and not counted.
    ///
    /// # Errors
    /// If an id is outside the dictionary; the token may then be counted in part.
    pub fn add_token(
        &mut self,
        kind: TokenKind,
        active: impl IntoIterator<Item = (u32, f32)>,
    ) -> Result<()> {
        self.tokens += 1;
        let latents = self.latents.len();
        for (id, v) in active {
            let counts = self
                .latents
                .get_mut(id as usize)
                .ok_or(Error::UnknownLatent { id, latents })?;
            if v > 0.0 {
                counts.active += 1;
                counts.active_template += u64::from(kind == TokenKind::Template);
                counts.active_not_bos += u64::from(kind != TokenKind::Bos);
                counts.max = counts.max.max(v);
                counts.sum += f64::from(v);
                counts.histogram.add(v);
            }
        }
        Ok(())
    }

    /// Adds another part's statistics.
    ///
    /// # Errors
    /// If the dictionaries differ in size.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same("latents", self.latents.len(), other.latents.len())?;
        self.tokens += other.tokens;
        for (here, there) in self.latents.iter_mut().zip(&other.latents) {
            here.active += there.active;
            here.active_template += there.active_template;
            here.active_not_bos += there.active_not_bos;
            here.max = here.max.max(there.max);
            here.sum += there.sum;
            here.histogram.merge(&there.histogram);
        }
        Ok(())
    }

    /// Number of latents.
    pub fn len(&self) -> usize {
        self.latents.len()
    }

    /// Whether the dictionary has no latents.
    pub fn is_empty(&self) -> bool {
        self.latents.is_empty()
    }

    /// Tokens read, BOS included.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Largest v of every latent, 0 where never active.
    pub fn maxima(&self) -> Vec<f32> {
        self.latents.iter().map(|c| c.max).collect()
    }

    /// One latent's numbers; `None` outside the dictionary.
    pub fn summary(&self, latent: u32) -> Option<LatentSummary> {
        let c = self.latents.get(latent as usize)?;
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Some(LatentSummary {
            tokens: self.tokens,
            active_tokens: c.active,
            frequency: share(c.active, self.tokens),
            dead: (self.tokens > 0).then_some(c.active == 0),
            max_activation: f64::from(c.max),
            mean_activation: (c.active > 0).then(|| c.sum / c.active as f64),
            template_share: share(c.active_template, c.active_not_bos),
        })
    }

    /// Histogram of one latent's v over active tokens; `None` outside the dictionary.
    pub fn histogram(&self, latent: u32) -> Option<api::Histogram> {
        Some(self.latents.get(latent as usize)?.histogram.to_histogram())
    }
}
