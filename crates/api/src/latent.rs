//! Latents: table rows and everything the latent page shows but the examples.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Class of a latent by Δ_norm and the study's cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Decoder in the chat model alone.
    ChatOnly,
    /// Decoder in the base model alone.
    BaseOnly,
    /// Equally long decoders.
    Shared,
    /// Anything else.
    Other,
}

/// What Latent Scaling says of a chat-only latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// ν^ε and ν^r both below their cuts.
    ChatSpecific,
    /// ν^ε fails: the content stays in the base model's error.
    CompleteShrinkage,
    /// ν^r fails: other latents write the content in the base model.
    LatentDecoupling,
    /// Both fail.
    Both,
    /// A ratio is NaN or outside −0.1…2.
    Unreliable,
}

macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in JSON, URLs and the study's database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                match s { $($name => Ok(Self::$variant),)* _ => Err(format!("{s:?} is not one of {}", [$($name),*].join(", "))) }
            }
        }
    };
}
names!(Class { ChatOnly => "chat-only", BaseOnly => "base-only", Shared => "shared", Other => "other" });
names!(Verdict {
    ChatSpecific => "chat-specific", CompleteShrinkage => "complete-shrinkage", LatentDecoupling => "latent-decoupling",
    Both => "both", Unreliable => "unreliable",
});

/// Latent Scaling coefficients β (paper, section on Latent Scaling; closed form): target × model; `None` where the latent never fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Betas {
    /// Target: base residual.
    pub beta_activation_base: Option<f64>,
    /// Target: chat residual.
    pub beta_activation_chat: Option<f64>,
    /// Target: base residual less the decoder bias.
    pub beta_activation_no_bias_base: Option<f64>,
    /// Target: chat residual less the decoder bias.
    pub beta_activation_no_bias_chat: Option<f64>,
    /// Target: base reconstruction.
    pub beta_reconstruction_base: Option<f64>,
    /// Target: chat reconstruction.
    pub beta_reconstruction_chat: Option<f64>,
    /// Target: base error with the latent's own part left in.
    pub beta_error_base: Option<f64>,
    /// Target: chat error with the latent's own part left in.
    pub beta_error_chat: Option<f64>,
}

/// One row of the latent table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatentRow {
    /// Latent id.
    pub id: u32,
    /// Class by Δ_norm.
    pub class: Class,
    /// Never active in the tokens analysed; `null` before analysis.
    pub dead: Option<bool>,
    /// A label computed from ground truth, if any.
    pub label: Option<String>,
    /// For chat-only latents, once Latent Scaling ran.
    pub verdict: Option<Verdict>,
    /// Decoder norm difference, 1 = chat-only, 0 = base-only.
    pub delta_norm: Option<f64>,
    /// ‖d_base‖.
    pub norm_base: f64,
    /// ‖d_chat‖.
    pub norm_chat: f64,
    /// cos(d_base, d_chat).
    pub decoder_cosine: Option<f64>,
    /// ν^ε = β_error_base / β_error_chat.
    pub nu_epsilon: Option<f64>,
    /// ν^r = β_reconstruction_base / β_reconstruction_chat.
    pub nu_r: Option<f64>,
    /// Latent Scaling coefficients.
    #[serde(flatten)]
    pub betas: Betas,
    /// active_tokens / tokens.
    pub frequency: Option<f64>,
    /// Tokens with v > 0.
    pub active_tokens: Option<u64>,
    /// Tokens read, BOS included.
    pub tokens: Option<u64>,
    /// Largest v; 0 if never active.
    pub max_activation: Option<f64>,
    /// Mean v over active tokens; `null` if never active.
    pub mean_activation: Option<f64>,
    /// Active template tokens / active non-BOS tokens.
    pub template_share: Option<f64>,
}

/// Every column of a latent's row, in JSON's order.
pub const LATENT_COLUMNS: &[&str] = &[
    "id",
    "class",
    "dead",
    "label",
    "verdict",
    "delta_norm",
    "norm_base",
    "norm_chat",
    "decoder_cosine",
    "nu_epsilon",
    "nu_r",
    "beta_activation_base",
    "beta_activation_chat",
    "beta_activation_no_bias_base",
    "beta_activation_no_bias_chat",
    "beta_reconstruction_base",
    "beta_reconstruction_chat",
    "beta_error_base",
    "beta_error_chat",
    "frequency",
    "active_tokens",
    "tokens",
    "max_activation",
    "mean_activation",
    "template_share",
];

