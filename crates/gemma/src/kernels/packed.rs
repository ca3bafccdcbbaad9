//! Attention of several whole sequences that stand one after the other in one matrix, so that all else is one product per weight.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use matrix::{Destination, Matrix, Parallelism, Write, multiply};
use rayon::prelude::*;

use super::attend::attend;
use super::fused;
use super::heads::{Rotation, join_heads, rotate, split_heads};
use super::probabilities::{Masks, Span, capped_softmax};
use super::rows::{Rows, fill_rows};
use crate::rotary::Tables;

/// Queries of one sequence that are done together: enough for quick products, few enough that no keys are read beyond most of them.
const QUERIES: usize = 64;

/// The constants of one block's attention over packed sequences.
#[derive(Clone)]
pub(crate) struct Packed {
    /// Rows of every sequence, one after the other.
    pub(crate) sequences: Arc<[Range<usize>]>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Queries are multiplied by it.
    pub(crate) scale: f32,
    pub(crate) cap: Option<f64>,
    pub(crate) window: Option<usize>,
}

/// From queries, keys and values `[N, (heads + 2·kv_heads)·head_dim]` the mixed values `[N, heads·head_dim]`; every sequence starts at
/// position 0 and sees itself alone.
pub(crate) fn packed_attention(qkv: &Tensor, packed: &Packed, masks: &Masks) -> Result<Tensor> {
    if fused(qkv) {
        return qkv.apply_op1_no_bwd(packed);
    }
    packed.composed(qkv, masks)
}

impl Packed {
    fn composed(&self, qkv: &Tensor, masks: &Masks) -> Result<Tensor> {
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let rotation = Rotation {
            tables: self.tables.clone(),
            first: 0,
        };
        let mixed = |sequence: &Range<usize>| {
            let tokens = sequence.len();
            let rows = qkv.narrow(0, sequence.start, tokens)?;
            let part = |from: usize, heads: usize, rotation: Option<&Rotation>, scale: f32| {
                let columns = rows.narrow(1, from * head_dim, heads * head_dim)?;
                split_heads(&columns, 1, heads, rotation, scale)?.squeeze(0)
            };
            let queries = part(0, heads, Some(&rotation), self.scale)?;
            let keys = part(heads, kv_heads, Some(&rotation), 1.0)?;
            let values = part(heads + kv_heads, kv_heads, None, 1.0)?;
            let span = Span::new(tokens, 0, self.window);
            let mixed = attend(&queries, (&keys, &values), self.cap, span, masks)?;
            join_heads(&mixed.unsqueeze(0)?)
        };
        let all: Vec<Tensor> = self.sequences.iter().map(mixed).collect::<Result<_>>()?;
        Tensor::cat(&all, 0)
    }

    /// Rotated keys `[N, kv_heads·head_dim]`.
    fn keys(&self, qkv: &Rows<'_>) -> Vec<f32> {
        let (head_dim, width) = (self.head_dim, self.kv_heads * self.head_dim);
        let mut positions = vec![0; qkv.count];
        for sequence in self.sequences.iter() {
            for (position, slot) in positions[sequence.clone()].iter_mut().enumerate() {
                *slot = position;
            }
        }
        let mut keys = vec![0.0; qkv.count * width];
        fill_rows(
            &mut keys,
            width,
            #[inline(always)]
            |i, out| {
                let source = &qkv.row(i)[self.heads * head_dim..][..width];
                let heads = out.chunks_mut(head_dim).zip(source.chunks(head_dim));
                for (out, source) in heads {
                    rotate(self.tables.row(positions[i]), 1.0, 1.0, source, out);
                }
            },
        );
        keys
    }

