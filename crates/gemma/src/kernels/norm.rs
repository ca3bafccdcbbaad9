//! Gemma's root-mean-square norm, y = x / sqrt(mean(x²) + eps) · (1 + w), in f32 throughout, alone and added to a residual.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::fused;
use super::lanes::{dot, weighted_dot};
use super::rows::{Rows, fill_rows, fill_rows_and_sum, sum_or_zeros};

/// Norm over the last dimension; `weight` is `[D]` in f32, without the 1 that is added to it.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op2(weight, Norm { eps: eps as f32 });
    }
    composed(x, weight, eps)
}

/// `residual` + norm of `x`, in the number format of `residual`.
pub(crate) fn add_rms_norm(
    residual: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    if fused(x) && fused(residual) {
        return x.apply_op3(weight, residual, AddNorm { eps: eps as f32 });
    }
    residual + composed(x, weight, eps)?
}

fn composed(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?.contiguous()?;
    candle_nn::ops::rms_norm(&wide, &(weight + 1.0)?, eps as f32)?.to_dtype(x.dtype())
}

/// One over the root of the mean square.
#[inline(always)]
fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

struct Norm {
    eps: f32,
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(s1, l1)?;
        let weight = Rows::new(s2, l2)?.row(0);
        let mut out = vec![0.0; x.count * x.width];
        fill_rows(
            &mut out,
            x.width,
            #[inline(always)]
            |i, out| {
                let x = x.row(i);
                let inverse = inverse_rms(x, self.eps);
                for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                    *out = x * inverse * (1.0 + w);
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x, weight) = rms_norm_backward(x, weight, grad, self.eps.into(), None)?;
        Ok((Some(x), Some(weight)))
    }
}

struct AddNorm {
    eps: f32,
}

impl CustomOp3 for AddNorm {
    fn name(&self) -> &'static str {
        "add-rms-norm"
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
        let (x, residual) = (Rows::new(s1, l1)?, Rows::new(s3, l3)?);
        let weight = Rows::new(s2, l2)?.row(0);
        let mut out = vec![0.0; x.count * x.width];
        fill_rows(
            &mut out,
            x.width,
            #[inline(always)]
            |i, out| {
                let x = x.row(i);
                let inverse = inverse_rms(x, self.eps);
                for (((out, x), w), r) in out.iter_mut().zip(x).zip(weight).zip(residual.row(i)) {
                    *out = r + x * inverse * (1.0 + w);
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x, weight) = rms_norm_backward(x, weight, grad, self.eps.into(), None)?;
        Ok((Some(x), Some(weight), Some(grad.clone())))
    }
}

/// Gradients of x, added to `sum` where there is one, and of the weight, from that of the norm.
pub(crate) fn rms_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    eps: f64,
    sum: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let op = NormBackward {
        eps: eps as f32,
        sum: sum.cloned(),
    };
    let both = x.apply_op3_no_bwd(weight, &grad.contiguous()?, &op)?;
    let elements = x.elem_count();
    let grad_x = both.narrow(0, 0, elements)?.reshape(x.shape())?;
    let grad_weight = both.narrow(0, elements, weight.elem_count())?;
    Ok((grad_x, grad_weight))
}

/// From x, the weight and the output's gradient, the gradient of x and after it that of the weight, flat.
struct NormBackward {
    eps: f32,
    sum: Option<Tensor>,
}

impl CustomOp3 for NormBackward {
    fn name(&self) -> &'static str {
        "rms-norm-backward"
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
        let (x, grad) = (Rows::new(s1, l1)?, Rows::new(s3, l3)?);
        let weight = Rows::new(s2, l2)?.row(0);
        let width = x.width;
        let mut out = sum_or_zeros(self.sum.as_ref(), x.count * width, width)?;
        let sums = fill_rows_and_sum(
            &mut out,
            width,
            width,
            #[inline(always)]
            |i, out, sums| {
                let (x, grad) = (x.row(i), grad.row(i));
                let inverse = inverse_rms(x, self.eps);
                let along = weighted_dot(x, grad, weight) * inverse * inverse / width as f32;
                for ((((out, sum), x), g), w) in
                    out.iter_mut().zip(sums).zip(x).zip(grad).zip(weight)
                {
                    *sum += g * x * inverse;
                    *out += inverse * (g * (1.0 + w) - x * along);
                }
            },
        );
        out.extend(sums);
        let shape = Shape::from(out.len());
        Ok((CpuStorage::F32(out), shape))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device, Result, Tensor, Var};

    use super::{add_rms_norm, composed};
    use crate::kernels::rows::tests::assert_close;

    /// The definition, whose gradients the tensor library knows.
    fn plain(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean + eps)?.sqrt()?)?
            .broadcast_mul(&(weight + 1.0)?)
    }

    #[test]
    fn fused_and_composed_follow_the_definition_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let x = Var::randn(0.0f32, 2.0, (3, 70, 20), cpu)?;
        let residual = Var::randn(0.0f32, 1.0, (3, 70, 20), cpu)?;
        let weight = Var::randn(0.0f32, 0.5, 20, cpu)?;
        let into = Tensor::randn(0.0f32, 1.0, (3, 70, 20), cpu)?;
        let fused = add_rms_norm(&residual, &x, &weight, 1e-6)?;
        let composed = (residual.as_tensor() + composed(&x, &weight, 1e-6)?)?;
        let plain = (residual.as_tensor() + plain(&x, &weight, 1e-6)?)?;
        assert_close(&fused, &plain, 1e-6)?;
        assert_close(&composed, &plain, 1e-6)?;
        let a = (&fused * &into)?.sum_all()?.backward()?;
        let b = (&plain * &into)?.sum_all()?.backward()?;
        for var in [&x, &residual, &weight] {
            assert_close(a.get(var).unwrap(), b.get(var).unwrap(), 1e-5)?;
        }
        Ok(())
    }
}
