//! The soft cap of the logits, cap · tanh(x / cap).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::fused;
use super::math::tanh;
use super::rows::{Rows, fill_pieces, fill_rows};

/// cap · tanh(x / cap), element by element; x itself without a cap.
pub(crate) fn softcap(x: &Tensor, cap: Option<f64>) -> Result<Tensor> {
    match cap {
        None => Ok(x.clone()),
        Some(cap) if fused(x) => x.apply_op1(Softcap { cap: cap as f32 }),
        Some(cap) => composed(x, cap),
    }
}

pub(super) fn composed(x: &Tensor, cap: f64) -> Result<Tensor> {
    (x / cap)?.tanh()? * cap
}

struct Softcap {
    cap: f32,
}

impl CustomOp1 for Softcap {
    fn name(&self) -> &'static str {
        "softcap"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(storage, layout)?;
        let (cap, inverse) = (self.cap, 1.0 / self.cap);
        let mut out = vec![0.0; x.count * x.width];
        fill_pieces(
            &mut out,
            x.width,
            #[inline(always)]
            |i, from, out| {
                for (out, x) in out.iter_mut().zip(&x.row(i)[from..]) {
                    *out = cap * tanh(x * inverse);
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, capped: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        capped
            .apply_op2_no_bwd(&grad.contiguous()?, &SoftcapBackward { cap: self.cap })
            .map(Some)
    }
}

/// From the capped values and their gradient, the gradient of x.
struct SoftcapBackward {
    cap: f32,
}

impl CustomOp2 for SoftcapBackward {
    fn name(&self) -> &'static str {
        "softcap-backward"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (capped, grad) = (Rows::new(s1, l1)?, Rows::new(s2, l2)?);
        let inverse = 1.0 / self.cap;
        let mut out = vec![0.0; grad.count * grad.width];
        fill_rows(
            &mut out,
            grad.width,
            #[inline(always)]
            |i, out| {
                for ((out, y), g) in out.iter_mut().zip(capped.row(i)).zip(grad.row(i)) {
                    let t = y * inverse;
                    *out = g * (1.0 - t * t);
                }
            },
        );
        Ok((CpuStorage::F32(out), l2.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::{composed, softcap};
    use crate::kernels::rows::tests::assert_close;

    #[test]
    fn fused_equals_composed_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let x = Var::randn(0.0f32, 20.0, (40, 500), cpu)?;
        let into = Tensor::randn(0.0f32, 1.0, (40, 500), cpu)?;
        let (fused, plain) = (softcap(&x, Some(15.0))?, composed(&x, 15.0)?);
        assert_close(&fused, &plain, 1e-6)?;
        let a = (&fused * &into)?.sum_all()?.backward()?;
        let b = (&plain * &into)?.sum_all()?.backward()?;
        assert_close(a.get(&x).unwrap(), b.get(&x).unwrap(), 1e-5)
    }
}
