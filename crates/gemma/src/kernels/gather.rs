//! Rows of a table by number, multiplied by a constant: embeddings, and the positions whose logits are wanted.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::fused;
use super::rows::{Rows, fill_rows, sum_or_zeros};

/// `scale` times the rows of `table` `[R, D]` at `numbers`, `[N, D]`.
pub(crate) fn gather_rows(table: &Tensor, numbers: &[u32], scale: f64) -> Result<Tensor> {
    if fused(table) {
        return table.apply_op1(Gather {
            numbers: numbers.into(),
            scale: scale as f32,
        });
    }
    let rows = table.index_select(&Tensor::new(numbers, table.device())?, 0)?;
    if scale == 1.0 { Ok(rows) } else { rows * scale }
}

/// The table's gradient `[R, D]` from that of the gathered rows, added to `sum` where there is one.
pub(crate) fn gather_rows_backward(
    grad: &Tensor,
    numbers: &[u32],
    scale: f64,
    rows: usize,
    sum: Option<&Tensor>,
) -> Result<Tensor> {
    grad.apply_op1_no_bwd(&Scatter {
        numbers: numbers.into(),
        scale: scale as f32,
        rows,
        sum: sum.cloned(),
    })
}

struct Gather {
    numbers: Arc<[u32]>,
    scale: f32,
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = Rows::new(storage, layout)?;
        if let Some(number) = self
            .numbers
            .iter()
            .find(|number| **number as usize >= table.count)
        {
            bail!(
                "row {number} of a table with {} rows is wanted",
                table.count
            )
        }
        let mut out = vec![0.0; self.numbers.len() * table.width];
        fill_rows(&mut out, table.width, |i, out| {
            for (out, x) in out.iter_mut().zip(table.row(self.numbers[i] as usize)) {
                *out = x * self.scale;
            }
        });
        Ok((
            CpuStorage::F32(out),
            (self.numbers.len(), table.width).into(),
        ))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        gather_rows_backward(
            &grad.contiguous()?,
            &self.numbers,
            f64::from(self.scale),
            table.dim(0)?,
            None,
        )
        .map(Some)
    }
}

struct Scatter {
    numbers: Arc<[u32]>,
    scale: f32,
    rows: usize,
    sum: Option<Tensor>,
}

impl CustomOp1 for Scatter {
    fn name(&self) -> &'static str {
        "scatter-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let grad = Rows::new(storage, layout)?;
        let width = grad.width;
        let mut out = sum_or_zeros(self.sum.as_ref(), self.rows * width, 0)?;
        for (i, number) in self.numbers.iter().enumerate() {
            let start = *number as usize * width;
            for (out, g) in out[start..start + width].iter_mut().zip(grad.row(i)) {
                *out += g * self.scale;
            }
        }
        Ok((CpuStorage::F32(out), (self.rows, width).into()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::gather_rows;
    use crate::kernels::rows::tests::assert_close;

    #[test]
    fn fused_equals_composed_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        let table = Var::randn(0.0f32, 1.0, (11, 6), cpu)?;
        let numbers = [3u32, 0, 3, 10];
        let into = Tensor::randn(0.0f32, 1.0, (4, 6), cpu)?;
        let fused = gather_rows(&table, &numbers, 2.5)?;
        let plain = (table.index_select(&Tensor::new(&numbers, cpu)?, 0)? * 2.5)?;
        assert_close(&fused, &plain, 1e-6)?;
        let a = (&fused * &into)?.sum_all()?.backward()?;
        let b = (&plain * &into)?.sum_all()?.backward()?;
        assert_close(a.get(&table).unwrap(), b.get(&table).unwrap(), 1e-6)
    }

    #[test]
    fn a_row_outside_the_table_is_refused() -> Result<()> {
        let table = Tensor::zeros((4, 2), candle_core::DType::F32, &Device::Cpu)?;
        assert!(gather_rows(&table, &[4], 1.0).is_err());
        Ok(())
    }
}
