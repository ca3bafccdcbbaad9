//! The mathematics of model diffing: no I/O, no tensors.
//!
//! Index 0 is the base model, index 1 the chat model, everywhere. Everything that is gathered over tokens can be gathered in
//! parts and merged, so that shards of a corpus and one run over the whole give the same numbers (floating-point sums up to
//! rounding, everything else exactly). Accumulators are f64.

mod baseline;
mod classes;
mod correlation;
mod decoder;
mod divergence;
mod effects;
mod error;
mod histogram;
mod joint;
mod moments;
mod norms;
mod roc;
mod sampler;
mod scaling;
mod sets;
mod statistics;
mod summary;
mod template;
mod token;
mod verification;
mod weights;

pub use baseline::{Baseline, compared, compared_shared};
pub use classes::{class, nu, ratios, verdict};
pub use correlation::{CoFiring, CoFiringScratch, PairSums, Partner, TokenSample};
pub use decoder::Decoder;
pub use divergence::{Prediction, Reference, kl, log_softmax};
pub use effects::{Effect, EffectSums, half_width};
pub use error::{Error, Result};
pub use histogram::{LogHistogram, histogram};
pub use joint::{JOINT_BUCKETS, JOINT_EDGES, JointHistogram, JointScale, JointSums, Pairs};
pub use moments::Moments;
pub use norms::{cosine, delta_norm, dot, norm};
pub use roc::auroc;
pub use sampler::{GROUPS, QUANTILES, QuantileSampler, Sampled, quantile_group};
pub use scaling::{SCALING_TARGETS, ScalingSums};
pub use sets::{average_ranks, chat_latents, halves_by_delta_norm, halves_by_scaling, rankable};
pub use statistics::{LatentStatistics, LatentSummary, PartSummary, Place, ROLES, Speaker};
pub use summary::scaling_group;
pub use template::{
    TEMPLATE_BUCKETS, TemplateGroup, TemplateLatent, TemplateStatistics, TemplateSums,
    template_bucket,
};
pub use token::{Products, ScalingToken, Squares};
pub use verification::{NOISE, VERIFICATION_BUCKETS, Verification, VerificationSums, bucket_edges};
pub use weights::weight_row;
