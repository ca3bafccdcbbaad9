//! How well Latent Scaling's coefficients fit weak and strong activations.

use api::{Betas, BucketFit, ScalingBucket, ScalingFit};
use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::error::{Error, Result, same};
use crate::moments::Moments;
use crate::scaling::{BetaTable, SCALING_TARGETS, by_target, token_errors};
use crate::token::ScalingToken;

/// Equal buckets of the relative activation.
pub const VERIFICATION_BUCKETS: usize = 3;
/// Activations below this share of a latent's maximum may be counted apart, as noise.
pub const NOISE: f64 = 0.05;

/// No place in a verification.
const NONE: u32 = u32::MAX;
/// Columns of a bucket's moments: targets by model, before and after.
const COLUMNS: usize = SCALING_TARGETS.len() * 4;

/// Edges of equal buckets of the relative activation v/max, from 0 to 1; with `noise`, a bucket 0…0.05 comes before.
pub fn bucket_edges(buckets: usize, noise: bool) -> Vec<f64> {
    let equal = (1..=buckets).map(|i| i as f64 / buckets as f64);
    [0.0]
        .into_iter()
        .chain(noise.then_some(NOISE))
        .chain(equal)
        .collect()
}

/// Chosen latents with the coefficients to verify and their largest activations, for a pass that knows both.
#[derive(Clone, Debug)]
pub struct Verification {
    ids: Vec<u32>,
    /// Place of every latent of the dictionary in `ids`.
    places: Vec<u32>,
    betas: Vec<BetaTable>,
    maxima: Vec<f32>,
    edges: Vec<f64>,
}

/// What a [`Verification`] has gathered; mergeable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationSums {
    ids: Vec<u32>,
    edges: Vec<f64>,
    /// [ids][buckets]
    cells: Vec<Moments>,
}

impl Verification {
    /// Latents of a dictionary of `latents`, each with its coefficients, of which unknown ones count as 0, and its largest v. `edges` are
    /// those of [`bucket_edges`]. Latents outside the dictionary are left out.
    pub fn new<'a>(
        latents: usize,
        chosen: impl IntoIterator<Item = (u32, &'a Betas, f32)>,
        edges: Vec<f64>,
    ) -> Self {
        let mut all = Self {
            ids: Vec::new(),
            places: vec![NONE; latents],
            betas: Vec::new(),
            maxima: Vec::new(),
            edges,
        };
        for (id, betas, max) in chosen {
            if let Some(place) = all.places.get_mut(id as usize) {
                *place = all.ids.len() as u32;
                all.ids.push(id);
                all.betas.push(by_target(betas));
                all.maxima.push(max);
            }
        }
        all
    }

    /// Whether a latent is among the chosen ones.
    pub fn has(&self, latent: u32) -> bool {
        self.place(latent).is_some()
    }

    fn place(&self, latent: u32) -> Option<usize> {
        let place = self.places.get(latent as usize)?;
        (*place != NONE).then_some(*place as usize)
    }

    fn buckets(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// No token yet.
    pub fn sums(&self) -> VerificationSums {
        VerificationSums {
            ids: self.ids.clone(),
            edges: self.edges.clone(),
            cells: vec![Moments::new(COLUMNS); self.ids.len() * self.buckets()],
        }
    }

    /// Bucket of a relative activation: above its lower edge, up to its upper one; the last has no upper end.
    fn bucket(&self, place: usize, v: f32) -> usize {
        let max = self.maxima.get(place).copied().unwrap_or(0.0);
        let relative = f64::from(v) / f64::from(max);
        let inner = self.edges.get(1..self.buckets()).unwrap_or_default();
        inner.iter().filter(|&&edge| relative > edge).count()
    }

    /// Adds one token with the active latents as (id, unscaled f, v); those that were not chosen do not count.
    ///
    /// # Errors
    /// If a width does not fit, or the sums are of another verification.
    pub fn add(
        &self,
        sums: &mut VerificationSums,
        token: &ScalingToken<'_>,
        active: impl IntoIterator<Item = (u32, f32, f32)>,
        decoder: &Decoder,
    ) -> Result<()> {
        let latents = self.places.len();
        same("latents of the decoder", latents, decoder.latents())?;
        same("width of a residual", decoder.dim(), token.dim())?;
        for (id, f, v) in active {
            let Some(place) = self.place(id) else {
                continue;
            };
            let Some(betas) = self.betas.get(place) else {
                continue;
            };
            let errors = token_errors(decoder, id, f64::from(f), token, betas);
            let cell = place * self.buckets() + self.bucket(place, v);
            let cell = sums.cells.get_mut(cell).ok_or(Error::Setup {
                what: "latents or edges",
            })?;
            cell.add(errors.as_flattened().as_flattened())?;
        }
        Ok(())
    }
}

impl VerificationSums {
    /// Adds another part's sums.
    ///
    /// # Errors
    /// If the parts have other latents or edges.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let setup = |what| Err(Error::Setup { what });
        if self.ids != other.ids {
            return setup("latents");
        }
        if self.edges != other.edges {
            return setup("edges");
        }
        let pairs = self.cells.iter_mut().zip(&other.cells);
        pairs
            .into_iter()
            .try_for_each(|(here, there)| here.merge(there))
    }

    /// Every chosen latent with its buckets, from weak to strong; a bucket without tokens has no fits.
    pub fn buckets(&self) -> impl Iterator<Item = (u32, Vec<ScalingBucket>)> {
        let buckets = self.edges.len().saturating_sub(1).max(1);
        let edges = || self.edges.iter().zip(self.edges.iter().skip(1));
        let cells = self.cells.chunks(buckets);
        self.ids.iter().zip(cells).map(move |(&id, cells)| {
            let buckets = edges()
                .zip(cells)
                .map(|((&from, &to), cell)| ScalingBucket {
                    from,
                    to,
                    tokens: cell.count(),
                    fits: fits(cell),
                });
            (id, buckets.collect())
        })
    }
}

/// Means and deviations by target.
fn fits(cell: &Moments) -> Vec<BucketFit> {
    if cell.count() == 0 {
        return Vec::new();
    }
    let std = (cell.count() > 1).then(|| cell.std());
    let mut columns = cell.mean().as_chunks::<4>().0.iter();
    let mut spreads = std.iter().flat_map(|std| std.as_chunks::<4>().0);
    // A column's four numbers: before and after of base, then of chat.
    SCALING_TARGETS
        .iter()
        .filter_map(|target| {
            let &[base_before, base_after, chat_before, chat_after] = columns.next()?;
            let spread = spreads.next();
            Some(BucketFit {
                fit: ScalingFit {
                    target: (*target).into(),
                    before: [base_before, chat_before],
                    after: [base_after, chat_after],
                },
                before_std: spread.map(|s| [s[0], s[2]]),
                after_std: spread.map(|s| [s[1], s[3]]),
            })
        })
        .collect()
}
