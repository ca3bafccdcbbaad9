//! Encoder and decoder, in memory or left in their mapped file.

use std::borrow::Cow;

use candle_core::Tensor;
use matrix::{Mapped, Matrix};
use rayon::prelude::*;

use crate::error::Result;

/// The encoder, [2·D, F].
#[derive(Debug)]
pub(crate) enum Encoder {
    /// On the device.
    Loaded(Tensor),
    /// In its file; products are computed in f32 on the CPU.
    Mapped(Mapped),
}

impl Encoder {
    /// x·W for x [N, 2·D]: [N, F].
    pub(crate) fn product(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Loaded(encoder) => Ok(x.matmul(encoder)?),
            Self::Mapped(encoder) => {
                let tokens = x.dim(0)?;
                let numbers = x.flatten_all()?.to_vec1::<f32>()?;
                let sums = encoder.sums(Matrix::dense(&numbers, encoder.rows()));
                let shape = (tokens, encoder.columns());
                Ok(Tensor::from_vec(sums, shape, x.device())?)
            }
        }
    }

    /// As [`Encoder::product`]; on the CPU every row has the bits that it has alone.
    pub(crate) fn product_apart(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Loaded(encoder) if x.device().is_cpu() => {
                let alone = |row| x.narrow(0, row, 1)?.matmul(encoder);
                let rows = (0..x.dim(0)?).map(alone);
                let rows = rows.collect::<candle_core::Result<Vec<_>>>()?;
                Ok(Tensor::cat(&rows, 0)?)
            }
            Self::Loaded(encoder) => Ok(x.matmul(encoder)?),
            Self::Mapped(encoder) => {
                let numbers = x.flatten_all()?.to_vec1::<f32>()?;
                let sums = encoder.sums_apart(Matrix::dense(&numbers, encoder.rows()));
                let shape = (x.dim(0)?, encoder.columns());
                Ok(Tensor::from_vec(sums, shape, x.device())?)
            }
        }
    }

    /// Columns of chosen latents, [2·D, J].
    pub(crate) fn columns(&self, ids: &[u32]) -> Result<Tensor> {
        match self {
            Self::Loaded(encoder) => {
                let index = Tensor::from_slice(ids, ids.len(), encoder.device())?;
                Ok(encoder.index_select(&index, 1)?)
            }
            Self::Mapped(encoder) => {
                let shape = (encoder.rows(), ids.len());
                let columns = encoder.columns_at(ids);
                Ok(Tensor::from_vec(columns, shape, &candle_core::Device::Cpu)?)
            }
        }
    }
}

/// The decoder's rows on the host, [2·F, D]: the base model's, then the chat model's.
#[derive(Debug)]
pub(crate) enum Rows {
    /// In memory, with their width D.
    Loaded(Vec<f32>, usize),
    /// In their file.
    Mapped(Mapped),
}

impl Rows {
    /// One row, [D]; empty where there is none.
    pub(crate) fn row(&self, row: usize) -> Cow<'_, [f32]> {
        match self {
            Self::Loaded(numbers, dim) => {
                let row = numbers.get(row * dim..(row + 1) * dim);
                Cow::Borrowed(row.unwrap_or_default())
            }
            Self::Mapped(rows) => {
                let mut row_of = vec![0.0; rows.columns()];
                if rows.copy_row(row, 1.0, &mut row_of) {
                    Cow::Owned(row_of)
                } else {
                    Cow::Borrowed(&[])
                }
            }
        }
    }

    /// Every row's length.
    pub(crate) fn norms(&self) -> Vec<f32> {
        match self {
            Self::Loaded(numbers, dim) => numbers
                .par_chunks_exact((*dim).max(1))
                .map(diffing::norm)
                .collect(),
            Self::Mapped(rows) => (0..rows.rows())
                .into_par_iter()
                .map_init(
                    || vec![0.0; rows.columns()],
                    |row_of, row| {
                        rows.copy_row(row, 1.0, row_of);
                        diffing::norm(row_of)
                    },
                )
                .collect(),
        }
    }
}
