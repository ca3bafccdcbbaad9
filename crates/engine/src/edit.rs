//! Applies a lane's edits to the residual rows of a chunk, in f32 on the host.

use std::collections::HashMap;

use crosscoder::{Active, Codes};
use rayon::prelude::*;

use crate::{
    Dictionary,
    places::Place,
    plan::{Chosen, Edit, Plan},
};

/// The rows of a chunk before any edit; every residual is [n, D] row-major.
pub(crate) struct Rows<'a> {
    /// Where each row stands.
    pub places: &'a [Place],
    /// Unedited residual of base and chat; a model that no edit needs may be missing.
    pub unedited: [Option<&'a [f32]>; 2],
    /// Code of the unedited pair, where an edit needs it.
    pub codes: &'a Codes,
}

/// Applies the plan's edits in list order to `h` [n, D].
///
/// Rows on which no edit acts keep every bit, and so do rows where an edit's sum is empty.
pub(crate) fn apply(plan: &Plan, dictionary: &Dictionary, rows: &Rows, h: &mut [f32]) {
    let width = h.len().checked_div(rows.places.len()).unwrap_or_default();
    if width == 0 {
        return;
    }
    h.par_chunks_exact_mut(width)
        .zip(rows.places)
        .enumerate()
        .for_each(|(n, (row, place))| edit_row(plan, dictionary, rows, n, place, row));
}

/// Applies the plan's edits to one row.
fn edit_row(
    plan: &Plan,
    dictionary: &Dictionary,
    rows: &Rows,
    n: usize,
    place: &Place,
    row: &mut [f32],
) {
    // g of the latents that edits changed so far, by decoder slot and latent; all others still have f.
    let active = rows.codes.token(n);
    let mut changed: HashMap<(usize, u32), f32> = HashMap::new();
    for op in plan.ops.iter().filter(|op| place.is_in(&op.positions)) {
        match &op.edit {
            Edit::Take { from } => {
                let source = rows.unedited.get(*from).copied().flatten();
                if let Some(source) = source.and_then(|s| s.chunks_exact(row.len()).nth(n)) {
                    row.copy_from_slice(source);
                }
                changed.clear();
            }
            Edit::Move { latents, scale } => {
                let chosen = |id| match latents {
                    Chosen::All => true,
                    Chosen::Ids(ids) => ids.binary_search(&id).is_ok(),
                };
                let to = plan.model.index();
                dictionary
                    .crosscoder
                    .add_difference(active, chosen, to, *scale, row);
            }
            Edit::Add { vector } => axpy(1.0, vector, row),
            Edit::Scale {
                latents,
                factor,
                decoder,
            } => {
                let slot = if dictionary.decoupled() { *decoder } else { 0 };
                for &id in latents {
                    let f = code(active, id, *decoder);
                    let g = changed.entry((slot, id)).or_insert(f);
                    let after = factor * *g;
                    let difference = after - *g;
                    *g = after;
                    if difference != 0.0 {
                        axpy(difference, &dictionary.row(*decoder, id), row);
                    }
                }
            }
        }
    }
}

/// f of a latent among a token's active ones, for a model's decoder; 0 where inactive.
fn code(active: &[Active], id: u32, model: usize) -> f32 {
    active
        .binary_search_by_key(&id, |a| a.id)
        .ok()
        .and_then(|at| active.get(at))
        .map_or(0.0, |a| a.f[model])
}

/// y += a·x.
fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}
