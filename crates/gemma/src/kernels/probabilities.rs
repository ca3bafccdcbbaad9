//! Attention probabilities: soft cap, causal and window mask, softmax, in one pass over the scores.

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

use super::lanes::{dot, largest, sum};
use super::math::{exp, tanh};
use super::rows::{Rows, fill_rows};
use super::{fused, softcap};

/// Which keys the queries of one call see: query t, at position `past + t`, sees the keys at positions q − k < window, k ≤ q.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Queries per sequence, T.
    pub(crate) queries: usize,
    /// Position of the first query.
    pub(crate) past: usize,
    /// Position of the first key at hand.
    pub(crate) first_key: usize,
    /// Keys seen by a sliding block, the query's own included.
    pub(crate) window: Option<usize>,
}

impl Span {
    /// Keeps only the keys that some query sees.
    pub(crate) fn new(queries: usize, past: usize, window: Option<usize>) -> Self {
        Self {
            queries,
            past,
            first_key: window.map_or(0, |window| (past + 1).saturating_sub(window)),
            window,
        }
    }

    /// At most `count` of its queries from the `from`th on, with the keys that some of them sees.
    pub(super) fn part(&self, from: usize, count: usize) -> Self {
        let past = self.past + from;
        let part = Self::new(count.min(self.queries - from), past, self.window);
        Self {
            first_key: part.first_key.max(self.first_key),
            ..part
        }
    }

    /// Number of keys at hand.
    pub(crate) fn keys(&self) -> usize {
        self.past + self.queries - self.first_key
    }

    /// The keys, counted from the first at hand, that a query sees.
    #[inline(always)]
    pub(super) fn seen(&self, query: usize) -> std::ops::Range<usize> {
        let end = self.past + query + 1 - self.first_key;
        let start = self.window.map_or(0, |window| end.saturating_sub(window));
        start..end
    }

    /// `[T, keys]`: 0 where a query sees a key, −∞ elsewhere.
    fn mask(&self, device: &Device) -> Result<Tensor> {
        let keys = self.keys();
        let mut mask = vec![f32::NEG_INFINITY; self.queries * keys];
        for (query, row) in mask.chunks_mut(keys).enumerate() {
            if let Some(seen) = row.get_mut(self.seen(query)) {
                seen.fill(0.0);
            }
        }
        Tensor::from_vec(mask, (self.queries, keys), device)
    }
}

/// One call's masks on its device, each made once for all blocks; kernels that need none leave it empty.
#[derive(Default)]
pub(crate) struct Masks(RefCell<Vec<(Span, Tensor)>>);

impl Masks {
    fn of(&self, span: Span, device: &Device) -> Result<Tensor> {
        let mut known = self.0.borrow_mut();
        if let Some((_, mask)) = known.iter().find(|(known, _)| *known == span) {
            return Ok(mask.clone());
        }
        let mask = span.mask(device)?;
        known.push((span, mask.clone()));
        Ok(mask)
    }
}

/// Probabilities of the same shape as `scores`, `[.., G·T, keys]`, whose rows are queries, T by T.
pub(crate) fn attention_probabilities(
    scores: &Tensor,
    cap: Option<f64>,
    span: Span,
    masks: &Masks,
) -> Result<Tensor> {
    if fused(scores) {
        return scores.apply_op1(Probabilities {
            cap: cap.map(|cap| cap as f32),
            span,
        });
    }
    composed(scores, cap, span, masks)
}

fn composed(scores: &Tensor, cap: Option<f64>, span: Span, masks: &Masks) -> Result<Tensor> {
    let rows = scores.elem_count() / span.keys().max(1);
    let capped = softcap(&scores.to_dtype(DType::F32)?, cap)?;
    let grouped = capped.reshape((rows / span.queries.max(1), span.queries, span.keys()))?;
    let masked = if span.queries == 1 {
        grouped
    } else {
        grouped.broadcast_add(&masks.of(span, scores.device())?)?
    };
    candle_nn::ops::softmax_last_dim(&masked)?
        .reshape(scores.shape())?
        .to_dtype(scores.dtype())
}

struct Probabilities {
    cap: Option<f32>,
    span: Span,
}

