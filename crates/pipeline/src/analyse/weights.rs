//! What the weights alone say: norms, Δ_norm, classes, cosines.

use api::{ClassCuts, LatentRow};
use crosscoder::Crosscoder;

/// One row per latent, in the order of ids; everything that needs activations is unknown.
pub(crate) fn rows(crosscoder: &Crosscoder, cuts: &ClassCuts) -> Vec<LatentRow> {
    let norms = crosscoder.norms(0).iter().zip(crosscoder.norms(1));
    (0u32..)
        .zip(norms)
        .map(|(id, (&base, &chat))| {
            let rows = [0, 1].map(|model| crosscoder.decoder_row(model, id));
            let rows = [&*rows[0], &*rows[1]];
            diffing::weight_row(id, [base, chat], rows, cuts)
        })
        .collect()
}

/// Keeps labels and what earlier steps found out about the same latents.
pub(crate) fn carry_over(rows: &mut [LatentRow], earlier: &[LatentRow]) {
    for (row, old) in rows.iter_mut().zip(earlier) {
        *row = LatentRow {
            class: row.class,
            delta_norm: row.delta_norm,
            norm_base: row.norm_base,
            norm_chat: row.norm_chat,
            decoder_cosine: row.decoder_cosine,
            verdict: diffing::verdict(row.class, old.nu_epsilon, old.nu_r),
            ..old.clone()
        };
    }
}
