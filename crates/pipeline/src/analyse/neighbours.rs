//! Nearest latents by the direction of the chat decoder row.

use candle_core::Tensor;
use rayon::prelude::*;
use store::NeighbourRecord;

use super::Context;
use crate::Result;

/// Numbers of the cosine matrix that are in memory at once.
const BLOCK_NUMBERS: usize = 1 << 24;

/// Every latent's nearest by cosine, nearest first. A zero row is near to none.
pub(super) fn nearest(context: &Context<'_>) -> Result<Vec<NeighbourRecord>> {
    let crosscoder = &context.crosscoder;
    let (latents, dim) = (crosscoder.dict_size(), crosscoder.activation_dim());
    let wanted = context.options.neighbours;
    let unit: Vec<f32> = (0..latents as u32)
        .flat_map(|id| {
            let row = crosscoder.decoder_row(1, id);
            let norm = diffing::norm(row);
            row.iter()
                .map(move |&x| if norm > 0.0 { x / norm } else { 0.0 })
        })
        .collect();
    let unit = Tensor::from_vec(unit, (latents, dim), &context.device)?;
    let columns = unit.t()?;
    let block = (BLOCK_NUMBERS / latents.max(1)).clamp(1, latents.max(1));
    let mut records = Vec::with_capacity(latents);
    context
        .progress
        .start("neighbours", "latents", latents as u64);
    while records.len() < latents {
        let from = records.len();
        let rows = block.min(latents - from);
        let cosines: Vec<f32> = unit
            .narrow(0, from, rows)?
            .matmul(&columns)?
            .flatten_all()?
            .to_vec1()?;
        let found: Vec<NeighbourRecord> = cosines
            .par_chunks(latents)
            .enumerate()
            .map(|(offset, cosines)| {
                let latent = (from + offset) as u32;
                NeighbourRecord {
                    latent,
                    neighbours: strongest(cosines, latent, wanted)
                        .into_iter()
                        .filter_map(|other| {
                            let row = |id| crosscoder.decoder_row(1, id);
                            Some((other, diffing::cosine(row(latent), row(other))?))
                        })
                        .collect(),
                }
            })
            .collect();
        records.extend(found);
        context.progress.advance(records.len() as u64);
    }
    context.progress.finish();
    for record in &mut records {
        record
            .neighbours
            .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    Ok(records)
}

/// Ids of the largest values other than the latent itself; equal ones by id.
fn strongest(values: &[f32], latent: u32, wanted: usize) -> Vec<u32> {
    let mut order: Vec<(u32, f32)> = (0u32..)
        .zip(values.iter().copied())
        .filter(|(id, _)| *id != latent)
        .collect();
    let compare = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if wanted < order.len() {
        order.select_nth_unstable_by(wanted, compare);
        order.truncate(wanted);
    }
    order.into_iter().map(|(id, _)| id).collect()
}