    /// The mixed values of some queries of one sequence, `[queries, heads·head_dim]`.
    fn mix(&self, qkv: &Rows<'_>, keys: &[f32], block: &Block, out: &mut [f32]) {
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let group = heads / kv_heads;
        let count = block.queries.len();
        let span = Span::new(block.queries.end, 0, self.window);
        let first = span.seen(block.queries.start).start;
        let seen = block.queries.end - first;
        // Rows of the keys at hand in the packed matrices.
        let rows = block.start + first..block.start + block.queries.end;
        let mut queries = vec![0.0; group * count * head_dim];
        let mut scores = vec![0.0; group * count * seen];
        for kv_head in 0..kv_heads {
            for (i, out) in queries.chunks_mut(head_dim).enumerate() {
                let (head, query) = (kv_head * group + i / count, block.queries.start + i % count);
                let source = &qkv.row(block.start + query)[head * head_dim..][..head_dim];
                rotate(self.tables.row(query), 1.0, self.scale, source, out);
            }
            let queries = Matrix {
                data: &queries,
                rows: group * count,
                columns: head_dim,
                strides: [head_dim, 1],
            };
            let keys = Matrix {
                data: &keys[(rows.start * kv_heads + kv_head) * head_dim..],
                rows: seen,
                columns: head_dim,
                strides: [kv_heads * head_dim, 1],
            };
            let to = |stride: usize| Destination {
                stride,
                write: Write::Set,
            };
            multiply(
                &mut scores,
                to(seen),
                queries,
                keys.transposed(),
                Parallelism::None,
            );
            for (i, scores) in scores.chunks_mut(seen).enumerate() {
                let visible = span.seen(block.queries.start + i % count);
                let (before, after) = (visible.start - first, visible.end - first);
                scores[..before].fill(0.0);
                scores[after..].fill(0.0);
                capped_softmax(&mut scores[before..after], self.cap.map(|cap| cap as f32));
            }
            let values = Matrix {
                data: qkv.from(rows.start, (heads + kv_heads + kv_head) * head_dim),
                rows: seen,
                columns: head_dim,
                strides: [qkv.stride, 1],
            };
            for (i, scores) in scores.chunks(count * seen).enumerate() {
                let probabilities = Matrix {
                    data: scores,
                    rows: count,
                    columns: seen,
                    strides: [seen, 1],
                };
                let out = &mut out[(kv_head * group + i) * head_dim..];
                multiply(
                    out,
                    to(heads * head_dim),
                    probabilities,
                    values,
                    Parallelism::None,
                );
            }
        }
    }
}

/// Queries of one sequence.
struct Block {
    /// The sequence's first row.
    start: usize,
    /// Positions in the sequence.
    queries: Range<usize>,
}

impl CustomOp1 for Packed {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = Rows::new(storage, layout)?;
        let mut end = 0;
        for sequence in self.sequences.iter() {
            if sequence.start != end || sequence.is_empty() {
                bail!("packed sequences must follow one another and have tokens")
            }
            end = sequence.end;
        }
        if end != qkv.count || qkv.width != (self.heads + 2 * self.kv_heads) * self.head_dim {
            bail!(
                "packed attention over {end} tokens got a matrix of shape {:?}",
                layout.dims()
            )
        }
        let keys = self.keys(&qkv);
        let width = self.heads * self.head_dim;
        let mut out = vec![0.0; qkv.count * width];
        let mut blocks = Vec::new();
        let mut rest = out.as_mut_slice();
        for sequence in self.sequences.iter() {
            for from in (0..sequence.len()).step_by(QUERIES) {
                let queries = from..(from + QUERIES).min(sequence.len());
                let (part, others) = rest.split_at_mut(queries.len() * width);
                rest = others;
                let start = sequence.start;
                blocks.push((Block { start, queries }, part));
            }
        }
        blocks
            .into_par_iter()
            .for_each(|(block, out)| self.mix(&qkv, &keys, &block, out));
        Ok((CpuStorage::F32(out), (qkv.count, width).into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{Device, Result, Tensor};

    use super::{Masks, Packed, packed_attention};
    use crate::kernels::rows::tests::assert_close;
    use crate::rotary::Tables;

    #[test]
    fn fused_equals_composed() -> Result<()> {
        let (heads, kv_heads, head_dim) = (6, 2, 8);
        for (window, cap) in [(None, None), (Some(5), Some(2.0)), (Some(70), Some(50.0))] {
            let packed = Packed {
                sequences: Arc::new([0..1, 1..30, 30..180]),
                tables: Arc::new(Tables::new(head_dim, 10_000.0, 200)),
                heads,
                kv_heads,
                head_dim,
                scale: 0.3,
                cap,
                window,
            };
            let width = (heads + 2 * kv_heads) * head_dim;
            let qkv = Tensor::randn(0.0f32, 2.0, (180, width), &Device::Cpu)?;
            let masks = Masks::default();
            let found = packed_attention(&qkv, &packed, &masks)?;
            assert_close(&found, &packed.composed(&qkv, &masks)?, 1e-6)?;
        }
        Ok(())
    }

    #[test]
    fn sequences_that_do_not_fill_the_matrix_are_refused() -> Result<()> {
        let packed = Packed {
            sequences: Arc::new([0..1, 1..3]),
            tables: Arc::new(Tables::new(4, 10_000.0, 8)),
            heads: 1,
            kv_heads: 1,
            head_dim: 4,
            scale: 1.0,
            cap: None,
            window: None,
        };
        let zeros = |rows| Tensor::zeros((rows, 12), candle_core::DType::F32, &Device::Cpu);
        let masks = Masks::default();
        assert!(packed_attention(&zeros(4)?, &packed, &masks).is_err());
        assert_eq!(
            packed_attention(&zeros(3)?, &packed, &masks)?.dims(),
            [3, 4]
        );
        Ok(())
    }
}
