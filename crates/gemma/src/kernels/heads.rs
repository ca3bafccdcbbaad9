//! Columns of a projection to heads and back, with the rotary embedding on the way (half-split form, f32 tables).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use super::fused;
use super::rows::{Rows, fill_rows};
use crate::rotary::Tables;

/// A rotation by the position of each token.
#[derive(Clone)]
pub(crate) struct Rotation {
    pub(crate) tables: Arc<Tables>,
    /// Position of the first token of every sequence.
    pub(crate) first: usize,
}

/// `[B·T, heads·head_dim]` (a column slice will do) to `[B, heads, T, head_dim]`, rotated where asked and multiplied by `scale`.
pub(crate) fn split_heads(
    x: &Tensor,
    batch: usize,
    heads: usize,
    rotation: Option<&Rotation>,
    scale: f32,
) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op1(Reorder {
            direction: Direction::Split,
            batch,
            heads,
            rotation: rotation.cloned(),
            scale,
        });
    }
    split_composed(x, batch, heads, rotation, scale)
}

fn split_composed(
    x: &Tensor,
    batch: usize,
    heads: usize,
    rotation: Option<&Rotation>,
    scale: f32,
) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    let tokens = rows / batch.max(1);
    let x = x
        .reshape((batch, tokens, heads, columns / heads.max(1)))?
        .transpose(1, 2)?
        .contiguous()?;
    let dtype = x.dtype();
    let x = match rotation {
        None => x,
        Some(rotation) => {
            let (cos, sin) = rotation.tables.at(rotation.first, tokens, x.device())?;
            candle_nn::rotary_emb::rope(&x.to_dtype(DType::F32)?, &cos, &sin)?
        }
    };
    if scale == 1.0 {
        return x.to_dtype(dtype);
    }
    (x * f64::from(scale))?.to_dtype(dtype)
}

/// `[B, heads, T, head_dim]` to `[B·T, heads·head_dim]`.
pub(crate) fn join_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, tokens, head_dim) = x.dims4()?;
    if fused(x) {
        return x.apply_op1(Reorder {
            direction: Direction::Join,
            batch,
            heads,
            rotation: None,
            scale: 1.0,
        });
    }
    x.transpose(1, 2)?
        .reshape((batch * tokens, heads * head_dim))
}

#[derive(Clone, Copy)]
enum Direction {
    Split,
    Join,
}

/// Splitting with a rotation, or its adjoint, joining with the rotation undone.
struct Reorder {
    direction: Direction,
    batch: usize,
    heads: usize,
    rotation: Option<Rotation>,
    scale: f32,
}

impl Reorder {
    fn adjoint(&self) -> Self {
        Self {
            direction: match self.direction {
                Direction::Split => Direction::Join,
                Direction::Join => Direction::Split,
            },
            batch: self.batch,
            heads: self.heads,
            rotation: self.rotation.clone(),
            scale: self.scale,
        }
    }

    /// Writes `scale` times the rotated `source`.
    #[inline(always)]
    fn turn(&self, token: usize, source: &[f32], out: &mut [f32]) {
        let scale = self.scale;
        let Some(rotation) = &self.rotation else {
            out.iter_mut()
                .zip(source)
                .for_each(|(out, x)| *out = x * scale);
            return;
        };
        let back = match self.direction {
            Direction::Split => 1.0,
            Direction::Join => -1.0,
        };
        let angles = rotation.tables.row(rotation.first + token);
        rotate(angles, back, scale, source, out);
    }
}

/// Writes `scale` times one head of `source`, rotated by the angles whose cosines and sines are given; with `back` −1 the other way.
#[inline(always)]
pub(super) fn rotate(
    (cos, sin): (&[f32], &[f32]),
    back: f32,
    scale: f32,
    source: &[f32],
    out: &mut [f32],
) {
    let half = source.len() / 2;
    let (a, b) = source.split_at(half);
    let (low, high) = out.split_at_mut(half);
    for (((((low, high), a), b), c), s) in low.iter_mut().zip(high).zip(a).zip(b).zip(cos).zip(sin)
    {
        let s = s * back;
        *low = (a * c - b * s) * scale;
        *high = (b * c + a * s) * scale;
    }
}

