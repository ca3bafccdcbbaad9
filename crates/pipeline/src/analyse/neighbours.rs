//! Latents whose decoder rows point the same way: the nearest by chat row, and twins of opposite classes.

use api::{Class, LatentRow};
use candle_core::Tensor;
use rayon::prelude::*;
use store::{NeighbourRecord, TwinRecord};

use super::Context;
use super::largest::largest;
use crate::Result;

/// Numbers of the cosine matrix that are in memory at once.
const BLOCK_NUMBERS: usize = 1 << 24;
/// Smallest cosine of twins, exclusive (the authors' constant).
const TWINS: f64 = 0.9;
/// How far a cosine in f32 may be from the one in f64.
const ROUNDING: f32 = 1e-4;

/// Every latent's nearest by cosine of the chat rows, nearest first. A zero row is near to none.
pub(super) fn nearest(context: &Context<'_>) -> Result<Vec<NeighbourRecord>> {
    let latents = context.crosscoder.dict_size();
    let wanted = context.options.neighbours;
    let row = |id| context.crosscoder.decoder_row(1, id);
    let all: Vec<u32> = (0..latents as u32).collect();
    let unit = unit(context, 1, &all)?;
    let mut records = Vec::with_capacity(latents);
    context
        .progress
        .start("neighbours", "latents", latents as u64);
    cosines([&unit], [&unit], 0, |from, [cosines]| {
        let found: Vec<NeighbourRecord> = cosines
            .par_chunks(latents)
            .enumerate()
            .map(|(offset, cosines)| {
                let latent = (from + offset) as u32;
                let near = largest(cosines.iter().copied(), wanted, Some(latent));
                let mut neighbours: Vec<(u32, f64)> = near
                    .into_iter()
                    .filter_map(|(other, _)| {
                        Some((other, diffing::cosine(&row(latent), &row(other))?))
                    })
                    .collect();
                neighbours.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                NeighbourRecord { latent, neighbours }
            })
            .collect();
        records.extend(found);
        context.progress.advance(records.len() as u64);
        Ok(())
    })?;
    context.progress.finish();
    Ok(records)
}

/// Pairs of a chat-only and a base-only latent whose own rows, the chat model's of the one and the base model's of the other, have a
/// cosine above 0.9.
pub(super) fn twins(context: &Context<'_>, rows: &[LatentRow]) -> Result<Vec<TwinRecord>> {
    let of_class = |class: Class| -> Vec<u32> {
        let members = rows.iter().filter(|row| row.class == class);
        members.map(|row| row.id).collect()
    };
    let (chat, base) = (of_class(Class::ChatOnly), of_class(Class::BaseOnly));
    let mut twins = Vec::new();
    if chat.is_empty() || base.is_empty() {
        return Ok(twins);
    }
    let (left, right) = (unit(context, 1, &chat)?, unit(context, 0, &base)?);
    let crosscoder = &context.crosscoder;
    cosines([&left], [&right], 0, |from, [cosines]| {
        for (&chat, cosines) in chat.iter().skip(from).zip(cosines.chunks(base.len())) {
            for (&base, _) in base
                .iter()
                .zip(cosines)
                .filter(|(_, cosine)| **cosine > TWINS as f32 - ROUNDING)
            {
                let rows = (
                    crosscoder.decoder_row(1, chat),
                    crosscoder.decoder_row(0, base),
                );
                if let Some(cosine) =
                    diffing::cosine(&rows.0, &rows.1).filter(|&cosine| cosine > TWINS)
                {
                    twins.push(TwinRecord { chat, base, cosine });
                }
            }
        }
        Ok(())
    })?;
    Ok(twins)
}

/// Decoder rows of one model at length 1, [ids, D]; a zero row stays zero.
fn unit(context: &Context<'_>, model: usize, ids: &[u32]) -> Result<Tensor> {
    let crosscoder = &context.crosscoder;
    let mut unit = Vec::with_capacity(ids.len() * crosscoder.activation_dim());
    for &id in ids {
        let row = crosscoder.decoder_row(model, id);
        let norm = diffing::norm(&row);
        unit.extend(row.iter().map(|&x| if norm > 0.0 { x / norm } else { 0.0 }));
    }
    let shape = (ids.len(), crosscoder.activation_dim());
    Ok(Tensor::from_vec(unit, shape, &context.device)?)
}

/// Products of every row of `left` with every row of `right`, for each of several pairs of matrices with the same numbers of rows, a block of
/// left rows at a time from row `start` on: the first one's number and, for each pair, [rows, rows of right].
pub(super) fn cosines<const N: usize>(
    left: [&Tensor; N],
    right: [&Tensor; N],
    start: usize,
    mut visit: impl FnMut(usize, [&[f32]; N]) -> Result<()>,
) -> Result<()> {
    let (Some(first), Some(second)) = (left.first(), right.first()) else {
        return Ok(());
    };
    let (rows, columns) = (first.dim(0)?, second.dim(0)?);
    let block = (BLOCK_NUMBERS / columns.max(1)).max(1);
    for from in (start..rows).step_by(block) {
        let mut products = [const { Vec::new() }; N];
        for ((products, left), right) in products.iter_mut().zip(left).zip(right) {
            let left = left.narrow(0, from, block.min(rows - from))?;
            *products = left.matmul(&right.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        }
        visit(from, products.each_ref().map(Vec::as_slice))?;
    }
    Ok(())
}
