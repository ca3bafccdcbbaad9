//! Attention of every head's queries to the keys they see, with plain tensor operations a piece of the queries at a time.

use candle_core::{Result, Tensor};

use super::fused;
use super::probabilities::{Masks, Span, attention_probabilities};
use super::product::product;

/// Queries of a sequence whose scores are in memory at once where plain tensor operations hold several copies of them.
pub(crate) const QUERIES: usize = 1024;

/// From rotated and scaled queries `[sequences·heads, T, head_dim]` and the keys and values at hand `[sequences·kv_heads, keys, head_dim]`
/// the mixed values `[sequences·heads, T, head_dim]`.
pub(crate) fn attend(
    queries: &Tensor,
    (keys, values): (&Tensor, &Tensor),
    cap: Option<f64>,
    span: Span,
    masks: &Masks,
) -> Result<Tensor> {
    let at_once = if fused(queries) {
        span.queries
    } else {
        QUERIES
    };
    in_pieces(queries, (keys, values), cap, span, masks, at_once)
}

/// As [`attend`], so many queries of each sequence at once.
pub(super) fn in_pieces(
    queries: &Tensor,
    (keys, values): (&Tensor, &Tensor),
    cap: Option<f64>,
    span: Span,
    masks: &Masks,
    at_once: usize,
) -> Result<Tensor> {
    let (all_heads, _, head_dim) = queries.dims3()?;
    let kv_heads = keys.dim(0)?;
    let group = all_heads / kv_heads.max(1);
    let piece = |from: usize| {
        let span_here = span.part(from, at_once);
        let count = span_here.queries;
        let first = span_here.first_key - span.first_key;
        let seen = |all: &Tensor| all.narrow(1, first, span_here.keys());
        let queries = queries.narrow(1, from, count)?.contiguous()?;
        let queries = queries.reshape((kv_heads, group * count, head_dim))?;
        let scores = product(&queries, &seen(keys)?.t()?)?;
        let probabilities = attention_probabilities(&scores, cap, span_here, masks)?;
        product(&probabilities, &seen(values)?)?.reshape((all_heads, count, head_dim))
    };
    let pieces = (0..span.queries).step_by(at_once.max(1)).map(piece);
    match pieces.collect::<Result<Vec<_>>>()?.as_slice() {
        [whole] => Ok(whole.clone()),
        pieces => Tensor::cat(pieces, 1),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Result, Tensor};

    use super::{Masks, Span, attend, in_pieces};
    use crate::kernels::rows::tests::assert_close;

    #[test]
    fn pieces_are_the_whole() -> Result<()> {
        let (sequences, heads, kv_heads, head_dim, queries) = (2, 6, 2, 8, 40);
        for (past, window, cap) in [
            (0, None, Some(3.0)),
            (0, Some(9), None),
            (25, Some(30), None),
        ] {
            let span = Span::new(queries, past, window);
            let random = |heads: usize, tokens: usize| {
                let shape = (sequences * heads, tokens, head_dim);
                Tensor::randn(0.0f32, 1.0, shape, &Device::Cpu)
            };
            let q = random(heads, queries)?;
            let (k, v) = (
                random(kv_heads, span.keys())?,
                random(kv_heads, span.keys())?,
            );
            let masks = Masks::default();
            let whole = attend(&q, (&k, &v), cap, span, &masks)?;
            assert_eq!(whole.dims(), q.dims());
            // In f64 plain tensor operations are taken.
            let wide = |x: &Tensor| x.to_dtype(DType::F64);
            let (q, k, v) = (wide(&q)?, wide(&k)?, wide(&v)?);
            for at_once in [1, 7, 20, 39, 40, 99] {
                let pieces = in_pieces(&q, (&k, &v), cap, span, &masks, at_once)?;
                assert_close(&pieces.to_dtype(DType::F32)?, &whole, 1e-5)?;
            }
        }
        Ok(())
    }
}
