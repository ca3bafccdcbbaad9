//! AdamW over one flat buffer per moment, updating the variables in place: no temporary tensor, and a state that can be saved.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor, Var};
use rayon::prelude::*;
use std::sync::Mutex;

use crate::error::Result;

const BETAS: (f32, f32) = (0.9, 0.98);
const EPSILON: f32 = 1e-8;
const DECAY: f32 = 0.01;
const CLIP: f64 = 1.0;

/// First and second moments of one variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

/// Decoupled weight decay Adam (Loshchilov and Hutter 2019, algorithm 2) with a clipped gradient norm.
/// Only matrices decay.
pub(crate) struct AdamW {
    vars: Vec<(String, Var)>,
    pub(crate) moments: Vec<Moments>,
    pub(crate) step: usize,
}

struct Update<'a> {
    moments: Mutex<&'a mut Moments>,
    gradient: &'a [f32],
    scale: f32,
    rate: f32,
    decay: f32,
    corrections: (f32, f32),
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("AdamW updates f32 variables only")
        };
        let Some((from, to)) = layout.contiguous_offsets() else {
            candle_core::bail!("AdamW updates contiguous variables only")
        };
        let Some(values) = values.get_mut(from..to) else {
            candle_core::bail!("a variable's layout exceeds its storage")
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("the moments of a variable are in use")
        };
        let Moments { first, second } = &mut **moments;
        let (beta1, beta2) = BETAS;
        let chunk = 1 << 15;
        values
            .par_chunks_mut(chunk)
            .zip(first.par_chunks_mut(chunk))
            .zip(second.par_chunks_mut(chunk))
            .zip(self.gradient.par_chunks(chunk))
            .for_each(|(((values, first), second), gradient)| {
                for (((value, m), v), g) in values.iter_mut().zip(first).zip(second).zip(gradient) {
                    let g = g * self.scale;
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    let step =
                        (*m * self.corrections.0) / ((*v * self.corrections.1).sqrt() + EPSILON);
                    *value -= self.rate * (step + self.decay * *value);
                }
            });
        Ok(())
    }
}

/// Runs `use_it` on the values of a contiguous f32 tensor on the CPU.
pub(crate) fn with_values<T>(tensor: &Tensor, use_it: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(candle_core::Error::Msg("training runs on the CPU only".into()).into());
    };
    let values: &[f32] = storage.as_slice()?;
    let values = layout
        .contiguous_offsets()
        .and_then(|(from, to)| values.get(from..to))
        .ok_or_else(|| candle_core::Error::Msg("a tensor's layout exceeds its storage".into()))?;
    Ok(use_it(values))
}

impl AdamW {
    /// An optimiser of these variables, with empty moments.
    pub(crate) fn new(vars: Vec<(String, Var)>) -> Self {
        let moments = vars
            .iter()
            .map(|(_, var)| Moments {
                first: vec![0.0; var.elem_count()],
                second: vec![0.0; var.elem_count()],
            })
            .collect();
        Self {
            vars,
            moments,
            step: 0,
        }
    }

    /// The variables and their names.
    pub(crate) fn vars(&self) -> &[(String, Var)] {
        &self.vars
    }

    /// One step at `rate`; returns the norm of the gradient before clipping.
    ///
    /// # Errors
    /// When a tensor is not f32 on the CPU.
    pub(crate) fn update(&mut self, gradients: &GradStore, rate: f64) -> Result<f64> {
        let mut square = 0.0;
        for (_, var) in &self.vars {
            if let Some(gradient) = gradients.get(var) {
                square += with_values(gradient, |values| {
                    values
                        .iter()
                        .map(|g| f64::from(*g) * f64::from(*g))
                        .sum::<f64>()
                })?;
            }
        }
        let norm = square.sqrt();
        let scale = if norm > CLIP {
            (CLIP / norm) as f32
        } else {
            1.0
        };
        self.step += 1;
        let step = i32::try_from(self.step).unwrap_or(i32::MAX);
        let corrections = (
            1.0 / (1.0 - BETAS.0.powi(step)),
            1.0 / (1.0 - BETAS.1.powi(step)),
        );
        for ((_, var), moments) in self.vars.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(var) else {
                continue;
            };
            let decay = if var.rank() > 1 { DECAY } else { 0.0 };
            with_values(gradient, |gradient| {
                var.inplace_op1(&Update {
                    moments: Mutex::new(moments),
                    gradient,
                    scale,
                    rate: rate as f32,
                    decay,
                    corrections,
                })
            })??;
        }
        Ok(norm)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn three_steps_follow_the_published_algorithm() {
        let start = [0.5_f32, -1.0, 2.0, 0.0];
        let target = Tensor::new(&[[0.1_f32, 0.2], [0.3, 0.4]], &Device::Cpu).expect("a tensor");
        let matrix = Tensor::new(&[[start[0], start[1]], [start[2], start[3]]], &Device::Cpu)
            .expect("a tensor");
        let var = Var::from_tensor(&matrix).expect("a variable");
        let mut optimiser = AdamW::new(vec![("w".to_owned(), var.clone())]);
        let mut expected = start.map(f64::from);
        let (mut first, mut second) = ([0.0; 4], [0.0; 4]);
        let goal = [0.1, 0.2, 0.3, 0.4];
        for step in 1..=3 {
            let gradients = (var.as_tensor() - &target)
                .and_then(|difference| difference.sqr())
                .and_then(|square| square.sum_all())
                .and_then(|loss| loss.backward())
                .expect("gradients");
            optimiser.update(&gradients, 0.1).expect("an update");
            let gradient: Vec<f64> = expected
                .iter()
                .zip(goal)
                .map(|(value, goal)| 2.0 * (value - goal))
                .collect();
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            for (index, g) in gradient.iter().enumerate() {
                let g = g * (1.0 / norm).min(1.0);
                first[index] = 0.9 * first[index] + 0.1 * g;
                second[index] = 0.98 * second[index] + 0.02 * g * g;
                let m = first[index] / (1.0 - 0.9_f64.powi(step));
                let v = second[index] / (1.0 - 0.98_f64.powi(step));
                expected[index] -= 0.1 * (m / (v.sqrt() + 1e-8) + 0.01 * expected[index]);
            }
        }
        let found: Vec<f32> = var
            .flatten_all()
            .and_then(|flat| flat.to_vec1())
            .expect("values");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn a_variable_without_gradient_stays() {
        let var = Var::new(&[1.0_f32, 2.0], &Device::Cpu).expect("a variable");
        let other = Var::new(&[3.0_f32], &Device::Cpu).expect("a variable");
        let mut optimiser = AdamW::new(vec![
            ("v".to_owned(), var.clone()),
            ("o".to_owned(), other.clone()),
        ]);
        let gradients = other
            .sqr()
            .and_then(|square| square.sum_all())
            .and_then(|loss| loss.backward())
            .expect("gradients");
        let norm = optimiser.update(&gradients, 0.1).expect("an update");
        assert!((norm - 6.0).abs() < 1e-6);
        assert_eq!(var.to_vec1::<f32>().expect("values"), [1.0, 2.0]);
        assert!(other.to_vec1::<f32>().expect("values")[0] < 3.0);
    }
}
