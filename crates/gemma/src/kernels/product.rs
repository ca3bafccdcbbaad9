//! Matrix products. The tensor library's own product asks the system for its number of cores at every call, which costs more than a small
//! product; this one does not, and spreads the matrices of a batch over the cores.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use matrix::{Destination, Matrix, Parallelism, Write, multiply};
use rayon::prelude::*;

use super::fused;
use super::rows::{Rows, sum_or_zeros};

/// Multiplications below which one core is quicker.
const PARALLEL: usize = 1 << 19;

/// a·b for `[m, k]` and `[k, n]`, or for equally many of both, `[S, m, k]` and `[S, k, n]`; any strides will do.
pub(crate) fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if fused(a) && fused(b) {
        return a.apply_op2(b, Product::default());
    }
    a.matmul(b)
}

/// x·wᵀ for `[N, K]` and `[M, K]`.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    product(x, &weight.t()?)
}

/// As [`linear`], without a gradient; on the CPU every row has the bits that it has alone.
pub(crate) fn linear_apart(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if fused(x) && fused(weight) {
        return x.apply_op2_no_bwd(weight, &RowProducts);
    }
    x.matmul(&weight.t()?)
}

/// a·b without a gradient of its own, added to `sum` where there is one.
pub(crate) fn add_product(sum: Option<&Tensor>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.apply_op2_no_bwd(b, &Product { sum: sum.cloned() })
}

/// One or several matrices of equal size at equal distances.
#[derive(Clone, Copy)]
pub(super) struct Matrices<'a> {
    data: &'a [f32],
    count: usize,
    rows: usize,
    columns: usize,
    /// Distances between matrices, rows and columns.
    strides: [usize; 3],
}

impl<'a> Matrices<'a> {
    fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let CpuStorage::F32(data) = storage else {
            bail!("a product of f32 matrices got another number format")
        };
        let ((count, rows, columns), strides) = match (layout.dims(), layout.stride()) {
            ([rows, columns], [row, column]) => ((1, *rows, *columns), [0, *row, *column]),
            ([count, rows, columns], [matrix, row, column]) => {
                ((*count, *rows, *columns), [*matrix, *row, *column])
            }
            (dims, _) => {
                bail!("a product got a tensor of shape {dims:?}, expected two or three dimensions")
            }
        };
        let data = data.get(layout.start_offset()..).unwrap_or_default();
        let sizes = [count, rows, columns];
        let last: usize = sizes
            .iter()
            .zip(strides)
            .map(|(size, stride)| size.saturating_sub(1) * stride)
            .sum();
        if !sizes.contains(&0) && last >= data.len() {
            bail!("a product got a layout outside its storage")
        }
        Ok(Self {
            data,
            count,
            rows,
            columns,
            strides,
        })
    }

    /// The matrix at `index`, which must be one of them.
    fn at(&self, index: usize) -> Matrix<'a> {
        let [matrix, row, column] = self.strides;
        Matrix {
            data: &self.data[index * matrix..],
            rows: self.rows,
            columns: self.columns,
            strides: [row, column],
        }
    }
}

