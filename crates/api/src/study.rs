//! `GET /study`: what is loaded, what is available and why not.

use serde::{Deserialize, Serialize};

use crate::{Class, Verdict};

/// Cuts of Δ_norm that make the classes; closed intervals. The defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ClassCuts {
    /// chat-only: Δ_norm at least this.
    pub chat_only: f64,
    /// base-only: Δ_norm at most this.
    pub base_only: f64,
    /// shared: from here …
    pub shared_from: f64,
    /// … to here.
    pub shared_to: f64,
}

impl Default for ClassCuts {
    fn default() -> Self {
        Self {
            chat_only: 0.9,
            base_only: 0.1,
            shared_from: 0.4,
            shared_to: 0.6,
        }
    }
}

/// A capability and, where it is missing, the reason and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Availability {
    /// Whether it can be used now.
    pub available: bool,
    /// Why not, and what to do; `null` when available.
    pub reason: Option<String>,
}

/// One of the two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelInfo {
    /// Folder name or hub id.
    pub name: String,
    /// Hub revision, if named.
    pub revision: Option<String>,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Vocabulary size.
    pub vocab_size: usize,
    /// Longest sequence.
    pub context: usize,
    /// Number of parameters.
    pub parameters: u64,
}

/// Latents per class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClassCounts {
    /// Class and its count, in the order of [`Class::ALL`].
    pub classes: Vec<(Class, u64)>,
    /// Verdict and its count among chat-only latents; empty before analysis.
    pub verdicts: Vec<(Verdict, u64)>,
    /// Dead latents; `null` before analysis.
    pub dead: Option<u64>,
}

/// How a dictionary was trained and how well it reconstructs, on validation tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TrainingSummary {
    /// Fraction of variance explained, base and chat: 1 − residual variance / variance.
    pub fve: Option<[f64; 2]>,
    /// Mean number of active latents per token.
    pub l0: Option<f64>,
    /// Share of latents never active.
    pub dead_share: Option<f64>,
    /// Tokens seen in training.
    pub tokens: Option<u64>,
    /// Steps.
    pub steps: Option<u64>,
    /// Hyper-parameters worth showing, name and value.
    pub settings: Vec<(String, String)>,
}

/// How well a latent tells a concept's prompts from others, on held-out prompts with known truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConceptScore {
    /// The concept, for instance `harm`.
    pub concept: String,
    /// What it is told from, for instance `benign`.
    pub against: String,
    /// Latent id.
    pub latent: u32,
    /// Its class by the study's cuts.
    pub class: Class,
    /// Δ_norm of the latent.
    pub delta_norm: f64,
    /// Area under the ROC curve of the prompts' largest v.
    pub auroc: f64,
    /// Prompts with the concept.
    pub positives: u64,
    /// Prompts without.
    pub negatives: u64,
}

/// One dictionary of the study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DictionaryInfo {
    /// Name in URLs.
    pub slug: String,
    /// `l1` or `batchtopk`.
    pub kind: String,
    /// The author's remark.
    pub note: Option<String>,
    /// Number of latents F.
    pub latents: usize,
    /// Width D.
    pub activation_dim: usize,
    /// Code normalisation, for instance `CROSSCODER`.
    pub code_normalization: String,
    /// Inference threshold on v; `null` for plain ReLU.
    pub threshold: Option<f64>,
    /// k of BatchTopK.
    pub k: Option<u64>,
    /// Whether activations are normalised before encoding.
    pub normalized: bool,
    /// Latents per class, verdict, and dead ones.
    pub counts: ClassCounts,
    /// Histogram of Δ_norm, 100 bins from 0 to 1.
    pub delta_norm: crate::Histogram,
    /// Tokens analysed; `null` before analysis.
    pub tokens: Option<u64>,
    /// Whether Latent Scaling, statistics and examples are there, and why not.
    pub analysis: Availability,
    /// Training, if known.
    pub training: Option<TrainingSummary>,
    /// Scores against ground truth, if the study has any.
    pub concepts: Vec<ConceptScore>,
}

/// Answer of `GET /study`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StudyInfo {
    /// Name of the study.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// The base model; `null` for a study without models.
    pub base: Option<ModelInfo>,
    /// The chat model.
    pub chat: Option<ModelInfo>,
    /// The hook point: output of this 0-based block.
    pub layer: usize,
    /// Where the models run, for instance `cpu`.
    pub device: String,
    /// Their number format, for instance `f32`.
    pub dtype: String,
    /// Whether prompts can be run, and why not.
    pub models: Availability,
    /// Cuts that make the classes.
    pub cuts: ClassCuts,
    /// Dictionaries in the manifest's order.
    pub dictionaries: Vec<DictionaryInfo>,
    /// Corpora the study was made from.
    pub corpora: Vec<String>,
    /// Where things come from, name and value.
    pub provenance: Vec<(String, String)>,
    /// Prompts to start from.
    pub prompts: Vec<String>,
    /// The chat template, as text; `null` without models.
    pub template: Option<String>,
    /// Longest prompt accepted, in tokens.
    pub max_prompt_tokens: usize,
    /// Version of the program.
    pub version: String,
    /// Hash that names this state of the study's data.
    pub revision: String,
}

/// State of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReadyState {
    /// Weights are being read.
    Loading,
    /// Prompts can be run.
    Ready,
    /// The server has no models and answers everything else.
    BrowseOnly,
    /// Loading failed; the detail says why.
    Failed,
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// State of the models.
    pub state: ReadyState,
    /// Share of the weights read.
    pub fraction: f32,
    /// Why loading failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}
