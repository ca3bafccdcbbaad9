//! Validation: the dictionary measured as it will be used.

use super::evaluate::SILENT;
use super::{Trainer, Validation};
use crate::Kind;
use crate::error::Result;

/// Δ_norm from which validation counts a latent as specific to a model.
const SPECIFIC: f64 = 0.9;

impl Trainer {
    /// Measures batches ([B, 2, D] each) with the inference threshold, without learning from them.
    ///
    /// # Errors
    /// If a batch is empty or not a whole number of tokens.
    pub fn validate<'a>(
        &mut self,
        batches: impl IntoIterator<Item = &'a [f32]>,
    ) -> Result<Validation> {
        let mut result = Validation::default();
        let mut fired = vec![false; self.latents];
        let mut count = 0.0;
        for batch in batches {
            let rows = self.bring(batch)?;
            match self.settings.kind {
                Kind::BatchTopK => self.threshold_codes(),
                Kind::L1 => self.rectify(),
            }
            let (sums, l0) = self.reconstruct(rows);
            self.note_fired(&mut fired);
            count += 1.0;
            result.tokens += rows as u64;
            for (total, fve) in result.fve.iter_mut().zip(sums.fve()) {
                *total += fve;
            }
            result.fve_total += sums.fve_total();
            result.l0 += l0;
            result.loss += self.error_and_penalty(&sums);
            result.l2 += sums.l2;
            result.mse += sums.mse;
            result.sparsity += sums.sparsity;
        }
        if count > 0.0 {
            let [base, chat] = &mut result.fve;
            for x in [
                base,
                chat,
                &mut result.fve_total,
                &mut result.loss,
                &mut result.l0,
                &mut result.l2,
                &mut result.mse,
                &mut result.sparsity,
            ] {
                *x /= count;
            }
            let silent = fired.iter().filter(|f| !**f).count();
            result.dead_share = silent as f64 / self.latents as f64;
        }
        let deltas = self
            .weights
            .iter()
            .filter_map(|w| diffing::delta_norm(w.norms[0], w.norms[1]));
        for delta in deltas {
            result.specific[0] += usize::from(1.0 - delta > SPECIFIC);
            result.specific[1] += usize::from(delta > SPECIFIC);
        }
        Ok(result)
    }

    /// BatchTopK's codes of the batch above the thresholds.
    fn threshold_codes(&mut self) {
        let floors = self.thresholds.map(|t| t.max(0.0));
        let floors = self.selections(&floors).to_vec();
        let work = &mut self.work;
        work.search
            .run(&work.pass.x, &self.parameters, &self.weights, &floors);
        work.search.settle_all(&work.pass.x, &self.parameters);
        work.search
            .keep_above(&floors, &self.weights, &mut work.entries);
        work.dense = false;
    }

    fn note_fired(&self, fired: &mut [bool]) {
        if self.settings.kind == Kind::L1 {
            let latents = self.work.activity.iter().zip(&self.weights);
            for (fired, (activity, weight)) in fired.iter_mut().zip(latents) {
                *fired |= activity.largest * weight.w > SILENT;
            }
            return;
        }
        for &j in &self.work.entries.latents {
            if let Some(fired) = fired.get_mut(j as usize) {
                *fired = true;
            }
        }
    }
}