#[derive(Default)]
struct Product {
    sum: Option<Tensor>,
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (Matrices::new(s1, l1)?, Matrices::new(s2, l2)?);
        if a.columns != b.rows || a.count != b.count || l1.dims().len() != l2.dims().len() {
            bail!(
                "a product got shapes {:?} and {:?}, which do not fit",
                l1.dims(),
                l2.dims()
            )
        }
        let mut dims = l1.dims().to_vec();
        if let Some(columns) = dims.last_mut() {
            *columns = b.columns;
        }
        let size = a.rows * b.columns;
        let mut out = sum_or_zeros(self.sum.as_ref(), a.count * size, 0)?;
        let to = Destination {
            stride: b.columns,
            write: if self.sum.is_some() {
                Write::Add
            } else {
                Write::Set
            },
        };
        if size > 0 && a.columns > 0 {
            let work = out.len() * a.columns;
            if a.count == 1 {
                let cores = if work < PARALLEL {
                    Parallelism::None
                } else {
                    Parallelism::Rayon(0)
                };
                multiply(&mut out, to, a.at(0), b.at(0), cores);
            } else if work < PARALLEL {
                let each = out.chunks_mut(size).enumerate();
                each.for_each(|(i, out)| multiply(out, to, a.at(i), b.at(i), Parallelism::None));
            } else {
                let each = out.par_chunks_mut(size).enumerate();
                each.for_each(|(i, out)| multiply(out, to, a.at(i), b.at(i), Parallelism::None));
            }
        }
        Ok((CpuStorage::F32(out), dims.into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let of_a = add_product(None, grad, &b.t()?)?;
        let of_b = add_product(None, &a.t()?, grad)?;
        Ok((Some(of_a), Some(of_b)))
    }
}

/// x·wᵀ, each number summed as if its row of x were the only one.
struct RowProducts;

impl CustomOp2 for RowProducts {
    fn name(&self) -> &'static str {
        "row-products"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (Rows::new(s1, l1)?, Rows::new(s2, l2)?);
        if x.width != w.width {
            bail!(
                "a product of rows {} wide with weights {} wide",
                x.width,
                w.width
            )
        }
        let products = matrix::products_apart(w.matrix(), x.matrix());
        Ok((CpuStorage::F32(products), (x.count, w.count).into()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::{linear, linear_apart, product};
    use crate::kernels::rows::tests::assert_close;

    #[test]
    fn equals_the_tensor_library_forward_and_backward() -> Result<()> {
        let cpu = &Device::Cpu;
        for (a, b) in [
            (vec![17, 40], vec![30, 40]),
            (vec![6, 17, 40], vec![6, 30, 40]),
            (vec![6, 150, 40], vec![6, 130, 40]),
        ] {
            let a = Var::randn(0.0f32, 1.0, a, cpu)?;
            // A slice of a larger buffer, transposed, as the cache gives it.
            let b = Var::randn(0.0f32, 1.0, b, cpu)?;
            let dim = b.rank() - 2;
            let slice = b.narrow(dim, 3, 20)?.t()?;
            let (found, expected) = (product(&a, &slice)?, a.matmul(&slice)?);
            assert_close(&found, &expected, 1e-6)?;
            let into = Tensor::randn(0.0f32, 1.0, found.shape(), cpu)?;
            let found = (&found * &into)?.sum_all()?.backward()?;
            let expected = (&expected * &into)?.sum_all()?.backward()?;
            for var in [&a, &b] {
                assert_close(found.get(var).unwrap(), expected.get(var).unwrap(), 1e-5)?;
            }
        }
        Ok(())
    }

    #[test]
    fn rows_apart_have_the_bits_that_they_have_alone() -> Result<()> {
        let cpu = &Device::Cpu;
        for (rows, columns) in [(90, 33), (400, 256)] {
            let weight = Tensor::randn(0.0f32, 1.0, (rows, columns), cpu)?;
            let wide = Tensor::randn(0.0f32, 1.0, (9, columns + 8), cpu)?;
            let x = wide.narrow(1, 5, columns)?;
            let all = linear_apart(&x, &weight)?;
            assert_close(&all, &linear(&x, &weight)?, 1e-5)?;
            for (n, row) in all.to_vec2::<f32>()?.iter().enumerate() {
                let alone = linear_apart(&x.narrow(0, n, 1)?, &weight)?;
                assert_eq!(&alone.to_vec2::<f32>()?[0], row);
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu);
        assert!(product(&zeros(&[2, 3])?, &zeros(&[4, 2])?).is_err());
        assert!(product(&zeros(&[2, 2, 3])?, &zeros(&[3, 3, 2])?).is_err());
        assert!(product(&zeros(&[2, 2, 3])?, &zeros(&[3, 2])?).is_err());
        assert_eq!(product(&zeros(&[0, 3])?, &zeros(&[3, 2])?)?.dims(), [0, 2]);
        assert!(linear_apart(&zeros(&[2, 3])?, &zeros(&[4, 2])?).is_err());
        assert_eq!(
            linear_apart(&zeros(&[0, 3])?, &zeros(&[4, 3])?)?.dims(),
            [0, 4]
        );
        Ok(())
    }
}
