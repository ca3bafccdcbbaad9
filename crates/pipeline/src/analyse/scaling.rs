//! Latent Scaling's results: coefficients, ratios, verdicts and fits of every latent, and the ratios of random directions.

use std::collections::BTreeSet;

use api::{LatentRow, ScalingFit};
use diffing::{Baseline, ScalingSums};
use store::{BaselineKind, BaselineRecord};

use super::{Context, ScaledLatents, weights};
use crate::{Error, Result};

/// Ids of the latents that were asked for; `None` for all.
///
/// # Errors
/// An id that the dictionary does not have.
pub(super) fn chosen(context: &Context<'_>) -> Result<Option<BTreeSet<u32>>> {
    match &context.options.scaled {
        ScaledLatents::All => Ok(None),
        ScaledLatents::Compared => {
            let rows = weights::rows(&context.crosscoder, &context.manifest.classes);
            Ok(Some(diffing::compared(&rows).into_iter().collect()))
        }
        ScaledLatents::Ids(ids) => {
            let latents = context.crosscoder.dict_size();
            match ids.last() {
                Some(&last) if last as usize >= latents => Err(Error::Mismatch(format!(
                    "--latents names latent {last}; {} has latents 0 to {}",
                    context.options.dictionary,
                    latents.saturating_sub(1)
                ))),
                _ => Ok(Some(ids.clone())),
            }
        }
    }
}

/// Fills in the columns of the rows that were asked for; gives their fits by latent.
pub(super) fn fill(
    context: &Context<'_>,
    rows: &mut [LatentRow],
    sums: &ScalingSums,
) -> Result<Vec<(u32, Vec<ScalingFit>)>> {
    let chosen = chosen(context)?;
    let wanted = |id: u32| chosen.as_ref().is_none_or(|chosen| chosen.contains(&id));
    let decoder = context.crosscoder.decoder()?;
    for (row, betas) in rows.iter_mut().zip(sums.betas(&decoder)?) {
        if wanted(row.id) {
            row.betas = betas;
            [row.nu_epsilon, row.nu_r] = diffing::ratios(&betas);
            row.verdict = diffing::verdict(row.class, row.nu_epsilon, row.nu_r);
        }
    }
    let fits = (0u32..).zip(sums.fits(&decoder)?);
    Ok(fits.filter(|(id, _)| wanted(*id)).collect())
}

/// The latents that random directions are compared on, the chat-only ones and as many shared ones, with the directions of each kind.
pub(super) fn baselines(context: &Context<'_>) -> Result<Vec<Baseline>> {
    let rows = weights::rows(&context.crosscoder, &context.manifest.classes);
    let ids = diffing::compared(&rows);
    let decoder = context.crosscoder.decoder()?;
    let seed = context.options.seed;
    Ok(BaselineKind::ALL
        .iter()
        .map(|kind| match kind {
            BaselineKind::RandomDirection => Baseline::random_directions(&ids, &decoder, seed),
            BaselineKind::RandomLatent => Baseline::random_latents(&ids, &decoder, seed),
        })
        .collect())
}

/// Ratios of the random directions, from sums in the order of [`BaselineKind::ALL`].
pub(super) fn baseline_rows(
    context: &Context<'_>,
    sums: &[ScalingSums],
) -> Result<Vec<BaselineRecord>> {
    let mut records = Vec::new();
    let baselines = baselines(context)?;
    for ((&kind, baseline), sums) in BaselineKind::ALL.iter().zip(&baselines).zip(sums) {
        let ratios = baseline.ratios(sums)?;
        records.extend(
            ratios
                .into_iter()
                .map(|(latent, [nu_epsilon, nu_r])| BaselineRecord {
                    kind,
                    latent,
                    nu_epsilon,
                    nu_r,
                }),
        );
    }
    Ok(records)
}
