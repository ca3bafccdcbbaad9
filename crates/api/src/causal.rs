//! `GET /dictionaries/{dict}/effects`: what moving sets of latents from base to chat does to the chat model's predictions.

use serde::{Deserialize, Serialize};

/// Causal effects over dialogues under teacher forcing (method of the paper's section on causality).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CausalEffects {
    /// Dialogues run.
    pub dialogues: u64,
    /// Where the dialogues come from.
    pub source: String,
    /// Latents from which halves and random sets are drawn.
    pub candidates: u64,
    /// The interventions, in the order of showing.
    pub setups: Vec<CausalSetup>,
}

/// One intervention on every dialogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CausalSetup {
    /// Stable name: `none`, `all`, `error`, `template`, `chat_only`, `delta_norm_best`, `delta_norm_worst`, `scaling_best`,
    /// `scaling_worst`, `random_chat_only`, `random_any`, `base`, `chat`, `chat_to_base`, `template_base`.
    pub name: String,
    /// What it does, in words.
    pub description: String,
    /// Latents moved; `null` where the intervention names none.
    pub latents: Option<u64>,
    /// Random sets pooled; 1 where nothing is random.
    pub sets: u64,
    /// Its measures.
    pub measures: Vec<CausalMeasure>,
}

/// A number over all tokens of a scope, token-weighted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CausalMeasure {
    /// Which answer tokens.
    pub scope: CausalScope,
    /// What is measured.
    pub metric: CausalMetric,
    /// Mean over tokens; pooled over random sets.
    pub mean: f64,
    /// Unbiased variance, within and between random sets; `null` for fewer than two tokens.
    pub variance: Option<f64>,
    /// Tokens; of random sets, those of all sets together.
    pub count: u64,
    /// Half the width of the 95 % interval of the mean: 1.96·√(variance / count); `null` without a variance.
    pub half_width: Option<f64>,
}

/// Which answer tokens are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CausalScope {
    /// Every answer token.
    All,
    /// The first ten positions of each answer but for template tokens: "first nine" of the paper.
    First,
    /// The rest of `all`.
    Rest,
}

impl CausalScope {
    /// Every scope, in the order of showing.
    pub const ALL: [Self; 3] = [Self::All, Self::First, Self::Rest];

    /// Its name in JSON and in the study's database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::First => "first",
            Self::Rest => "rest",
        }
    }
}

/// What is measured at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CausalMetric {
    /// KL(P_chat ‖ P_edited) in nats.
    KlFromChat,
    /// KL(P_base ‖ P_edited) in nats.
    KlFromBase,
    /// Cross-entropy of the true next token.
    Loss,
    /// Cross-entropy of the chat model's most probable token.
    LossToChat,
}

impl CausalMetric {
    /// Every metric, in the order of showing.
    pub const ALL: [Self; 4] = [
        Self::KlFromChat,
        Self::KlFromBase,
        Self::Loss,
        Self::LossToChat,
    ];

    /// Its name in JSON and in the study's database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KlFromChat => "kl_from_chat",
            Self::KlFromBase => "kl_from_base",
            Self::Loss => "loss",
            Self::LossToChat => "loss_to_chat",
        }
    }
}

impl CausalSetup {
    /// One of its measures.
    pub fn measure(&self, scope: CausalScope, metric: CausalMetric) -> Option<&CausalMeasure> {
        self.measures
            .iter()
            .find(|measure| measure.scope == scope && measure.metric == metric)
    }
}
