//! Applies a lane's edits to the residual rows of a chunk, in f32 on the host.

use crosscoder::{Codes, Unedited};
use rayon::prelude::*;

use crate::{Dictionary, places::Place, plan::Plan};

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
        .for_each(|(n, (row, place))| {
            let token = Unedited {
                residual: rows
                    .unedited
                    .map(|all| all?.get(n * width..(n + 1) * width)),
                active: rows.codes.token(n),
            };
            apply_to_row(plan, dictionary, place, &token, row);
        });
}

/// As [`apply`], to one row [D].
pub(crate) fn apply_to_row(
    plan: &Plan,
    dictionary: &Dictionary,
    place: &Place,
    token: &Unedited,
    row: &mut [f32],
) {
    let acting = plan.ops.iter().filter(|op| place.is_in(&op.positions));
    dictionary
        .crosscoder
        .edit(acting.map(|op| &op.edit), token, row);
}
