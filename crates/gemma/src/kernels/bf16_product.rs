//! Products with bf16 weights that stay in their files. Numbers become f32 in registers, or in a panel that fits the cache; nothing of the
//! size of a weight is ever allocated. The arithmetic is that of f32 on the stored numbers.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use gemm::Parallelism;
use rayon::prelude::*;

use super::product::{Destination, Matrix, multiply};
use super::rows::Rows;
use crate::bf16::{Bf16, Bf16Matrix};

/// Up to as many rows of x, weights are read straight from the file: it is memory that limits a product, not arithmetic.
const FEW: usize = 4;
/// Weight rows per task where x has few rows.
const FEW_ROWS: usize = 64;
/// Weight rows that become f32 together where x has many.
const PANEL: usize = 128;
/// Independent partial sums of an inner product.
const LANES: usize = 64;
/// Multiplications below which one core is quicker.
const PARALLEL: usize = 1 << 16;

/// x·wᵀ for x `[N, K]` in f32 and w `[M, K]`.
pub(crate) fn linear_bf16(x: &Tensor, weight: &Bf16Matrix) -> Result<Tensor> {
    x.apply_op1_no_bwd(&Bf16Product {
        weight: weight.clone(),
    })
}

/// `scale` times the rows of `table` `[R, D]` at `numbers`, `[N, D]` in f32.
pub(crate) fn gather_bf16(table: &Bf16Matrix, numbers: &[u32], scale: f64) -> Result<Tensor> {
    let mut out = Vec::with_capacity(numbers.len() * table.columns());
    for number in numbers {
        let row = table.row(*number as usize);
        if row.is_empty() {
            bail!(
                "row {number} of a table with {} rows is wanted",
                table.rows()
            )
        }
        out.extend(row.iter().map(|number| widen(*number) * scale as f32));
    }
    let shape = (numbers.len(), table.columns());
    Tensor::from_vec(out, shape, &candle_core::Device::Cpu)
}

struct Bf16Product {
    weight: Bf16Matrix,
}

impl CustomOp1 for Bf16Product {
    fn name(&self) -> &'static str {
        "bf16-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(storage, layout)?;
        let (rows, columns) = (self.weight.rows(), self.weight.columns());
        if x.width != columns {
            bail!(
                "a product of rows {} wide with weights {columns} wide",
                x.width
            )
        }
        let shape = (x.count, rows);
        if x.count * rows == 0 {
            return Ok((CpuStorage::F32(vec![]), shape.into()));
        }
        let out = if x.count <= FEW {
            self.few(&x)
        } else {
            self.many(&x)
        };
        Ok((CpuStorage::F32(out), shape.into()))
    }
}

impl Bf16Product {
    /// Every weight row once, against all rows of x.
    fn few(&self, x: &Rows<'_>) -> Vec<f32> {
        let (count, rows) = (x.count, self.weight.rows());
        let mut by_weight = vec![0.0; rows * count];
        let task = |(task, out): (usize, &mut [f32])| {
            widely(
                #[inline(always)]
                |fused| {
                    for (i, out) in out.chunks_mut(count).enumerate() {
                        let weights = self.weight.row(task * FEW_ROWS + i);
                        for (n, out) in out.iter_mut().enumerate() {
                            *out = if fused {
                                dot::<true>(weights, x.row(n))
                            } else {
                                dot::<false>(weights, x.row(n))
                            };
                        }
                    }
                },
            );
        };
        let size = FEW_ROWS * count;
        if rows * self.weight.columns() < PARALLEL {
            by_weight.chunks_mut(size).enumerate().for_each(task);
        } else {
            by_weight.par_chunks_mut(size).enumerate().for_each(task);
        }
        if count == 1 {
            return by_weight;
        }
        let mut out = Vec::with_capacity(by_weight.len());
        for n in 0..count {
            out.extend(by_weight.iter().skip(n).step_by(count));
        }
        out
    }

    /// Panels of weights widened to f32, and a dense product of each.
    fn many(&self, x: &Rows<'_>) -> Vec<f32> {
        let (rows, columns) = (self.weight.rows(), self.weight.columns());
        let all = Matrix {
            data: x.from(0, 0),
            rows: x.count,
            columns,
            strides: [x.stride, 1],
        };
        let blocks: Vec<Vec<f32>> = (0..rows.div_ceil(PANEL))
            .into_par_iter()
            .map_init(Vec::new, |panel, block| {
                let first = block * PANEL;
                let width = PANEL.min(rows - first);
                panel.resize(width * columns, 0.0);
                widely(
                    #[inline(always)]
                    |_| {
                        for (i, out) in panel.chunks_exact_mut(columns).enumerate() {
                            for (out, number) in out.iter_mut().zip(self.weight.row(first + i)) {
                                *out = widen(*number);
                            }
                        }
                    },
                );
                let weights = Matrix {
                    data: panel,
                    rows: width,
                    columns,
                    strides: [columns, 1],
                };
                let mut out = vec![0.0; x.count * width];
                let to = Destination {
                    stride: width,
                    add: false,
                };
                multiply(&mut out, to, all, weights.transposed(), Parallelism::None);
                out
            })
            .collect();
        let mut out = vec![0.0; x.count * rows];
        out.par_chunks_mut(rows).enumerate().for_each(|(n, out)| {
            for (out, block) in out.chunks_mut(PANEL).zip(&blocks) {
                let width = out.len();
                if let Some(found) = block.get(n * width..(n + 1) * width) {
                    out.copy_from_slice(found);
                }
            }
        });
        out
    }
}

