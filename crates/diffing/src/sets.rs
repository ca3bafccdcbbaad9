//! Sets of latents for causal experiments: which latents a dictionary's analysis ranks best and worst.

use api::{Class, LatentRow};

use crate::classes::RELIABLE;

/// Latents that an experiment starts from: the chat-only ones, or the `effective` ones of highest Δ_norm (the lower id first where
/// equal), so that dictionaries can be compared on sets of equal size. Ids in rising order.
pub fn chat_latents(rows: &[LatentRow], effective: Option<usize>) -> Vec<u32> {
    let mut ids: Vec<u32> = match effective {
        None => rows
            .iter()
            .filter(|row| row.class == Class::ChatOnly)
            .map(|row| row.id)
            .collect(),
        Some(count) => {
            let mut ranked = by(rows, |row| row.delta_norm.map(|delta| -delta));
            ranked.truncate(count);
            ranked
        }
    };
    ids.sort_unstable();
    ids
}

/// Those of `ids` that live and whose ν^ε and ν^r are known and reliable. Ids in rising order.
pub fn rankable(rows: &[LatentRow], ids: &[u32]) -> Vec<u32> {
    let reliable = |nu: Option<f64>| nu.is_some_and(|nu| RELIABLE.contains(&nu));
    chosen(rows, ids)
        .filter(|row| row.dead != Some(true) && reliable(row.nu_epsilon) && reliable(row.nu_r))
        .map(|row| row.id)
        .collect()
}

/// The half of `ids` with the highest Δ_norm and the half with the lowest, ⌊N/2⌋ each and apart; equal ones by id.
pub fn halves_by_delta_norm(rows: &[LatentRow], ids: &[u32]) -> [Vec<u32>; 2] {
    let rows: Vec<LatentRow> = chosen(rows, ids).cloned().collect();
    halves(&by(&rows, |row| row.delta_norm.map(|delta| -delta)))
}

/// The half of `ids` that Latent Scaling calls most chat-specific, by the lowest sum of their ranks in ν^ε and ν^r, and the other half;
/// ⌊N/2⌋ each and apart, equal ones by id.
pub fn halves_by_scaling(rows: &[LatentRow], ids: &[u32]) -> [Vec<u32>; 2] {
    let rows: Vec<LatentRow> = chosen(rows, ids).cloned().collect();
    let ranks = |value: fn(&LatentRow) -> Option<f64>| {
        let values: Vec<f64> = rows
            .iter()
            .map(|row| value(row).unwrap_or(f64::NAN))
            .collect();
        average_ranks(&values)
    };
    let (epsilon, r) = (ranks(|row| row.nu_epsilon), ranks(|row| row.nu_r));
    let mut order: Vec<(f64, u32)> = rows
        .iter()
        .zip(epsilon.into_iter().zip(r))
        .map(|(row, (epsilon, r))| (epsilon + r, row.id))
        .collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let ids: Vec<u32> = order.into_iter().map(|(_, id)| id).collect();
    halves(&ids)
}

/// Ranks from 1; equal values share the average of their ranks. NaN comes last.
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.is_nan().cmp(&b.1.is_nan()).then(a.1.total_cmp(&b.1)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // −0 and 0 are equal, unlike NaNs.
    for run in order.chunk_by(|a, b| a.1 == b.1) {
        let rank = before as f64 + f64::midpoint(run.len() as f64, 1.0);
        for &(at, _) in run {
            if let Some(slot) = ranks.get_mut(at) {
                *slot = rank;
            }
        }
        before += run.len();
    }
    ranks
}

/// The rows of `ids`, in the order of rows.
fn chosen<'a>(rows: &'a [LatentRow], ids: &[u32]) -> impl Iterator<Item = &'a LatentRow> {
    let ids: std::collections::HashSet<u32> = ids.iter().copied().collect();
    rows.iter().filter(move |row| ids.contains(&row.id))
}

/// Ids of the rows that have the value, by rising value, then id.
fn by(rows: &[LatentRow], value: impl Fn(&LatentRow) -> Option<f64>) -> Vec<u32> {
    let mut order: Vec<(f64, u32)> = rows
        .iter()
        .filter_map(|row| Some((value(row)?, row.id)))
        .collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.into_iter().map(|(_, id)| id).collect()
}

/// The first and the last ⌊N/2⌋ of an order, each by rising id.
fn halves(order: &[u32]) -> [Vec<u32>; 2] {
    let half = order.len() / 2;
    let mut first: Vec<u32> = order.iter().take(half).copied().collect();
    let mut last: Vec<u32> = order.iter().rev().take(half).copied().collect();
    first.sort_unstable();
    last.sort_unstable();
    [first, last]
}