/// Counts between edges: `counts[i]` values lie in `[edges[i], edges[i+1])`, the last bin closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Histogram {
    /// One more than counts.
    pub edges: Vec<f64>,
    /// Values per bin.
    pub counts: Vec<u64>,
}

/// A token that a decoder row writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LensToken {
    /// Token id.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// Direct effect on the token's logit, before the final soft cap: ⟨(1+γ)⊙d, E[token]⟩.
    pub value: f64,
}

/// The logit lens of one decoder row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogitLens {
    /// Most promoted tokens, strongest first.
    pub top: Vec<LensToken>,
    /// Most suppressed tokens, strongest first.
    pub bottom: Vec<LensToken>,
}

/// A latent whose chat decoder row points the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Neighbour {
    /// Latent id.
    pub id: u32,
    /// Its class.
    pub class: Class,
    /// Its label, if any.
    pub label: Option<String>,
    /// Cosine of the chat decoder rows.
    pub cosine: f64,
}

/// A latent of the opposite class whose own decoder row points the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Twin {
    /// The latent, and the cosine of the chat-only one's chat row with the base-only one's base row.
    #[serde(flatten)]
    pub near: Neighbour,
    /// How the two fire on the same tokens; `null` if that was not computed.
    pub joint: Option<crate::JointActivity>,
}

/// A latent that fires together with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Correlated {
    /// Latent id.
    pub id: u32,
    /// Its class.
    pub class: Class,
    /// Its label, if any.
    pub label: Option<String>,
    /// Pearson correlation of v over all tokens.
    pub correlation: f64,
    /// Tokens on which both fire.
    pub together: u64,
    /// How the two fire on the same tokens; `null` but for the closest partner of a chat-only latent.
    pub joint: Option<crate::JointActivity>,
}

/// A latent's activity on a part of the tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityShare {
    /// What divides the tokens: `corpus`, or `role` (`bos`, `template`, `user`, `assistant`, `text`).
    pub by: String,
    /// The part's name.
    pub part: String,
    /// Tokens of the part with v > 0.
    pub active_tokens: u64,
    /// Tokens of the part.
    pub tokens: u64,
    /// Largest v there; 0 if never active.
    pub max_activation: f64,
    /// Mean v over its active tokens; `null` if never active.
    pub mean_activation: Option<f64>,
}

/// A latent's decoder rows as they act on the residual stream after the study's layer: of unit `raw` in an intervention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DecoderRows {
    /// Latent id.
    pub id: u32,
    /// Row of the base model.
    pub base: Vec<f32>,
    /// Row of the chat model.
    pub chat: Vec<f32>,
}

/// Everything of the latent page but the examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatentDetail {
    /// The numbers of the table.
    #[serde(flatten)]
    pub row: LatentRow,
    /// Histogram of v over active tokens; `null` before analysis.
    pub histogram: Option<Histogram>,
    /// Logit lens of the base decoder row, through the base model's unembedding; `null` before analysis.
    pub lens_base: Option<LogitLens>,
    /// Logit lens of the chat decoder row, through the chat model's unembedding; `null` before analysis.
    pub lens_chat: Option<LogitLens>,
    /// Nearest latents by chat decoder row.
    pub neighbours: Vec<Neighbour>,
    /// Latents of the opposite class (chat-only, base-only) whose own decoder row has a cosine above 0.9 with this one's.
    pub twins: Vec<Twin>,
    /// Latents that fire together with this one, most correlated first.
    pub correlated: Vec<Correlated>,
    /// Activity by corpus, by template and role, most general first; empty before analysis.
    pub shares: Vec<ActivityShare>,
    /// Activity on the tokens of chats by group; empty before analysis.
    pub template: Vec<crate::TemplateActivity>,
    /// Fit of Latent Scaling; empty before analysis.
    pub fits: Vec<crate::ScalingFit>,
    /// The same by strength of the activation, from weak to strong, for the latents that this was computed for: chat-only ones and the
    /// shared ones that they are compared with.
    pub verification: Vec<crate::ScalingBucket>,
    /// Example groups and how many examples each holds.
    pub groups: Vec<crate::ExampleGroup>,
    /// Scores of this latent against ground truth, if the study has any.
    pub concepts: Vec<crate::ConceptScore>,
}
