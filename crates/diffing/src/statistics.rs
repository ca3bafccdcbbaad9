//! Statistics of every latent's activations over a corpus, divided by corpus and by what the tokens are.

use api::TokenKind;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, same};
use crate::histogram::LogHistogram;

/// Who speaks a token, as the chat template marks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Speaker {
    /// Nobody: BOS, the template itself, text without turns.
    #[default]
    None,
    /// The user.
    User,
    /// The assistant; the end of its turn belongs to it.
    Assistant,
}

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Number of its corpus.
    pub corpus: usize,
    /// What it is to the template.
    pub kind: TokenKind,
    /// Who speaks it.
    pub speaker: Speaker,
}

/// Names of the roles that divide the tokens; every token has one. `text` is content outside chat turns.
pub const ROLES: [&str; 5] = ["bos", "template", "user", "assistant", "text"];
const BOS: usize = 0;
const TEMPLATE: usize = 1;

impl Place {
    /// Index into [`ROLES`].
    fn role(self) -> usize {
        match (self.kind, self.speaker) {
            (TokenKind::Bos, _) => BOS,
            (TokenKind::Template, _) => TEMPLATE,
            (TokenKind::Content, Speaker::User) => 2,
            (TokenKind::Content, Speaker::Assistant) => 3,
            (TokenKind::Content, Speaker::None) => 4,
        }
    }
}

/// One latent on one part of the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    active: u64,
    max: f32,
    sum: f64,
}

impl Cell {
    fn merge(&mut self, other: &Self) {
        self.active += other.active;
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    fn mean(&self) -> Option<f64> {
        (self.active > 0).then(|| self.sum / self.active as f64)
    }
}

/// Statistics of every latent's scaled activation v over the tokens read, BOS included; mergeable.
///
/// The parts are the corpora, then the [`ROLES`]: a token counts once in either division.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentStatistics {
    corpora: usize,
    /// Tokens of every part.
    tokens: Vec<u64>,
    /// [latents][parts]
    cells: Vec<Cell>,
    histograms: Vec<LogHistogram>,
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

/// One latent on one part of the tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartSummary {
    /// Tokens of the part with v > 0.
    pub active_tokens: u64,
    /// Largest v there; 0 if never active.
    pub max_activation: f64,
    /// Mean v over its active tokens; `None` if never active.
    pub mean_activation: Option<f64>,
}

impl LatentStatistics {
    /// Nothing read yet, for a dictionary of this many latents and this many corpora.
    pub fn new(latents: usize, corpora: usize) -> Self {
        let parts = corpora + ROLES.len();
        Self {
            corpora,
            tokens: vec![0; parts],
            cells: vec![Cell::default(); latents * parts],
            histograms: vec![LogHistogram::default(); latents],
        }
    }

    /// Adds one token with its active latents as (id, v). Entries with v ≤ 0 are not active and not counted.
    ///
    /// # Errors
    /// If the corpus is not one of those announced, or an id is outside the dictionary; the token may then be counted in part.
    pub fn add_token(
        &mut self,
        place: Place,
        active: impl IntoIterator<Item = (u32, f32)>,
    ) -> Result<()> {
        if place.corpus >= self.corpora {
            return Err(Error::UnknownCorpus {
                number: place.corpus,
                corpora: self.corpora,
            });
        }
        let divided = [place.corpus, self.corpora + place.role()];
        for part in divided {
            if let Some(tokens) = self.tokens.get_mut(part) {
                *tokens += 1;
            }
        }
        let (latents, parts) = (self.len(), self.tokens.len());
        for (id, v) in active {
            let histogram = self
                .histograms
                .get_mut(id as usize)
                .ok_or(Error::UnknownLatent { id, latents })?;
            if v > 0.0 {
                histogram.add(v);
                for part in divided {
                    if let Some(cell) = self.cells.get_mut(id as usize * parts + part) {
                        cell.active += 1;
                        cell.max = cell.max.max(v);
                        cell.sum += f64::from(v);
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds another part's statistics.
    ///
    /// # Errors
    /// If the dictionaries or the corpora differ in number.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same("latents", self.len(), other.len())?;
        same("corpora", self.corpora, other.corpora)?;
        for (here, there) in self.tokens.iter_mut().zip(&other.tokens) {
            *here += there;
        }
        for (here, there) in self.cells.iter_mut().zip(&other.cells) {
            here.merge(there);
        }
        for (here, there) in self.histograms.iter_mut().zip(&other.histograms) {
            here.merge(there);
        }
        Ok(())
    }

    /// Number of latents.
    pub fn len(&self) -> usize {
        self.histograms.len()
    }

    /// Whether the dictionary has no latents.
    pub fn is_empty(&self) -> bool {
        self.histograms.is_empty()
    }

    /// Tokens read, BOS included.
    pub fn tokens(&self) -> u64 {
        self.tokens.iter().skip(self.corpora).sum()
    }

    /// Tokens of every part: the corpora in order, then the [`ROLES`].
    pub fn part_tokens(&self) -> &[u64] {
        &self.tokens
    }

    /// Largest v of every latent, 0 where never active.
    pub fn maxima(&self) -> Vec<f32> {
        (0..self.len())
            .map(|latent| self.whole(latent).max)
            .collect()
    }

    /// One latent's numbers; `None` outside the dictionary.
    pub fn summary(&self, latent: u32) -> Option<LatentSummary> {
        let roles = self.parts(latent as usize)?.get(self.corpora..)?;
        let active_of = |role: usize| roles.get(role).map_or(0, |cell| cell.active);
        let whole = self.whole(latent as usize);
        let tokens = self.tokens();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Some(LatentSummary {
            tokens,
            active_tokens: whole.active,
            frequency: share(whole.active, tokens),
            dead: (tokens > 0).then_some(whole.active == 0),
            max_activation: f64::from(whole.max),
            mean_activation: whole.mean(),
            template_share: share(active_of(TEMPLATE), whole.active - active_of(BOS)),
        })
    }

    /// One latent on every part, in the order of [`LatentStatistics::part_tokens`]; empty outside the dictionary.
    pub fn shares(&self, latent: u32) -> Vec<PartSummary> {
        self.parts(latent as usize)
            .unwrap_or_default()
            .iter()
            .map(|cell| PartSummary {
                active_tokens: cell.active,
                max_activation: f64::from(cell.max),
                mean_activation: cell.mean(),
            })
            .collect()
    }

    /// Histogram of one latent's v over active tokens; `None` outside the dictionary.
    pub fn histogram(&self, latent: u32) -> Option<&LogHistogram> {
        self.histograms.get(latent as usize)
    }

    fn parts(&self, latent: usize) -> Option<&[Cell]> {
        let parts = self.tokens.len();
        self.cells.get(latent * parts..(latent + 1) * parts)
    }

    /// Every token has one role.
    fn whole(&self, latent: usize) -> Cell {
        let mut whole = Cell::default();
        for cell in self
            .parts(latent)
            .unwrap_or_default()
            .iter()
            .skip(self.corpora)
        {
            whole.merge(cell);
        }
        whole
    }
}
