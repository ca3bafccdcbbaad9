//! Latents that fire together.

use diffing::{PairSums, Partner, TokenSample};
use rayon::prelude::*;

use super::{Context, reading};
use crate::Result;

/// Activations that the sample holds: with what the search needs, about half a gigabyte.
const SAMPLE: usize = 1 << 24;
/// Candidates of every latent that are compared over all tokens, where the sample does not hold them all.
const CANDIDATES: usize = 32;
/// Partners told of every latent.
const PARTNERS: usize = 10;

/// A sample that holds nothing yet.
pub(super) fn sample(context: &Context<'_>) -> TokenSample {
    let latents = context.crosscoder.dict_size();
    TokenSample::new(latents, SAMPLE, context.options.seed)
}

/// The most correlated partners of every latent, by correlations over all tokens: the sample's own where it holds them all, else of the
/// candidates that it names, in another pass.
pub(super) fn partners(
    context: &Context<'_>,
    sample: TokenSample,
) -> Result<Vec<(u32, Vec<Partner>)>> {
    let latents = context.crosscoder.dict_size();
    let complete = sample.is_complete();
    let wanted = if complete { PARTNERS } else { CANDIDATES };
    let found: Vec<Vec<Partner>> = {
        let index = sample.index();
        drop(sample);
        (0..latents as u32)
            .into_par_iter()
            .map_init(
                || index.scratch(),
                |scratch, latent| index.partners(latent, wanted, scratch),
            )
            .collect()
    };
    if complete {
        return Ok((0u32..).zip(found).collect());
    }
    let candidates = (0u32..)
        .zip(&found)
        .flat_map(|(latent, partners)| partners.iter().map(move |partner| (latent, partner.id)));
    let mut sums = PairSums::new(latents, candidates);
    reading::each(context, "correlations", |sequence| {
        for active in sequence.tokens() {
            sums.add_token(&active)?;
        }
        Ok(())
    })?;
    Ok((0u32..).zip(sums.partners(PARTNERS)).collect())
}
