//! Fused element-wise kernels with backward passes for f32 on the CPU, and the same computed with plain tensor operations elsewhere.

mod geglu;
mod heads;
mod loss;
mod math;
mod norm;
mod probabilities;
mod product;
mod rows;
mod softcap;

use candle_core::{DType, Tensor};

pub(crate) use geglu::geglu;
pub(crate) use heads::{Rotation, join_heads, split_heads};
pub(crate) use loss::cross_entropy;
pub(crate) use norm::{add_rms_norm, rms_norm};
pub(crate) use probabilities::{Span, attention_probabilities};
pub(crate) use product::{linear, product};
pub(crate) use softcap::softcap;

/// Whether the fused kernels apply to a tensor.
fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}
