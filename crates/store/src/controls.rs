//! Control latents: for each chosen latent a random live one that fires about as strongly.

use std::collections::HashSet;

use api::{ControlLatent, MAX_CONTROLS};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, Store};

/// A control is drawn from so many latents, those with the most similar largest activation.
const POOL: usize = 32;

impl Store {
    /// One control for each of `latents`, none of them chosen and none drawn twice; the same seed draws the same ones.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], [`Error::UnknownLatent`]; [`Error::Invalid`] for no latents or too many, for one that never fired
    /// or is not analysed, and when no latent is left to draw.
    pub fn controls(&self, slug: &str, latents: &[u32], seed: u64) -> Result<Vec<ControlLatent>> {
        if latents.is_empty() || latents.len() > MAX_CONTROLS {
            return Err(Error::Invalid(format!(
                "{} latents are named, expected 1 to {MAX_CONTROLS}",
                latents.len()
            )));
        }
        let rows = self.rows(slug)?;
        let largest = |id: u32| {
            let row = rows.get(id as usize).ok_or_else(|| Error::UnknownLatent {
                dictionary: slug.into(),
                id: id.into(),
                latents: rows.len(),
            })?;
            row.max_activation.filter(|max| *max > 0.0).ok_or_else(|| {
                Error::Invalid(format!(
                    "latent {id} has no largest activation to compare with: it never fired in the analysed tokens, or the dictionary \
                     {slug} is not analysed"
                ))
            })
        };
        let mut taken: HashSet<u32> = latents.iter().copied().collect();
        let mut drawn = Vec::with_capacity(latents.len());
        for &like in latents {
            let target = largest(like)?;
            let mut pool: Vec<(f64, u32, f64)> = rows
                .iter()
                .filter(|row| !taken.contains(&row.id))
                .filter_map(|row| Some((row.id, row.max_activation.filter(|max| *max > 0.0)?)))
                .map(|(id, max)| ((max / target).ln().abs(), id, max))
                .collect();
            pool.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            pool.truncate(POOL);
            let chosen = pool.iter().min_by_key(|(_, id, _)| lot(seed, like, *id));
            let &(_, id, max_activation) = chosen.ok_or_else(|| {
                Error::Invalid(format!(
                    "no latent of {slug} is left that fires and is not chosen itself; choose fewer"
                ))
            })?;
            taken.insert(id);
            drawn.push(ControlLatent {
                like,
                id,
                max_activation_like: target,
                max_activation,
            });
        }
        Ok(drawn)
    }
}

/// The lot that decides among equals: the candidate with the least is drawn.
fn lot(seed: u64, like: u32, id: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(like.to_le_bytes());
    hash.update(id.to_le_bytes());
    hash.finalize().into()
}