/// bf16 is the upper half of an f32.
#[inline(always)]
fn widen(number: Bf16) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(number)) << 16)
}

/// Inner product of stored weights and f32 numbers, with fused multiplication and addition where the processor has it.
#[inline(always)]
fn dot<const FUSED: bool>(weights: &[Bf16], x: &[f32]) -> f32 {
    let step = |sum: f32, w: Bf16, x: f32| {
        if FUSED {
            widen(w).mul_add(x, sum)
        } else {
            sum + widen(w) * x
        }
    };
    let mut lanes = [0f32; LANES];
    let (weights, weights_rest) = weights.as_chunks::<LANES>();
    let (x, x_rest) = x.as_chunks::<LANES>();
    for (weights, x) in weights.iter().zip(x) {
        for ((lane, w), x) in lanes.iter_mut().zip(weights).zip(x) {
            *lane = step(*lane, *w, *x);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        width /= 2;
    }
    let rest = weights_rest.iter().zip(x_rest);
    rest.fold(lanes[0], |sum, (w, x)| step(sum, *w, *x))
}

/// Runs a loop with the processor's widest vectors; it hears whether they multiply and add in one step.
#[inline(always)]
fn widely<R>(run: impl FnOnce(bool) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(wide) = pulp::x86::V4::try_new() {
            return pulp::Simd::vectorize(
                wide,
                #[inline(always)]
                || run(true),
            );
        }
        if let Some(wide) = pulp::x86::V3::try_new() {
            return pulp::Simd::vectorize(
                wide,
                #[inline(always)]
                || run(true),
            );
        }
    }
    run(false)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor};

    use super::{FEW, dot, gather_bf16, linear_bf16};
    use crate::bf16::tests::mapped;
    use crate::kernels::rows::tests::assert_close;

    #[test]
    fn equals_the_product_of_the_same_numbers_in_f32() -> Result<()> {
        for (parts, columns) in [(vec![5], 3), (vec![70, 1, 130], 200), (vec![300, 90], 333)] {
            let (matrix, weights) = mapped(&parts, columns)?;
            for rows in [1, 2, FEW, FEW + 1, 40] {
                // A slice of wider rows, as the gate is of gate and up.
                let wide = Tensor::randn(0.0f32, 1.0, (rows, columns + 9), &Device::Cpu)?;
                let x = wide.narrow(1, 4, columns)?;
                let found = linear_bf16(&x, &matrix)?;
                let expected = x.contiguous()?.matmul(&weights.t()?)?;
                assert_close(&found, &expected, 1e-5)?;
            }
        }
        Ok(())
    }

    #[test]
    fn fused_and_separate_steps_agree() -> Result<()> {
        let (matrix, _) = mapped(&[1], 1000)?;
        let x: Vec<f32> = (0..1000).map(|i| (i % 7) as f32 - 3.0).collect();
        let (fused, separate) = (
            dot::<true>(matrix.row(0), &x),
            dot::<false>(matrix.row(0), &x),
        );
        assert!((fused - separate).abs() < 1e-3, "{fused} {separate}");
        Ok(())
    }

    #[test]
    fn rows_are_gathered_and_scaled() -> Result<()> {
        let (matrix, weights) = mapped(&[4, 4], 6)?;
        let found = gather_bf16(&matrix, &[7, 0, 7], 2.5)?;
        let expected =
            (weights.index_select(&Tensor::new(&[7u32, 0, 7], &Device::Cpu)?, 0)? * 2.5)?;
        assert_close(&found, &expected, 1e-6)?;
        assert!(gather_bf16(&matrix, &[8], 1.0).is_err());
        Ok(())
    }

    #[test]
    fn widths_that_do_not_fit_are_refused() -> Result<()> {
        let (matrix, _) = mapped(&[4], 6)?;
        let x = Tensor::zeros((2, 5), candle_core::DType::F32, &Device::Cpu)?;
        assert!(linear_bf16(&x, &matrix).is_err());
        let none = Tensor::zeros((0, 6), candle_core::DType::F32, &Device::Cpu)?;
        assert_eq!(linear_bf16(&none, &matrix)?.dims(), [0, 4]);
        Ok(())
    }
}
