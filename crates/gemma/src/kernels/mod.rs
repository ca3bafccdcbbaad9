//! Fused element-wise kernels with backward passes for f32 on the CPU, and the same computed forward with plain tensor operations elsewhere.
#![allow(clippy::inline_always)] // a loop inside `widest` gets wide vectors only where it is inlined

mod attend;
mod gather;
mod geglu;
mod heads;
mod lanes;
mod loss;
mod mapped_product;
mod math;
mod norm;
mod normaliser;
mod packed;
mod probabilities;
mod product;
mod rows;
mod softcap;

use candle_core::{DType, Tensor};

pub(crate) use attend::{QUERIES, attend};
pub(crate) use gather::{gather_rows, gather_rows_backward};
pub(crate) use geglu::{geglu, geglu_backward};
pub(crate) use heads::{Rotation, join_heads, split_heads, split_heads_backward};
pub(crate) use loss::{cross_entropy, cross_entropy_backward, cross_entropy_with_normalisers};
pub(crate) use mapped_product::{gather_mapped, linear_mapped};
pub(crate) use norm::{add_rms_norm, rms_norm, rms_norm_backward};
pub(crate) use normaliser::{normaliser, weights};
pub(crate) use packed::{Packed, packed_attention};
pub(crate) use probabilities::{
    Masks, Span, attention_probabilities, attention_probabilities_backward,
};
pub(crate) use product::{add_product, linear, linear_apart, product};
pub(crate) use softcap::softcap;

/// Whether the fused kernels apply to a tensor.
pub(crate) fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}
