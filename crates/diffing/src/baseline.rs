//! Latent Scaling with directions that have nothing to do with the latent: what its ratios look like by chance.

use api::{Class, LatentRow};

use crate::classes;
use crate::decoder::Decoder;
use crate::error::Result;
use crate::norms::norm;
use crate::sampler::mix;
use crate::scaling::ScalingSums;
use crate::token::ScalingToken;

/// No place in a baseline.
const NONE: u32 = u32::MAX;

/// A set of latents whose chat rows are replaced by rows of the same length; base rows and codes stay.
#[derive(Clone, Debug)]
pub struct Baseline {
    ids: Vec<u32>,
    /// Place of every latent of the dictionary in `ids`.
    places: Vec<u32>,
    /// Base rows and replaced chat rows, [ids, D] each.
    rows: [Vec<f32>; 2],
    bias: [Vec<f32>; 2],
}

impl Baseline {
    /// Gaussian directions, one drawn from `seed` for each latent of `ids`, whatever the others are.
    pub fn random_directions(ids: &[u32], decoder: &Decoder, seed: u64) -> Self {
        Self::new(ids, decoder, |id| {
            let key = mix(seed ^ mix(u64::from(id) + 1));
            (0..decoder.dim() as u64).map(|i| normal(key, i)).collect()
        })
    }

    /// Chat rows of other latents, one drawn from `seed` for each latent of `ids`.
    pub fn random_latents(ids: &[u32], decoder: &Decoder, seed: u64) -> Self {
        let others = (decoder.latents() as u64).saturating_sub(1).max(1);
        Self::new(ids, decoder, |id| {
            // One of the others: those at and after the latent move up by one.
            let drawn = mix(!seed ^ mix(u64::from(id) + 1)) % others;
            let other = drawn + u64::from(drawn >= u64::from(id));
            decoder.chat(other as usize).to_vec()
        })
    }

    fn new(ids: &[u32], decoder: &Decoder, direction: impl Fn(u32) -> Vec<f32>) -> Self {
        let known = |id: &u32| (*id as usize) < decoder.latents();
        let ids: Vec<u32> = ids.iter().copied().filter(known).collect();
        let mut places = vec![NONE; decoder.latents()];
        let mut rows = [Vec::new(), Vec::new()];
        for (place, &id) in (0u32..).zip(&ids) {
            if let Some(slot) = places.get_mut(id as usize) {
                *slot = place;
            }
            rows[0].extend_from_slice(decoder.base(id as usize));
            let mut row = direction(id);
            row.resize(decoder.dim(), 0.0);
            let (wanted, found) = (norm(decoder.chat(id as usize)), norm(&row));
            let scale = if found > 0.0 { wanted / found } else { 0.0 };
            rows[1].extend(row.iter().map(|x| x * scale));
        }
        Self {
            ids,
            places,
            rows,
            bias: decoder.bias().map(<[f32]>::to_vec),
        }
    }

    /// No token yet.
    pub fn sums(&self) -> ScalingSums {
        ScalingSums::new(self.ids.len())
    }

    /// The replaced rows as a decoder of the set's latents, in its order.
    ///
    /// # Errors
    /// None for a set made here.
    pub fn decoder(&self) -> Result<Decoder<'_>> {
        let [base, chat] = &self.rows;
        Decoder::new([base, chat], [&self.bias[0], &self.bias[1]])
    }

    /// Adds one token with the dictionary's active latents as (id, unscaled f); those outside the set do not count.
    ///
    /// # Errors
    /// If a width does not fit.
    pub fn add(
        &self,
        sums: &mut ScalingSums,
        token: &ScalingToken<'_>,
        active: &[(u32, f32)],
    ) -> Result<()> {
        let inside: Vec<(u32, f32)> = active
            .iter()
            .filter_map(|&(id, f)| {
                let place = self.places.get(id as usize).copied()?;
                (place != NONE).then_some((place, f))
            })
            .collect();
        sums.add(token, &inside, &self.decoder()?)
    }

    /// Latent, ν^ε and ν^r, in the set's order.
    ///
    /// # Errors
    /// If the sums are not this set's.
    pub fn ratios(&self, sums: &ScalingSums) -> Result<Vec<(u32, [Option<f64>; 2])>> {
        let betas = sums.betas(&self.decoder()?)?;
        let ratios = betas.iter().map(classes::ratios);
        Ok(self.ids.iter().copied().zip(ratios).collect())
    }
}

/// Standard normal number `i` of a stream (Box and Muller).
fn normal(key: u64, i: u64) -> f32 {
    let draw = |n: u64| (mix(key.wrapping_add(n)) >> 11) as f64 / (1u64 << 53) as f64;
    let (u, v) = (1.0 - draw(2 * i + 1), draw(2 * i + 2));
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// The comparison's shared latents are drawn with this seed, as in the paper's study.
const SEED: u64 = 42;

/// Ids of the shared latents that chat-only ones are compared with: as many, drawn once and for all, or all if they are fewer;
/// rising.
pub fn compared_shared(rows: &[LatentRow]) -> Vec<u32> {
    let of = |class: Class| rows.iter().filter(move |row| row.class == class);
    let mut drawn: Vec<u32> = of(Class::Shared).map(|row| row.id).collect();
    drawn.sort_unstable_by_key(|&id| (mix(SEED ^ mix(u64::from(id) + 1)), id));
    drawn.truncate(of(Class::ChatOnly).count());
    drawn.sort_unstable();
    drawn
}

/// Ids of the latents that random directions are compared on: the chat-only ones and those of [`compared_shared`]; rising.
pub fn compared(rows: &[LatentRow]) -> Vec<u32> {
    let chat_only = rows.iter().filter(|row| row.class == Class::ChatOnly);
    let mut ids = compared_shared(rows);
    ids.extend(chat_only.map(|row| row.id));
    ids.sort_unstable();
    ids
}
