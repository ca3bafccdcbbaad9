//! What `analyse` is asked for, and what it says it did.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use api::ClassCounts;
use serde::{Deserialize, Serialize};

use crate::{DeviceChoice, EffectOptions, EffectsSummary, ShardOf};

/// Activations that the sample of tokens holds: with what the search for pairs needs, about half a gigabyte.
const CORRELATED_SAMPLE: usize = 1 << 24;

/// A part of the analysis. Norms, classes and cosines are always computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nearest latents by chat decoder row, and twins; needs the weights alone.
    Neighbours,
    /// The nearest latent of each other dictionary of the study; needs the weights alone.
    Matches,
    /// Logit lens of both decoders; needs the models.
    LogitLens,
    /// Latent Scaling; needs activations.
    Scaling,
    /// Latent Scaling with random directions and other latents' directions, for comparison; needs activations.
    Baselines,
    /// Frequency, maximum, mean, template share and histogram, and activity by corpus and role; needs activations.
    Statistics,
    /// Examples by quantile, and statistics of the chat template; needs activations, models and the maxima of the statistics.
    Examples,
    /// Latents that fire together; needs activations.
    Correlated,
    /// How Latent Scaling's coefficients fit strong and weak activations, for the chat-only latents and as many shared ones; needs
    /// activations, and starts from coefficients and maxima.
    Verification,
    /// How twins fire on the same tokens, and every chat-only latent with the one that fires most closely with it; needs activations, and
    /// starts from the maxima.
    Joint,
    /// Causal effects of sets of latents; needs the models and dialogues, and ranks latents by Latent Scaling.
    Effects,
}

impl Step {
    /// Every step, in the order of running.
    pub const ALL: [Self; 11] = [
        Self::Neighbours,
        Self::Matches,
        Self::LogitLens,
        Self::Scaling,
        Self::Baselines,
        Self::Statistics,
        Self::Examples,
        Self::Correlated,
        Self::Verification,
        Self::Joint,
        Self::Effects,
    ];

    /// Steps that fill in the rows that [`Step::AFTER_MERGE`] start from.
    pub(super) const FILL_ROWS: [Self; 2] = [Self::Scaling, Self::Statistics];

    /// Steps that start from the numbers over all activations: shares of them can be made once those are merged.
    pub(super) const AFTER_MERGE: [Self; 4] = [
        Self::Examples,
        Self::Verification,
        Self::Joint,
        Self::Effects,
    ];

    /// Whether shares of the step can be made.
    pub(super) fn is_shared(self) -> bool {
        !matches!(self, Self::Neighbours | Self::Matches | Self::LogitLens)
    }

    /// The step's name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::Matches => "matches",
            Self::LogitLens => "logit-lens",
            Self::Scaling => "scaling",
            Self::Baselines => "baselines",
            Self::Statistics => "statistics",
            Self::Examples => "examples",
            Self::Correlated => "correlated",
            Self::Verification => "verification",
            Self::Joint => "joint",
            Self::Effects => "effects",
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|step| step.as_str() == name)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("{name:?} is not a step; the steps are {names}")
            })
    }
}

/// Which latents Latent Scaling is computed for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaledLatents {
    /// Every one.
    #[default]
    All,
    /// The chat-only ones and as many shared ones, as the paper does.
    Compared,
    /// These ids.
    Ids(BTreeSet<u32>),
}

impl FromStr for ScaledLatents {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "compared" => Ok(Self::Compared),
            _ => {
                let ids = text.split(',').map(|id| id.trim().parse());
                ids.collect::<std::result::Result<_, _>>()
                    .map(Self::Ids)
                    .map_err(|_| {
                        format!(
                            "{text:?} names no latents; write all, compared, or ids such as 12,345"
                        )
                    })
            }
        }
    }
}

