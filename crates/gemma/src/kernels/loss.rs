//! Cross-entropy of soft-capped logits, computed row by row without storing probabilities.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};

use rayon::prelude::*;

use super::lanes::{largest, sum};
use super::math::{exp, tanh};
use super::rows::{Rows, fill_rows};

/// Per row, −log of the target's probability in nats, `[N]`, from logits `[N, V]` before their soft cap.
pub(crate) fn cross_entropy(logits: &Tensor, targets: &[u32], cap: Option<f64>) -> Result<Tensor> {
    let rows = check(logits, targets)?;
    logits
        .apply_op1(CrossEntropy::new(targets, cap))?
        .narrow(0, 0, rows)
}

/// The number of rows, where every row has a target in the vocabulary.
fn check(logits: &Tensor, targets: &[u32]) -> Result<usize> {
    let (rows, vocab_size) = logits.dims2()?;
    if targets.len() != rows || targets.iter().any(|target| *target as usize >= vocab_size) {
        candle_core::bail!(
            "{} targets for {rows} rows of {vocab_size} logits, or a target outside the vocabulary",
            targets.len()
        )
    }
    Ok(rows)
}

struct CrossEntropy {
    targets: Arc<[u32]>,
    cap: Option<f32>,
}

impl CrossEntropy {
    fn new(targets: &[u32], cap: Option<f64>) -> Self {
        Self {
            targets: targets.into(),
            cap: cap.map(|cap| cap as f32),
        }
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    /// The losses of all rows, then the logarithms of their normalisers, which the backward pass needs.
    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = Rows::new(storage, layout)?;
        let mut pairs = vec![0.0; 2 * logits.count];
        // Rows are wide and results narrow, so the work is handed out by row here.
        let losses: Vec<(f32, f32)> = self
            .targets
            .par_iter()
            .enumerate()
            .with_min_len(8)
            .map_init(Vec::new, |capped, (i, target)| {
                capped.clear();
                match self.cap {
                    Some(cap) => {
                        let inverse = 1.0 / cap;
                        capped.extend(logits.row(i).iter().map(|x| cap * tanh(x * inverse)));
                    }
                    None => capped.extend_from_slice(logits.row(i)),
                }
                let target = capped[*target as usize];
                let largest = largest(capped);
                for x in capped.iter_mut() {
                    *x = exp(*x - largest);
                }
                let normaliser = largest + sum(capped).ln();
                (normaliser - target, normaliser)
            })
            .collect();
        let (first, second) = pairs.split_at_mut(logits.count);
        for ((loss, normaliser), pair) in first.iter_mut().zip(second).zip(losses) {
            (*loss, *normaliser) = pair;
        }
        Ok((CpuStorage::F32(pairs), Shape::from(2 * logits.count)))
    }

    fn bwd(&self, logits: &Tensor, result: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.narrow(0, 0, self.targets.len())?.contiguous()?;
        let cap = self.cap.map(f64::from);
        cross_entropy_backward(logits, result, &self.targets, cap, &grad).map(Some)
    }
}

/// The losses `[N]` as [`cross_entropy`], followed by what its backward pass needs, `[2·N]`, without a gradient of its own.
pub(crate) fn cross_entropy_with_normalisers(
    logits: &Tensor,
    targets: &[u32],
    cap: Option<f64>,
) -> Result<Tensor> {
    check(logits, targets)?;
    logits.apply_op1_no_bwd(&CrossEntropy::new(targets, cap))
}

/// The gradient of the logits from that of the losses, `[N]`.
pub(crate) fn cross_entropy_backward(
    logits: &Tensor,
    with_normalisers: &Tensor,
    targets: &[u32],
    cap: Option<f64>,
    grad: &Tensor,
) -> Result<Tensor> {
    let rows = targets.len();
    let op = CrossEntropyBackward {
        targets: targets.into(),
        cap: cap.map(|cap| cap as f32),
    };
    logits.apply_op3_no_bwd(&with_normalisers.narrow(0, rows, rows)?, grad, &op)
}

/// From logits, log-normalisers and the losses' gradient, the gradient of the logits.
struct CrossEntropyBackward {
    targets: Arc<[u32]>,
    cap: Option<f32>,
}

impl CustomOp3 for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        "cross-entropy-backward"
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
        let logits = Rows::new(s1, l1)?;
        let (normalisers, grads) = (Rows::new(s2, l2)?.row(0), Rows::new(s3, l3)?.row(0));
        let mut out = vec![0.0; logits.count * logits.width];
        fill_rows(
            &mut out,
            logits.width,
            #[inline(always)]
            |i, out| {
                let (normaliser, grad) = (normalisers[i], grads[i]);
                let target = self.targets[i] as usize;
                let row = logits.row(i);
                if let Some(cap) = self.cap {
                    let inverse = 1.0 / cap;
                    for (out, x) in out.iter_mut().zip(row) {
                        let t = tanh(x * inverse);
                        *out = grad * exp(cap * t - normaliser) * (1.0 - t * t);
                    }
                    let t = tanh(row[target] * inverse);
                    out[target] -= grad * (1.0 - t * t);
                } else {
                    for (out, x) in out.iter_mut().zip(row) {
                        *out = grad * exp(x - normaliser);
                    }
                    out[target] -= grad;
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device, Result, Tensor, Var};

    use super::cross_entropy;
    use crate::kernels::rows::tests::assert_close;
    use crate::kernels::softcap;

    /// The definition, whose gradients the tensor library knows.
    fn plain(logits: &Tensor, targets: &[u32], cap: Option<f64>) -> Result<Tensor> {
        let log_probabilities = candle_nn::ops::log_softmax(&softcap(logits, cap)?, D::Minus1)?;
        let targets = Tensor::new(targets, logits.device())?.unsqueeze(1)?;
        log_probabilities.gather(&targets, 1)?.squeeze(1)?.neg()
    }

    #[test]
    fn fused_follows_the_definition_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let targets: Vec<u32> = (0..60).map(|i| i * 7 % 300).collect();
        for cap in [Some(5.0), None] {
            let logits = Var::randn(0.0f32, 3.0, (60, 300), cpu)?;
            let into = Tensor::randn(0.0f32, 1.0, 60, cpu)?;
            let fused = cross_entropy(&logits, &targets, cap)?;
            let plain = plain(&logits, &targets, cap)?;
            assert_close(&fused, &plain, 1e-6)?;
            let a = (&fused * &into)?.sum_all()?.backward()?;
            let b = (&plain * &into)?.sum_all()?.backward()?;
            assert_close(a.get(&logits).unwrap(), b.get(&logits).unwrap(), 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn refuses_a_target_outside_the_vocabulary() -> Result<()> {
        let logits = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu)?;
        assert!(cross_entropy(&logits, &[0, 4], None).is_err());
        assert!(cross_entropy(&logits, &[0], None).is_err());
        Ok(())
    }
}
