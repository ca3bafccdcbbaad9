//! What the weights alone say: norms, Δ_norm, classes, cosines.

use api::{Betas, ClassCuts, LatentRow};
use crosscoder::Crosscoder;

/// One row per latent, in the order of ids; everything that needs activations is unknown.
pub(crate) fn rows(crosscoder: &Crosscoder, cuts: &ClassCuts) -> Vec<LatentRow> {
    let norms = crosscoder.norms(0).iter().zip(crosscoder.norms(1));
    (0u32..)
        .zip(norms)
        .map(|(id, (&base, &chat))| {
            let delta_norm = diffing::delta_norm(base, chat);
            LatentRow {
                id,
                class: diffing::class(delta_norm, cuts),
                dead: None,
                label: None,
                verdict: None,
                delta_norm,
                norm_base: f64::from(base),
                norm_chat: f64::from(chat),
                decoder_cosine: diffing::cosine(
                    crosscoder.decoder_row(0, id),
                    crosscoder.decoder_row(1, id),
                ),
                nu_epsilon: None,
                nu_r: None,
                betas: Betas::default(),
                frequency: None,
                active_tokens: None,
                tokens: None,
                max_activation: None,
                mean_activation: None,
                template_share: None,
            }
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
