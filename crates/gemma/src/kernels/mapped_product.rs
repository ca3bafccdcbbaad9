//! Products of tensors with matrices that stay in their files, in f32 on the CPU.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use matrix::Mapped;

use super::rows::Rows;
use crate::weights::Company;

/// x·wᵀ for x `[N, K]` in f32 and w `[M, K]`.
pub(crate) fn linear_mapped(x: &Tensor, weight: &Mapped, company: Company) -> Result<Tensor> {
    x.apply_op1_no_bwd(&MappedProduct {
        weight: weight.clone(),
        company,
    })
}

/// `scale` times the rows of `table` `[R, D]` at `numbers`, `[N, D]` in f32.
pub(crate) fn gather_mapped(table: &Mapped, numbers: &[u32], scale: f64) -> Result<Tensor> {
    let shape = (numbers.len(), table.columns());
    let mut out = vec![0.0; shape.0 * shape.1];
    for (number, out) in numbers.iter().zip(out.chunks_mut(table.columns())) {
        if !table.copy_row(*number as usize, scale as f32, out) {
            bail!(
                "row {number} of a table with {} rows is wanted",
                table.rows()
            )
        }
    }
    Tensor::from_vec(out, shape, &Device::Cpu)
}

struct MappedProduct {
    weight: Mapped,
    company: Company,
}

impl CustomOp1 for MappedProduct {
    fn name(&self) -> &'static str {
        "mapped-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(storage, layout)?.matrix();
        if x.columns != self.weight.columns() {
            bail!(
                "a product of rows {} wide with weights {} wide",
                x.columns,
                self.weight.columns()
            )
        }
        let shape = (x.rows, self.weight.rows());
        let products = match self.company {
            Company::Together => self.weight.products(x),
            Company::Apart => self.weight.products_apart(x),
        };
        Ok((CpuStorage::F32(products), shape.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use candle_core::{DType, Device, Result, Tensor};
    use half::bf16;
    use matrix::{Format, Mapped, MappedFile, Part};

    use super::{Company, gather_mapped, linear_mapped};
    use crate::kernels::rows::tests::assert_close;

    /// A matrix of random bf16 numbers in a file, and the same as f32 in memory.
    fn mapped(rows: usize, columns: usize) -> Result<(Mapped, Tensor)> {
        let all = Tensor::randn(0.0f32, 1.0, (rows, columns), &Device::Cpu)?;
        let all = all.to_dtype(DType::BF16)?;
        let mut file = tempfile::NamedTempFile::new()?;
        for number in all.flatten_all()?.to_vec1::<bf16>()? {
            file.write_all(&number.to_le_bytes())?;
        }
        file.flush()?;
        let part = Part {
            file: Arc::new(MappedFile::open(file.path())?),
            bytes: 0..2 * rows * columns,
        };
        let matrix = Mapped::new(vec![part], columns, Format::Bf16).unwrap();
        Ok((matrix, all.to_dtype(DType::F32)?))
    }

    #[test]
    fn slices_are_multiplied() -> Result<()> {
        let (matrix, weights) = mapped(90, 33)?;
        for rows in [1, 3, 20] {
            let wide = Tensor::randn(0.0f32, 1.0, (rows, 42), &Device::Cpu)?;
            let x = wide.narrow(1, 4, 33)?;
            let expected = x.contiguous()?.matmul(&weights.t()?)?;
            for company in [Company::Together, Company::Apart] {
                assert_close(&linear_mapped(&x, &matrix, company)?, &expected, 1e-5)?;
            }
        }
        Ok(())
    }

    #[test]
    fn rows_apart_have_the_bits_that_they_have_alone() -> Result<()> {
        for (rows, columns) in [(90, 33), (400, 256)] {
            let (matrix, _) = mapped(rows, columns)?;
            let x = Tensor::randn(0.0f32, 1.0, (9, columns), &Device::Cpu)?;
            let product = |x: &Tensor| linear_mapped(x, &matrix, Company::Apart);
            let all = product(&x)?.to_vec2::<f32>()?;
            for (n, row) in all.iter().enumerate() {
                assert_eq!(&product(&x.narrow(0, n, 1)?)?.to_vec2::<f32>()?[0], row);
            }
        }
        Ok(())
    }

    #[test]
    fn rows_are_gathered_and_scaled() -> Result<()> {
        let (matrix, weights) = mapped(8, 6)?;
        let found = gather_mapped(&matrix, &[7, 0, 7], 2.5)?;
        let index = Tensor::new(&[7u32, 0, 7], &Device::Cpu)?;
        let expected = (weights.index_select(&index, 0)? * 2.5)?;
        assert_close(&found, &expected, 1e-6)?;
        assert!(gather_mapped(&matrix, &[8], 1.0).is_err());
        Ok(())
    }

    #[test]
    fn widths_that_do_not_fit_are_refused() -> Result<()> {
        let (matrix, _) = mapped(4, 6)?;
        let zeros = |shape| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        for company in [Company::Together, Company::Apart] {
            let product = |x: &Tensor| linear_mapped(x, &matrix, company);
            assert!(product(&zeros((2, 5))?).is_err());
            assert_eq!(product(&zeros((0, 6))?)?.dims(), [0, 4]);
        }
        Ok(())
    }
}
