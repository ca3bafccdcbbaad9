//! Drawing silent L1 latents anew from inputs that are reconstructed badly.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Trainer;

/// Length of a new encoder column, as a share of the living ones' mean.
const ENCODER_SHARE: f64 = 0.05;

impl Trainer {
    /// Gives latents that were silent for more than half of `every` steps the directions of tokens of the last batch, drawn with
    /// probability proportional to their squared error at the parameters as they are now. Every such latent's moments are cleared.
    pub(super) fn resample(&mut self, every: u64) {
        let silent: Vec<bool> = self.silent_steps.iter().map(|&n| 2 * n > every).collect();
        let count = silent.iter().filter(|s| **s).count();
        let width = 2 * self.dim;
        let rows = self.work.pass.x.len() / width;
        if count == 0 || rows == 0 {
            return;
        }
        self.weigh();
        self.rectify();
        self.reconstruct(rows);
        let chosen = self.draw_tokens(count.min(rows));
        let lengths = self.living_lengths(&silent);
        let latents = silent.iter().enumerate().filter(|(_, s)| **s);
        for ((j, _), token) in latents.zip(chosen) {
            let x: Vec<f32> = self
                .work
                .pass
                .x
                .get(token * width..(token + 1) * width)
                .unwrap_or_default()
                .to_vec();
            self.renew(j, &x, lengths);
        }
    }

    /// Distinct tokens of the batch, in the order drawn.
    fn draw_tokens(&self, count: usize) -> Vec<usize> {
        let seed = self.settings.seed ^ self.step.rotate_left(32);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let errors = self.work.pass.error.chunks_exact(2 * self.dim);
        // The smallest of exponential waiting times: a draw without replacement.
        let mut waits: Vec<(f64, usize)> = errors
            .enumerate()
            .map(|(token, e)| {
                let (base, chat) = e.split_at(self.dim);
                let norm = f64::from(diffing::norm(base)) + f64::from(diffing::norm(chat));
                let rate = (norm / 2.0).powi(2);
                let uniform: f64 = rng.random();
                (-(1.0 - uniform).ln() / rate, token)
            })
            .collect();
        waits.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        waits.into_iter().take(count).map(|(_, t)| t).collect()
    }

    /// Mean length of the living latents' encoder columns, base and chat.
    fn living_lengths(&self, silent: &[bool]) -> [f64; 2] {
        let (mut sums, mut living) = ([0f64; 2], 0usize);
        let columns = self.parameters.encoder.chunks_exact(2 * self.dim);
        for (column, _) in columns.zip(silent).filter(|(_, silent)| !**silent) {
            let (base, chat) = column.split_at(self.dim);
            sums[0] += f64::from(diffing::norm(base));
            sums[1] += f64::from(diffing::norm(chat));
            living += 1;
        }
        sums.map(|sum| sum / living.max(1) as f64)
    }

    /// Gives a latent the direction of an activation of both models.
    fn renew(&mut self, latent: usize, x: &[f32], lengths: [f64; 2]) {
        let range = latent * x.len()..(latent + 1) * x.len();
        let [first, second] = &mut self.moments;
        for part in [&mut *first, &mut *second] {
            for rows in [&mut part.encoder, &mut part.decoder] {
                rows.get_mut(range.clone()).unwrap_or_default().fill(0.0);
            }
            if let Some(bias) = part.encoder_bias.get_mut(latent) {
                *bias = 0.0;
            }
        }
        if let Some(bias) = self.parameters.encoder_bias.get_mut(latent) {
            *bias = 0.0;
        }
        let encoder = self.parameters.encoder.get_mut(range.clone());
        let decoder = self.parameters.decoder.get_mut(range);
        let sides = encoder
            .unwrap_or_default()
            .chunks_exact_mut(self.dim)
            .zip(decoder.unwrap_or_default().chunks_exact_mut(self.dim))
            .zip(x.chunks_exact(self.dim))
            .zip(lengths);
        for (((encoder, decoder), x), length) in sides {
            let norm = diffing::norm(x);
            let inverse = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            for ((e, d), x) in encoder.iter_mut().zip(decoder).zip(x) {
                *e = (f64::from(*x) * length * ENCODER_SHARE) as f32;
                *d = x * inverse;
            }
        }
    }
}
