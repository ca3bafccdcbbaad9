//! Grouped-query attention on split heads, shared by the fast and the differentiable path.

use candle_core::{Result, Tensor};

use crate::kernels::{Span, attention_probabilities, product};

/// Attends: `queries` `[S·kv_heads, G·T, head_dim]`, already scaled and rotated, over `keys` and `values` `[S·kv_heads, span.keys(), head_dim]`,
/// for S sequences and G query heads per key head; gives the shape of `queries`.
///
/// Scores are soft-capped before the mask, as Gemma-2 does.
pub(crate) fn attend(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    cap: Option<f64>,
    span: Span,
) -> Result<Tensor> {
    let scores = product(queries, &keys.t()?)?;
    product(&attention_probabilities(&scores, cap, span)?, values)
}
