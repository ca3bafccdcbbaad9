//! Request, response and event types of the HTTP interface, shared by the server, the pipeline and the explorer in the browser.
//!
//! Conventions: JSON in snake_case; numbers are never rounded; NaN and unknown are `null`; index 0 is the base model, 1 the chat model.
//! Request types refuse unknown fields.

mod activations;
mod causal;
mod control;
mod curves;
mod effects;
mod examples;
mod explain;
mod generate;
mod intervention;
mod joint;
mod lasso;
mod latent;
mod matches;
mod page;
mod positions;
mod problem;
mod prompt;
mod run;
mod scaling;
mod study;
mod template;
mod truth;

pub use activations::{
    ActivationsRequest, ActivationsResponse, LatentChoice, LatentValues, NextToken, NextTokens,
    TopLatent,
};
pub use causal::{CausalEffects, CausalMeasure, CausalMetric, CausalScope, CausalSetup};
pub use control::{ControlLatent, MAX_CONTROLS};
pub use curves::{Curve, TrainingCurves};
pub use effects::{EffectsRequest, EffectsResponse, LaneEffects};
pub use examples::{Example, ExampleGroup, ExamplesPage};
pub use explain::{ExplainRequest, ExplainResponse, ExplainedLatent, MAX_EXPLAINED};
pub use generate::{
    DoneEvent, DoneReason, GenerateEvent, GenerateRequest, MetaEvent, MetaLane, QueuedEvent,
    Sampling, Timings, TokenEvent,
};
pub use intervention::{ClampUnit, Intervention, Lane, LatentSet, LatentStrength, StrengthUnit};
pub use joint::{JointActivity, JointCounts};
pub use lasso::{AxisScale, Lasso};
pub use latent::{
    ActivityShare, Betas, Class, Correlated, DecoderRows, Histogram, LATENT_COLUMNS, LatentDetail,
    LatentRow, LensToken, LogitLens, Neighbour, Twin, Verdict,
};
pub use matches::{LatentMatch, MatchBy, MatchesPage};
pub use page::{FIRST_COLUMNS, FIRST_ROWS, LatentsPage, MAX_PAGE};
pub use positions::Positions;
pub use problem::Problem;
pub use prompt::{Message, ModelName, Prompt, PromptSource, TokenInfo, TokenKind};
pub use run::{Run, RunDifference, RunInputs, RunOutput, RunToken, Verification};
pub use scaling::{
    BucketFit, RatioSummary, ScalingBucket, ScalingFit, ScalingGroup, ScalingSummary,
};
pub use study::{
    Availability, ClassCounts, ClassCuts, ConceptScore, DictionaryInfo, ModelInfo, Readiness,
    ReadyState, StudyInfo, TrainingSummary,
};
pub use template::{TemplateActivity, TemplateBucket};
pub use truth::{
    Bar, ConceptBehaviour, ConceptTruth, GroundTruth, LatentTruth, SeedDictionary, SeedLatent,
    SeedScore, SteeringAction, SteeringDose, SteeringOutcome, SteeringTest,
};