impl CustomOp1 for Probabilities {
    fn name(&self) -> &'static str {
        "attention-probabilities"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = Rows::new(storage, layout)?;
        let mut out = vec![0.0; scores.count * scores.width];
        fill_rows(
            &mut out,
            scores.width,
            #[inline(always)]
            |i, out| {
                let seen = self.span.seen(i % self.span.queries);
                let out = &mut out[seen.clone()];
                out.copy_from_slice(&scores.row(i)[seen]);
                capped_softmax(out, self.cap);
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        scores: &Tensor,
        probabilities: &Tensor,
        grad: &Tensor,
    ) -> Result<Option<Tensor>> {
        let cap = self.cap.map(f64::from);
        attention_probabilities_backward(scores, probabilities, grad, cap, self.span).map(Some)
    }
}

/// Soft cap and softmax of the scores that one query sees, in place.
#[inline(always)]
pub(super) fn capped_softmax(scores: &mut [f32], cap: Option<f32>) {
    if let Some(cap) = cap {
        let inverse = 1.0 / cap;
        for x in scores.iter_mut() {
            *x = cap * tanh(*x * inverse);
        }
    }
    let largest = largest(scores);
    for x in scores.iter_mut() {
        *x = exp(*x - largest);
    }
    let inverse = 1.0 / sum(scores);
    for x in scores.iter_mut() {
        *x *= inverse;
    }
}

/// The scores' gradient from that of the probabilities.
pub(crate) fn attention_probabilities_backward(
    scores: &Tensor,
    probabilities: &Tensor,
    grad: &Tensor,
    cap: Option<f64>,
    span: Span,
) -> Result<Tensor> {
    let op = ProbabilitiesBackward {
        cap: cap.map(|cap| cap as f32),
        span,
    };
    scores.apply_op3_no_bwd(probabilities, &grad.contiguous()?, &op)
}

/// From scores, probabilities and the latter's gradient, the gradient of the scores.
struct ProbabilitiesBackward {
    cap: Option<f32>,
    span: Span,
}

impl CustomOp3 for ProbabilitiesBackward {
    fn name(&self) -> &'static str {
        "attention-probabilities-backward"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (scores, probabilities, grad) =
            (Rows::new(s1, l1)?, Rows::new(s2, l2)?, Rows::new(s3, l3)?);
        let mut out = vec![0.0; scores.count * scores.width];
        fill_rows(
            &mut out,
            scores.width,
            #[inline(always)]
            |i, out| {
                let seen = self.span.seen(i % self.span.queries);
                let out = &mut out[seen.clone()];
                let (scores, p, g) = (
                    &scores.row(i)[seen.clone()],
                    &probabilities.row(i)[seen.clone()],
                    &grad.row(i)[seen],
                );
                let along = dot(p, g);
                for ((out, p), g) in out.iter_mut().zip(p).zip(g) {
                    *out = p * (g - along);
                }
                if let Some(cap) = self.cap {
                    let inverse = 1.0 / cap;
                    for (out, x) in out.iter_mut().zip(scores) {
                        let t = tanh(x * inverse);
                        *out *= 1.0 - t * t;
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device, Result, Tensor, Var};

    use super::{Masks, Span, attention_probabilities, composed};
    use crate::kernels::rows::tests::assert_close;
    use crate::kernels::softcap;

    /// The definition, whose gradients the tensor library knows.
    fn plain(scores: &Tensor, cap: Option<f64>, span: Span) -> Result<Tensor> {
        let (sequences, rows, keys) = scores.dims3()?;
        let capped =
            softcap(scores, cap)?.reshape((sequences, rows / span.queries, span.queries, keys))?;
        let masked = capped.broadcast_add(&span.mask(scores.device())?)?;
        candle_nn::ops::softmax(&masked, D::Minus1)?.reshape(scores.shape())
    }

    #[test]
    fn fused_and_composed_follow_the_definition_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let masks = Masks::default();
        for (past, window, cap) in [
            (0, None, Some(3.0)),
            (0, Some(4), None),
            (11, Some(6), Some(2.0)),
            (11, None, None),
        ] {
            let span = Span::new(9, past, window);
            let shape = (5, 2 * 9, span.keys());
            let scores = Var::randn(0.0f32, 4.0, shape, cpu)?;
            let into = Tensor::randn(0.0f32, 1.0, shape, cpu)?;
            let fused = attention_probabilities(&scores, cap, span, &masks)?;
            let composed = composed(&scores, cap, span, &masks)?;
            let plain = plain(&scores, cap, span)?;
            assert_close(&fused, &plain, 1e-6)?;
            assert_close(&composed, &plain, 1e-6)?;
            let a = (&fused * &into)?.sum_all()?.backward()?;
            let b = (&plain * &into)?.sum_all()?.backward()?;
            assert_close(a.get(&scores).unwrap(), b.get(&scores).unwrap(), 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn a_window_counts_the_query_itself() {
        let span = Span::new(3, 10, Some(4));
        assert_eq!((span.first_key, span.keys()), (7, 6));
        assert_eq!(
            (0..3).map(|q| span.seen(q)).collect::<Vec<_>>(),
            [0..4, 1..5, 2..6]
        );
        assert_eq!(Span::new(3, 0, Some(2)).seen(2), 1..3);
        assert_eq!(Span::new(2, 5, None).seen(1), 0..7);
    }
}
