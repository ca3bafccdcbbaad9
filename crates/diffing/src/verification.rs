//! How well Latent Scaling's coefficients fit weak and strong activations.

use api::{Betas, ScalingFit};

use crate::decoder::Decoder;
use crate::error::{Error, Result, same};
use crate::scaling::ScalingSums;
use crate::token::ScalingToken;

/// Activations below this share of a latent's maximum may be counted apart, as noise.
pub const NOISE: f64 = 0.05;

/// Edges of equal buckets of the relative activation f/max, from 0 to 1; with `noise`, a bucket 0…0.05 comes before.
pub fn bucket_edges(buckets: usize, noise: bool) -> Vec<f64> {
    let equal = (1..=buckets).map(|i| i as f64 / buckets as f64);
    [0.0]
        .into_iter()
        .chain(noise.then_some(NOISE))
        .chain(equal)
        .collect()
}

/// Latent Scaling's sums by relative activation, from a second pass that knows every latent's maximum; mergeable.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingBuckets {
    maxima: Vec<f32>,
    edges: Vec<f64>,
    buckets: Vec<ScalingSums>,
}

impl ScalingBuckets {
    /// `maxima` holds every latent's largest f; `edges` are those of [`bucket_edges`].
    pub fn new(maxima: Vec<f32>, edges: Vec<f64>) -> Self {
        let buckets = vec![ScalingSums::new(maxima.len()); edges.len().saturating_sub(1)];
        Self {
            maxima,
            edges,
            buckets,
        }
    }

    /// Edges of the buckets.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Bucket of a relative activation: above its lower edge, up to its upper one; the last has no upper end.
    fn bucket(&self, latent: usize, f: f32) -> usize {
        let max = self.maxima.get(latent).copied().unwrap_or(0.0);
        let relative = f64::from(f) / f64::from(max);
        let inner = self.edges.get(1..self.buckets.len()).unwrap_or_default();
        inner.iter().filter(|&&edge| relative > edge).count()
    }

    /// Adds one token with the active latents as (id, unscaled f).
    ///
    /// # Errors
    /// If an id is outside the dictionary, or a width does not fit. Nothing is added then.
    pub fn add(
        &mut self,
        token: &ScalingToken<'_>,
        active: &[(u32, f32)],
        decoder: &Decoder,
    ) -> Result<()> {
        let latents = self.maxima.len();
        same("latents of the decoder", latents, decoder.latents())?;
        same("width of a residual", decoder.dim(), token.dim())?;
        if let Some(&(id, _)) = active.iter().find(|(id, _)| *id as usize >= latents) {
            return Err(Error::UnknownLatent { id, latents });
        }
        for &(id, f) in active {
            let bucket = self.bucket(id as usize, f);
            let products = token.products(decoder, id as usize);
            if let Some(sums) = self.buckets.get_mut(bucket) {
                sums.add_products(id, f64::from(f), &products, token.squares());
            }
        }
        Ok(())
    }

    /// Adds another part's sums.
    ///
    /// # Errors
    /// If the parts have other maxima or edges.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let setup = |what| Err(Error::Setup { what });
        if self.maxima != other.maxima {
            return setup("maxima");
        }
        if self.edges != other.edges {
            return setup("edges");
        }
        let pairs = self.buckets.iter_mut().zip(&other.buckets);
        pairs
            .into_iter()
            .try_for_each(|(here, there)| here.merge(there))
    }

    /// How well given coefficients fit, by bucket, latent and target; empty where a latent has no token in a bucket.
    ///
    /// # Errors
    /// If decoder or coefficients do not fit the dictionary.
    pub fn fits(&self, betas: &[Betas], decoder: &Decoder) -> Result<Vec<Vec<Vec<ScalingFit>>>> {
        let buckets = self.buckets.iter();
        buckets.map(|sums| sums.fits_of(betas, decoder)).collect()
    }

    /// Tokens of a latent in every bucket.
    pub fn active(&self, latent: u32) -> Vec<u64> {
        self.buckets
            .iter()
            .map(|sums| sums.active(latent))
            .collect()
    }
}
