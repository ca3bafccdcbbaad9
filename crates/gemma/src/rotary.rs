//! Tables of the rotary embedding, in f32 whatever the model's number format.

use std::sync::OnceLock;

use candle_core::{Device, Result, Tensor};

/// Cosines and sines of position times frequency, `[positions, head_dim / 2]` each.
#[derive(Debug)]
pub(crate) struct Tables {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
    /// Both on the device that first asked for them.
    on_device: OnceLock<(Tensor, Tensor)>,
}

impl Tables {
    /// Angles are products of f32 numbers, as the reference implementation has them.
    pub(crate) fn new(head_dim: usize, theta: f64, positions: usize) -> Self {
        let half = head_dim / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| 1.0 / (theta.powf(2.0 * i as f64 / head_dim as f64) as f32))
            .collect();
        let angles = || {
            (0..positions).flat_map(|position| {
                frequencies
                    .iter()
                    .map(move |f| f64::from(position as f32 * f))
            })
        };
        Self {
            half,
            cos: angles().map(|angle| angle.cos() as f32).collect(),
            sin: angles().map(|angle| angle.sin() as f32).collect(),
            on_device: OnceLock::new(),
        }
    }

    /// Number of positions.
    pub(crate) fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Cosines and sines of one position.
    pub(crate) fn row(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }

    /// Cosines and sines of a run of positions, `[count, head_dim / 2]` each.
    pub(crate) fn at(
        &self,
        first: usize,
        count: usize,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        let there = match self.on_device.get() {
            Some(tables) if tables.0.device().same_device(device) => tables,
            Some(_) => &self.copy_to(device)?,
            None => {
                let copy = self.copy_to(device)?;
                self.on_device.get_or_init(|| copy)
            }
        };
        let (cos, sin) = there;
        Ok((cos.narrow(0, first, count)?, sin.narrow(0, first, count)?))
    }

    fn copy_to(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let shape = (self.positions(), self.half);
        let table = |values: &[f32]| Tensor::from_slice(values, shape, device);
        Ok((table(&self.cos)?, table(&self.sin)?))
    }
}