impl CustomOp1 for Reorder {
    fn name(&self) -> &'static str {
        "heads"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(storage, layout)?;
        let (batch, heads) = (self.batch, self.heads);
        let mut out = vec![0.0; x.count * x.width];
        match self.direction {
            Direction::Split => {
                let (tokens, head_dim) = (x.count / batch.max(1), x.width / heads.max(1));
                fill_rows(
                    &mut out,
                    head_dim,
                    #[inline(always)]
                    |i, out| {
                        let (sequence, head, token) =
                            (i / (heads * tokens), i / tokens % heads, i % tokens);
                        let source = &x.row(sequence * tokens + token)
                            [head * head_dim..(head + 1) * head_dim];
                        self.turn(token, source, out);
                    },
                );
                Ok((
                    CpuStorage::F32(out),
                    (batch, heads, tokens, head_dim).into(),
                ))
            }
            Direction::Join => {
                let (tokens, head_dim) = (x.count / (batch * heads).max(1), x.width);
                fill_rows(
                    &mut out,
                    heads * head_dim,
                    #[inline(always)]
                    |i, out| {
                        let (sequence, token) = (i / tokens, i % tokens);
                        for (head, out) in out.chunks_mut(head_dim).enumerate() {
                            self.turn(
                                token,
                                x.row((sequence * heads + head) * tokens + token),
                                out,
                            );
                        }
                    },
                );
                Ok((
                    CpuStorage::F32(out),
                    (batch * tokens, heads * head_dim).into(),
                ))
            }
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        grad.contiguous()?
            .apply_op1_no_bwd(&self.adjoint())
            .map(Some)
    }
}

/// The gradient `[B·T, heads·head_dim]` of split columns from that of their heads `[B, heads, T, head_dim]`.
pub(crate) fn split_heads_backward(
    grad: &Tensor,
    rotation: Option<&Rotation>,
    scale: f32,
) -> Result<Tensor> {
    let (batch, heads, _, _) = grad.dims4()?;
    grad.apply_op1_no_bwd(&Reorder {
        direction: Direction::Join,
        batch,
        heads,
        rotation: rotation.cloned(),
        scale,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{D, Device, Result, Tensor, Var};

    use super::{Rotation, join_heads, split_composed, split_heads};
    use crate::kernels::rows::tests::assert_close;
    use crate::rotary::Tables;

    /// The definition, whose gradients the tensor library knows.
    fn plain(
        x: &Tensor,
        (batch, heads): (usize, usize),
        rotation: &Rotation,
        scale: f64,
    ) -> Result<Tensor> {
        let (rows, columns) = x.dims2()?;
        let shape = (batch, rows / batch, heads, columns / heads);
        let x = x.reshape(shape)?.transpose(1, 2)?;
        let (cos, sin) = rotation
            .tables
            .at(rotation.first, rows / batch, x.device())?;
        let half = columns / heads / 2;
        let (a, b) = (
            x.narrow(D::Minus1, 0, half)?,
            x.narrow(D::Minus1, half, half)?,
        );
        let low = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let high = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[low, high], D::Minus1)? * scale
    }

    #[test]
    fn fused_and_composed_follow_the_definition_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let rotation = Rotation {
            tables: Arc::new(Tables::new(12, 10_000.0, 40)),
            first: 5,
        };
        let x = Var::randn(0.0f32, 1.0, (3 * 30, 4 * 12 + 7), cpu)?;
        let slice = x.narrow(1, 7, 4 * 12)?;
        let into = Tensor::randn(0.0f32, 1.0, (3, 4, 30, 12), cpu)?;
        let fused = split_heads(&slice, 3, 4, Some(&rotation), 0.3)?;
        let composed = split_composed(&slice, 3, 4, Some(&rotation), 0.3)?;
        let plain = plain(&slice, (3, 4), &rotation, 0.3)?;
        assert_close(&fused, &plain, 1e-6)?;
        assert_close(&composed, &plain, 1e-6)?;
        let a = (&fused * &into)?.sum_all()?.backward()?;
        let b = (&plain * &into)?.sum_all()?.backward()?;
        assert_close(a.get(&x).unwrap(), b.get(&x).unwrap(), 1e-5)
    }

    #[test]
    fn joining_undoes_splitting() -> Result<()> {
        let x = Tensor::randn(0.0f32, 1.0, (2 * 9, 4 * 6), &Device::Cpu)?;
        let back = join_heads(&split_heads(&x, 2, 4, None, 1.0)?)?;
        assert_eq!(back.to_vec2::<f32>()?, x.to_vec2::<f32>()?);
        Ok(())
    }
}
