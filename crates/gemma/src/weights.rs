//! The weights of the fast path, laid out for few matrix products: one matrix for queries, keys and values, one for gate and up.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use matrix::{Mapped, MappedFile};
use rayon::prelude::*;

use crate::kernels::{gather_mapped, gather_rows, linear, linear_apart, linear_mapped};
use crate::parameters::{
    DOWN, EMBED, FINAL_NORM, GATE, HEAD, INPUT_NORM, K, O, POST_ATTENTION_NORM, POST_FFN_NORM,
    PRE_FFN_NORM, Q, UP, V, in_block,
};
use crate::{Config, Result};

/// Where weights come from.
pub(crate) trait Source {
    /// Appends the named tensor's elements, as f32.
    fn read(&mut self, name: &str, into: &mut Vec<f32>) -> Result<()>;

    /// The named tensors one below the other, bf16 where they are stored; `None` where they are to be read.
    fn leave(&mut self, names: &[String], columns: usize) -> Result<Option<Mapped>>;

    /// The files that hold what was left.
    fn files(&self) -> Vec<Arc<MappedFile>>;
}

impl<F: FnMut(&str, &mut Vec<f32>) -> Result<()>> Source for F {
    fn read(&mut self, name: &str, into: &mut Vec<f32>) -> Result<()> {
        self(name, into)
    }

    fn leave(&mut self, _: &[String], _: usize) -> Result<Option<Mapped>> {
        Ok(None)
    }

    fn files(&self) -> Vec<Arc<MappedFile>> {
        Vec::new()
    }
}

/// A matrix `[M, K]`.
#[derive(Clone, Debug)]
pub(crate) enum Weight {
    /// In the device's memory.
    Loaded(Tensor),
    /// In its files; products are computed in f32 on the CPU.
    Left(Mapped),
}

/// Whether the rows of a product may lean on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// Whatever is quickest: a row's last bits depend on how many there are.
    Together,
    /// On the CPU every row has the bits that it has alone; every weight is read once all the same.
    Apart,
}

impl Weight {
    /// x·wᵀ for `[N, K]`.
    pub(crate) fn product(&self, x: &Tensor, company: Company) -> candle_core::Result<Tensor> {
        match (self, company) {
            (Self::Loaded(weight), Company::Together) => linear(x, weight),
            (Self::Loaded(weight), Company::Apart) => linear_apart(x, weight),
            (Self::Left(weight), _) => linear_mapped(x, weight, company),
        }
    }

    /// `scale` times the rows at `numbers`, `[N, K]`.
    pub(crate) fn rows(&self, numbers: &[u32], scale: f64) -> candle_core::Result<Tensor> {
        match self {
            Self::Loaded(weight) => gather_rows(weight, numbers, scale),
            Self::Left(weight) => gather_mapped(weight, numbers, scale),
        }
    }
}

/// The weights of a model's lower half. Norm weights are f32, stored without the 1 that is added to them.
#[derive(Debug)]
pub(crate) struct Lower {
    /// `[V, D]`
    pub(crate) embed: Weight,
    /// The first blocks.
    pub(crate) blocks: Vec<BlockWeights>,
    /// The files that hold matrices which were not loaded.
    files: Vec<Arc<MappedFile>>,
}

/// The weights of the other blocks and of what comes after them.
#[derive(Debug)]
pub(crate) struct Upper {
    pub(crate) blocks: Vec<BlockWeights>,
    /// `[D]`
    pub(crate) final_norm: Tensor,
    /// `[V, D]`, the same numbers as `embed` where tied.
    pub(crate) head: Weight,
    /// As those of [`Lower`].
    files: Vec<Arc<MappedFile>>,
}

/// The weights of one block.
#[derive(Debug)]
pub(crate) struct BlockWeights {
    pub(crate) input_norm: Tensor,
    /// `[(heads + 2·kv_heads)·head_dim, D]`
    pub(crate) qkv: Weight,
    /// `[D, heads·head_dim]`
    pub(crate) output: Weight,
    pub(crate) post_attention_norm: Tensor,
    pub(crate) pre_ffn_norm: Tensor,
    /// `[2·intermediate, D]`, gate first
    pub(crate) gate_up: Weight,
    /// `[D, intermediate]`
    pub(crate) down: Weight,
    pub(crate) post_ffn_norm: Tensor,
}

impl Lower {
    /// Reads the embedding and the first `blocks` blocks from `source` and puts them on the device.
    pub(crate) fn assemble(
        config: &Config,
        blocks: usize,
        device: &Device,
        dtype: DType,
        source: &mut dyn Source,
    ) -> Result<Self> {
        Ok(Self {
            embed: matrix(&[EMBED.into()], config.hidden_size, device, dtype, source)?,
            blocks: (0..blocks)
                .map(|number| block(config, number, device, dtype, source))
                .collect::<Result<_>>()?,
            files: in_use(dtype, source),
        })
    }

    /// Fails when a file that holds weights was written to or cut.
    pub(crate) fn check(&self) -> Result<()> {
        Ok(self.files.iter().try_for_each(|file| file.check())?)
    }
}

