//! Mean and variance of every dimension, in one pass and mergeable (Welford; Chan, Golub and LeVeque).

use serde::{Deserialize, Serialize};

use crate::error::{Result, same};

/// Count, mean and sum of squared deviations per dimension, in f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl Moments {
    /// Nothing seen yet.
    pub fn new(dim: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; dim],
            m2: vec![0.0; dim],
        }
    }

    /// Adds one row.
    ///
    /// # Errors
    /// If the row's length is not the dimension.
    pub fn add<T: Copy + Into<f64>>(&mut self, row: &[T]) -> Result<()> {
        same("length of a row", self.mean.len(), row.len())?;
        self.count += 1;
        let share = 1.0 / self.count as f64;
        for ((mean, m2), &x) in self.mean.iter_mut().zip(&mut self.m2).zip(row) {
            let x = x.into();
            let delta = x - *mean;
            *mean += delta * share;
            *m2 += delta * (x - *mean);
        }
        Ok(())
    }

    /// Adds what another part has seen.
    ///
    /// # Errors
    /// If the dimensions differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same("dimensions", self.mean.len(), other.mean.len())?;
        if other.count == 0 {
            return Ok(());
        }
        let (here, there) = (self.count as f64, other.count as f64);
        let total = here + there;
        for ((mean, m2), (&other_mean, &other_m2)) in self
            .mean
            .iter_mut()
            .zip(&mut self.m2)
            .zip(other.mean.iter().zip(&other.m2))
        {
            let delta = other_mean - *mean;
            *mean += delta * there / total;
            *m2 += other_m2 + delta * delta * here * there / total;
        }
        self.count += other.count;
        Ok(())
    }

    /// Rows seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean of every dimension; zeros before the first row.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Unbiased variance of every dimension; NaN for fewer than two rows.
    pub fn variance(&self) -> Vec<f64> {
        let divisor = self.count as f64 - 1.0;
        self.m2
            .iter()
            .map(|&m2| {
                if divisor > 0.0 {
                    m2 / divisor
                } else {
                    f64::NAN
                }
            })
            .collect()
    }

    /// Unbiased standard deviation of every dimension; NaN for fewer than two rows.
    pub fn std(&self) -> Vec<f64> {
        self.spread(self.count as f64 - 1.0)
    }

    /// Population standard deviation of every dimension; NaN before the first row.
    pub fn population_std(&self) -> Vec<f64> {
        self.spread(self.count as f64)
    }

    fn spread(&self, divisor: f64) -> Vec<f64> {
        self.m2
            .iter()
            .map(|&m2| {
                if divisor > 0.0 {
                    (m2 / divisor).sqrt()
                } else {
                    f64::NAN
                }
            })
            .collect()
    }
}
