//! Greedy and seeded sampling from one row of logits.

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};

use crate::{Error, Result};

/// Temperatures below this are greedy: dividing logits by less leaves the range of f32.
const COLDEST: f64 = 1e-7;

/// Chooses tokens; equal seeds give equal choices on equal logits.
pub struct Sampler {
    /// None: greedy.
    processor: Option<LogitsProcessor>,
}

impl Sampler {
    /// `temperature` 0 is greedy; `top_k` above 0 keeps so many of the most probable tokens; of these, `top_p` of 1 or more keeps every one,
    /// less keeps the fewest most probable ones that reach it together.
    pub fn new(temperature: f64, top_p: f64, top_k: usize, seed: u64) -> Self {
        let sampling = match (top_k, top_p < 1.0) {
            (0, true) => Sampling::TopP {
                p: top_p,
                temperature,
            },
            (0, false) => Sampling::All { temperature },
            (k, true) => Sampling::TopKThenTopP {
                k,
                p: top_p,
                temperature,
            },
            (k, false) => Sampling::TopK { k, temperature },
        };
        Self {
            processor: (temperature >= COLDEST)
                .then(|| LogitsProcessor::from_sampling(seed, sampling)),
        }
    }

    /// A token, and the logarithm of its probability before temperature and `top_p`, in nats.
    ///
    /// Among equal largest logits greedy sampling takes the lowest id, and never a NaN.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the logits give no distribution: none at all, or NaN.
    pub fn sample(&mut self, logits: &[f32]) -> Result<(u32, f32)> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let id = match &mut self.processor {
            Some(processor) => processor.sample(&Tensor::new(logits, &Device::Cpu)?)? as usize,
            None => logits.iter().position(|x| *x == largest).unwrap_or(0),
        };
        let shifted = |x: f32| f64::from(x) - f64::from(largest);
        let normaliser = logits.iter().map(|x| shifted(*x).exp()).sum::<f64>().ln();
        let logit = logits.get(id).ok_or_else(|| {
            Error::Tensor(candle_core::Error::Msg(
                "there are no logits to sample from".into(),
            ))
        })?;
        Ok((id as u32, (shifted(*logit) - normaliser) as f32))
    }
}