/// What `analyse` needs.
#[derive(Clone, Debug)]
pub struct AnalyseOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Slug of the dictionary.
    pub dictionary: String,
    /// Steps to run; empty: all. What other steps wrote for the same dictionary and activations stays.
    pub steps: Vec<Step>,
    /// Examples per latent and quantile group.
    pub examples_per_group: usize,
    /// Seed of the choice of examples and of the baselines' directions.
    pub seed: u64,
    /// Tokens named at each end of a logit lens.
    pub lens_tokens: usize,
    /// Nearest latents named.
    pub neighbours: usize,
    /// Latent Scaling takes activations below this share of the latent's maximum for 0; needs the maxima of an earlier run.
    pub jump_threshold: Option<f32>,
    /// Latents that Latent Scaling is computed for; what an earlier run found out about others stays, and one that was never scaled has no
    /// verdict.
    pub scaled: ScaledLatents,
    /// Whether the verification counts activations below a twentieth of a latent's maximum apart.
    pub noise_bucket: bool,
    /// Activations held to find latents that fire together; where there are more, the pairs that these name are compared in another pass.
    pub correlated_sample: usize,
    /// Part of the activations and dialogues to read: writes a partial file, which `merge` puts together with the others.
    pub shard: Option<ShardOf>,
    /// Seconds between two checkpoints of a pass; 0 writes one as often as possible.
    pub checkpoint_seconds: u64,
    /// Dialogues and sets of the causal effects.
    pub effects: EffectOptions,
    /// Where dictionary and models run.
    pub device: DeviceChoice,
    /// Bytes of the host's memory to plan with; what is free by default.
    pub memory: Option<u64>,
}

impl Default for AnalyseOptions {
    fn default() -> Self {
        Self {
            study: PathBuf::new(),
            dictionary: String::new(),
            steps: Vec::new(),
            examples_per_group: 20,
            seed: 0,
            lens_tokens: 10,
            neighbours: 10,
            jump_threshold: None,
            scaled: ScaledLatents::All,
            noise_bucket: false,
            correlated_sample: CORRELATED_SAMPLE,
            shard: None,
            checkpoint_seconds: 60,
            effects: EffectOptions::default(),
            device: DeviceChoice::Auto,
            memory: None,
        }
    }
}

/// What `analyse` did.
#[derive(Clone, Debug, Serialize)]
pub struct AnalyseSummary {
    /// Slug of the dictionary.
    pub dictionary: String,
    /// The part of the activations that was read; `None` for all.
    pub shard: Option<ShardOf>,
    /// Number of latents.
    pub latents: usize,
    /// Tokens read; `None` without activations.
    pub tokens: Option<u64>,
    /// Latents per class, verdict, and dead ones.
    pub counts: ClassCounts,
    /// Causal effects, where this run measured them.
    pub effects: Option<EffectsSummary>,
    /// Steps left out, and why.
    pub skipped: Vec<String>,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for AnalyseSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |counts: &mut dyn Iterator<Item = (&'static str, u64)>| {
            let counts: Vec<String> = counts
                .map(|(name, count)| format!("{count} {name}"))
                .collect();
            counts.join(", ")
        };
        let classes = self.counts.classes.iter();
        write!(
            f,
            "analysed {}: {} latents ({})",
            self.dictionary,
            self.latents,
            listed(&mut classes.map(|(class, count)| (class.as_str(), *count)))
        )?;
        if let Some(dead) = self.counts.dead {
            write!(f, ", {dead} dead")?;
        }
        if let Some(tokens) = self.tokens {
            write!(f, ", over {tokens} tokens")?;
        }
        if let Some(shard) = self.shard {
            write!(f, ", shard {shard}")?;
        }
        writeln!(f)?;
        if !self.counts.verdicts.is_empty() {
            let verdicts = self.counts.verdicts.iter();
            let verdicts = listed(&mut verdicts.map(|(verdict, count)| (verdict.as_str(), *count)));
            writeln!(f, "the chat-only latents by Latent Scaling: {verdicts}")?;
        }
        if let Some(effects) = &self.effects {
            write!(f, "{effects}")?;
        }
        crate::write_next(f, &self.next)
    }
}
