//! The feed-forward block's gate: gelu(gate) · up, with the tanh form of GELU.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::fused;
use super::math::tanh;
use super::rows::{Rows, fill_rows, fill_two_rows};

/// sqrt(2/pi)
const ROOT: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// gelu(gate) · up, element by element; both may be column slices of one matrix.
pub(crate) fn geglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if fused(gate) {
        return gate.apply_op2(up, Geglu);
    }
    composed(gate, up)
}

/// Gradients of gate and up from that of the product.
pub(crate) fn geglu_backward(
    gate: &Tensor,
    up: &Tensor,
    grad: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let both = gate.apply_op3_no_bwd(up, &grad.contiguous()?, &GegluBackward)?;
    Ok((both.get(0)?, both.get(1)?))
}

/// In f32 whatever the number format, and rounded once.
fn composed(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let dtype = gate.dtype();
    let gated = (gate.to_dtype(DType::F32)?.gelu()? * up.to_dtype(DType::F32)?)?;
    gated.to_dtype(dtype)
}

struct Geglu;

impl CustomOp2 for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (Rows::new(s1, l1)?, Rows::new(s2, l2)?);
        let mut out = vec![0.0; gate.count * gate.width];
        fill_rows(
            &mut out,
            gate.width,
            #[inline(always)]
            |i, out| {
                for ((out, x), u) in out.iter_mut().zip(gate.row(i)).zip(up.row(i)) {
                    let t = tanh(ROOT * (x + CUBIC * x * x * x));
                    *out = 0.5 * x * (1.0 + t) * u;
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (gate, up) = geglu_backward(gate, up, grad)?;
        Ok((Some(gate), Some(up)))
    }
}

/// From gate, up and the output's gradient, the gradients of gate and up, stacked.
struct GegluBackward;

impl CustomOp3 for GegluBackward {
    fn name(&self) -> &'static str {
        "geglu-backward"
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
        let (gate, up, grad) = (Rows::new(s1, l1)?, Rows::new(s2, l2)?, Rows::new(s3, l3)?);
        let mut out = vec![0.0; 2 * gate.count * gate.width];
        let (of_gate, of_up) = out.split_at_mut(gate.count * gate.width);
        fill_two_rows(
            of_gate,
            of_up,
            gate.width,
            #[inline(always)]
            |i, of_gate, of_up| {
                let inputs = gate.row(i).iter().zip(up.row(i)).zip(grad.row(i));
                for ((of_gate, of_up), ((x, u), g)) in of_gate.iter_mut().zip(of_up).zip(inputs) {
                    let t = tanh(ROOT * (x + CUBIC * x * x * x));
                    let slope = 0.5 * (1.0 + t)
                        + 0.5 * x * (1.0 - t * t) * ROOT * (1.0 + 3.0 * CUBIC * x * x);
                    *of_gate = g * u * slope;
                    *of_up = g * 0.5 * x * (1.0 + t);
                }
            },
        );
        let mut dims = vec![2];
        dims.extend(l1.dims());
        Ok((CpuStorage::F32(out), dims.into()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::{composed, geglu};
    use crate::kernels::rows::tests::assert_close;

    #[test]
    fn fused_equals_composed_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let stacked = Var::randn(0.0f32, 2.0, (300, 2 * 37), cpu)?;
        let (gate, up) = (stacked.narrow(1, 0, 37)?, stacked.narrow(1, 37, 37)?);
        let into = Tensor::randn(0.0f32, 1.0, (300, 37), cpu)?;
        let (fused, plain) = (geglu(&gate, &up)?, composed(&gate, &up)?);
        assert_close(&fused, &plain, 1e-6)?;
        let a = (&fused * &into)?.sum_all()?.backward()?;
        let b = (&plain * &into)?.sum_all()?.backward()?;
        assert_close(a.get(&stacked).unwrap(), b.get(&stacked).unwrap(), 1e-5)
    }
}
