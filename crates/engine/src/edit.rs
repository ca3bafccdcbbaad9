//! Applies a lane's edits to the residual rows of a chunk, in f32 on the host.

use crosscoder::{Codes, Unedited};
use rayon::prelude::*;

use crate::{Dictionary, Result, places::Place, plan::Plan};

/// The rows of a chunk before any edit; every residual is [n, D] row-major.
pub(crate) struct Rows<'a> {
    /// Where each row stands.
    pub places: &'a [Place],
    /// Unedited residual of base and chat; a model that no edit needs may be missing.
    pub unedited: [Option<&'a [f32]>; 2],
    /// The whole dictionary's codes of the unedited pair, where an edit reads them.
    pub codes: &'a Codes,
}

/// Applies the plan's edits in list order to `h` [n, D].
///
/// Rows on which no edit acts keep every bit, and so do rows where an edit's sum is empty.
///
/// # Errors
/// When the dictionary's file is not what it was.
pub(crate) fn apply(
    plan: &Plan,
    dictionary: &Dictionary,
    rows: &Rows,
    h: &mut [f32],
) -> Result<()> {
    plan.prepare(dictionary)?;
    let width = h.len().checked_div(rows.places.len()).unwrap_or_default();
    if width == 0 {
        return Ok(());
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
            edit_row(plan, dictionary, place, &token, row);
        });
    Ok(())
}

/// As [`apply`], to one row [D].
pub(crate) fn apply_to_row(
    plan: &Plan,
    dictionary: &Dictionary,
    place: &Place,
    token: &Unedited,
    row: &mut [f32],
) -> Result<()> {
    plan.prepare(dictionary)?;
    edit_row(plan, dictionary, place, token, row);
    Ok(())
}

/// Edits one row [D] by a prepared plan.
fn edit_row(
    plan: &Plan,
    dictionary: &Dictionary,
    place: &Place,
    token: &Unedited,
    row: &mut [f32],
) {
    let few;
    let active = if plan.reads_all(place) {
        token.active
    } else {
        few = plan.few_codes(dictionary, place, token.residual);
        &few
    };
    let token = Unedited { active, ..*token };
    let acting = plan.acting(place).map(|op| &op.edit);
    dictionary.crosscoder.edit(acting, &token, row);
}