impl Upper {
    /// Reads the blocks that `lower` lacks and what comes after them.
    pub(crate) fn assemble(
        config: &Config,
        lower: &Lower,
        device: &Device,
        dtype: DType,
        source: &mut dyn Source,
    ) -> Result<Self> {
        Ok(Self {
            blocks: (lower.blocks.len()..config.num_layers)
                .map(|number| block(config, number, device, dtype, source))
                .collect::<Result<_>>()?,
            final_norm: vector(FINAL_NORM, device, source)?,
            head: if config.tie_word_embeddings {
                lower.embed.clone()
            } else {
                matrix(&[HEAD.into()], config.hidden_size, device, dtype, source)?
            },
            files: in_use(dtype, source),
        })
    }

    /// As [`Lower::check`].
    pub(crate) fn check(&self) -> Result<()> {
        Ok(self.files.iter().try_for_each(|file| file.check())?)
    }
}

/// The files that matrices stay in: in bf16 they were copied.
fn in_use(dtype: DType, source: &dyn Source) -> Vec<Arc<MappedFile>> {
    if dtype == DType::BF16 {
        Vec::new()
    } else {
        source.files()
    }
}

fn block(
    config: &Config,
    number: usize,
    device: &Device,
    dtype: DType,
    source: &mut dyn Source,
) -> Result<BlockWeights> {
    let d = config.hidden_size;
    let heads = config.num_heads * config.head_dim;
    let mut stack = |parts: &[&str], columns: usize| {
        let names: Vec<_> = parts.iter().map(|part| in_block(number, part)).collect();
        matrix(&names, columns, device, dtype, source)
    };
    let qkv = stack(&[Q, K, V], d)?;
    let output = stack(&[O], heads)?;
    let gate_up = stack(&[GATE, UP], d)?;
    let down = stack(&[DOWN], config.intermediate_size)?;
    let mut norm = |part: &str| vector(&in_block(number, part), device, source);
    Ok(BlockWeights {
        input_norm: norm(INPUT_NORM)?,
        qkv,
        output,
        post_attention_norm: norm(POST_ATTENTION_NORM)?,
        pre_ffn_norm: norm(PRE_FFN_NORM)?,
        gate_up,
        down,
        post_ffn_norm: norm(POST_FFN_NORM)?,
    })
}

/// The named tensors one below the other.
fn matrix(
    names: &[String],
    columns: usize,
    device: &Device,
    dtype: DType,
    source: &mut dyn Source,
) -> Result<Weight> {
    if let Some(left) = source.leave(names, columns)? {
        return if dtype == DType::BF16 {
            copied(&left, device).map(Weight::Loaded)
        } else {
            Ok(Weight::Left(left))
        };
    }
    let mut data = vec![];
    for name in names {
        source.read(name, &mut data)?;
    }
    let shape = (data.len() / columns.max(1), columns);
    let matrix = Tensor::from_vec(data, shape, &Device::Cpu)?;
    Ok(Weight::Loaded(matrix.to_dtype(dtype)?.to_device(device)?))
}

/// A copy of bf16 numbers that lie in a file.
fn copied(matrix: &Mapped, device: &Device) -> Result<Tensor> {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    let mut numbers = Vec::with_capacity(rows * columns);
    for part in matrix.bytes() {
        let (pairs, _) = part.as_chunks::<2>();
        numbers.par_extend(pairs.par_iter().map(|pair| bf16::from_le_bytes(*pair)));
    }
    Ok(Tensor::from_vec(numbers, (rows, columns), device)?)
}

/// A norm's weights, in f32 whatever the rest is in.
fn vector(name: &str, device: &Device, source: &mut dyn Source) -> Result<Tensor> {
    let mut data = vec![];
    source.read(name, &mut data)?;
    let length = data.len();
    Ok(Tensor::from_vec(data, length, &Device::Cpu)?.to_device(device)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use candle_core::{DType, Device, Tensor};
    use half::bf16;
    use matrix::{Format, Mapped, MappedFile, Part};

    use super::copied;

    #[test]
    fn copied_parts_lie_one_below_the_other() {
        let numbers: Vec<bf16> = (0..60).map(|i| bf16::from_f32(i as f32 - 30.5)).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in &numbers {
            file.write_all(&number.to_le_bytes()).unwrap();
        }
        let file = std::sync::Arc::new(MappedFile::open(file.path()).unwrap());
        let part = |rows: std::ops::Range<usize>| Part {
            file: file.clone(),
            bytes: rows.start * 12..rows.end * 12,
        };
        let parts = vec![part(7..10), part(0..2)];
        let matrix = Mapped::new(parts, 6, Format::Bf16).unwrap();
        let found = copied(&matrix, &Device::Cpu).unwrap();
        assert_eq!(
            (found.dims(), found.dtype()),
            ([5, 6].as_slice(), DType::BF16)
        );
        let expected = [&numbers[42..60], &numbers[..12]].concat();
        let expected = Tensor::from_vec(expected, (5, 6), &Device::Cpu).unwrap();
        assert_eq!(
            found.to_vec2::<bf16>().unwrap(),
            expected.to_vec2::<bf16>().unwrap()
        );
    }
}
