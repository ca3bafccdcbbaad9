//! The activation normaliser: each model's residuals centred and scaled to a target root mean square norm.

use diffing::Moments;

use crate::error::{Error, Result};
use crate::file::TensorFile;

/// Added to the summed variances, and to the scale when dividing by it: the dictionary_learning library's constant.
pub(crate) const EPSILON: f64 = 1e-8;

/// x' = (x − mean_m)·s_m with s_m = target_rms/√(Σ_d std² + 1e-8), so that the mean of ‖x'_m‖² is about target_rms².
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    target_rms: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    scale: [f32; 2],
}

impl Normalizer {
    /// That of a dictionary's file.
    pub(crate) fn read(file: &TensorFile) -> Result<Self> {
        let target_rms = if file.has("target_rms") {
            file.finite("target_rms")?.first().copied().unwrap_or(1.0)
        } else {
            1.0
        };
        Self::new(
            file.finite("activation_mean")?,
            file.finite("activation_std")?,
            target_rms,
        )
    }

    /// `mean` and `std` are [2, D] row-major.
    ///
    /// # Errors
    /// If the sizes differ or are odd, or a number is not finite.
    pub fn new(mean: Vec<f32>, std: Vec<f32>, target_rms: f32) -> Result<Self> {
        if mean.len() != std.len() || !mean.len().is_multiple_of(2) || mean.is_empty() {
            return Err(Error::Input {
                what: "sizes of the activation normaliser's mean and deviation",
                expected: "two equal even sizes above 0".into(),
                found: format!("{} and {}", mean.len(), std.len()),
            });
        }
        if let Some(bad) = mean
            .iter()
            .chain(&std)
            .chain([&target_rms])
            .find(|x| !x.is_finite())
        {
            return Err(Error::Input {
                what: "the activation normaliser",
                expected: "finite numbers".into(),
                found: bad.to_string(),
            });
        }
        let half = std.len() / 2;
        let scale_of = |part: &[f32]| {
            let variance: f64 = part.iter().map(|&s| f64::from(s).powi(2)).sum();
            (f64::from(target_rms) / (variance + EPSILON).sqrt()) as f32
        };
        let (base, chat) = std.split_at(half);
        let scale = [scale_of(base), scale_of(chat)];
        Ok(Self {
            target_rms,
            mean,
            std,
            scale,
        })
    }

    /// From both models' running statistics, with population standard deviations.
    ///
    /// # Errors
    /// If nothing was seen or the widths differ.
    pub fn from_moments(moments: [&Moments; 2], target_rms: f32) -> Result<Self> {
        let gather = |f: &dyn Fn(&Moments) -> Vec<f64>| -> Vec<f32> {
            moments
                .iter()
                .flat_map(|m| f(m))
                .map(|x| x as f32)
                .collect()
        };
        let [base, chat] = moments;
        if base.mean().len() != chat.mean().len() {
            return Err(Error::Input {
                what: "width of the chat model's statistics",
                expected: base.mean().len().to_string(),
                found: chat.mean().len().to_string(),
            });
        }
        Self::new(
            gather(&|m| m.mean().to_vec()),
            gather(&Moments::population_std),
            target_rms,
        )
    }

    /// Root mean square norm aimed at.
    pub fn target_rms(&self) -> f32 {
        self.target_rms
    }

    /// Mean, [2, D].
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Standard deviation, [2, D].
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// s of both models.
    pub fn scale(&self) -> [f32; 2] {
        self.scale
    }

    /// Normalises rows [N, 2, D] into `out`, which has the same size.
    pub fn normalize_into(&self, x: &[f32], out: &mut [f32]) {
        let dim = self.mean.len() / 2;
        let models = self.mean.chunks_exact(dim).zip(self.scale);
        for ((row, out), (mean, s)) in x
            .chunks_exact(dim)
            .zip(out.chunks_exact_mut(dim))
            .zip(models.cycle())
        {
            for ((o, &x), &m) in out.iter_mut().zip(row).zip(mean) {
                *o = (x - m) * s;
            }
        }
    }

    /// Divisor that takes a stored direction of a model to the residual stream: s_m + 1e-8.
    pub(crate) fn divisor(&self, model: usize) -> f32 {
        (f64::from(self.scale.get(model).copied().unwrap_or(1.0)) + EPSILON) as f32
    }

    /// Mean of a model.
    pub(crate) fn mean_of(&self, model: usize) -> &[f32] {
        let dim = self.mean.len() / 2;
        self.mean
            .get(model * dim..(model + 1) * dim)
            .unwrap_or_default()
    }
}
