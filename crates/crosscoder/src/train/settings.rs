//! Hyper-parameters of training.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{CodeNormalization, Kind};

/// Where the decoder bias starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasStart {
    /// At 0: the default of L1.
    Zero,
    /// At each model's geometric median of the first batch: the default of BatchTopK.
    GeometricMedian,
    /// [`BiasStart::GeometricMedian`] for BatchTopK, [`BiasStart::Zero`] for L1.
    #[default]
    Automatic,
}

/// All hyper-parameters; the defaults are the paper's BatchTopK recipe at a small scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// L1 or BatchTopK.
    pub kind: Kind,
    /// How decoder norms weigh the code. Under DECOUPLED each model has its own selection of k (BatchTopK).
    pub code_normalization: CodeNormalization,
    /// Steps of the whole run; needed for the linear decay and the organism's threshold start.
    pub steps: u64,
    /// Active latents per token in the end (BatchTopK).
    pub k: usize,
    /// Active latents per token at step 0, falling linearly to `k` over `k_annealing_steps` (BatchTopK).
    pub k_initial: Option<usize>,
    /// Steps over which k falls; 0 keeps it at `k`.
    pub k_annealing_steps: u64,
    /// Learning rate; without one, 2e-4/√(F/2¹⁴) for BatchTopK and 1e-4 for L1.
    pub lr: Option<f64>,
    /// The rate's factor is step/warmup_steps until this step, and so 0 at step 0.
    pub warmup_steps: u64,
    /// The rate falls linearly from here to 0 at `steps`.
    pub decay_start: Option<u64>,
    /// Weight of the auxiliary loss on dead latents (BatchTopK).
    pub auxk_alpha: f64,
    /// Dead latents per token in the auxiliary loss; without a number, D/2.
    pub top_k_aux: Option<usize>,
    /// A latent is dead after this many tokens without firing.
    pub dead_after_tokens: u64,
    /// The inference threshold is estimated in steps after this one.
    pub threshold_start_step: u64,
    /// The threshold keeps this share of itself at every step.
    pub threshold_beta: f64,
    /// Norm of every encoder column and decoder row at the start; without a number, as Kaiming's draw has it.
    pub norm_init_scale: Option<f64>,
    /// One draw for both models.
    pub same_init_for_all_layers: bool,
    /// The decoder starts as the encoder's transpose.
    pub init_with_transpose: bool,
    /// Where the decoder bias starts.
    pub decoder_bias: BiasStart,
    /// Largest global gradient norm (BatchTopK).
    pub clip: Option<f64>,
    /// Weight μ of the sparsity penalty (L1).
    pub l1_penalty: f64,
    /// Squared error instead of the un-squared norm; the library knows it for L1 only.
    pub use_mse_loss: bool,
    /// Steps after which latents silent for half as many are drawn anew, and the warm-up begins again (L1); without a number, never.
    pub resample_steps: Option<u64>,
    /// Seed of the initial draw.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: Kind::BatchTopK,
            code_normalization: CodeNormalization::Crosscoder,
            steps: 1000,
            k: 100,
            k_initial: None,
            k_annealing_steps: 0,
            lr: None,
            warmup_steps: 1000,
            decay_start: None,
            auxk_alpha: 1.0 / 32.0,
            top_k_aux: None,
            dead_after_tokens: 10_000_000,
            threshold_start_step: 1000,
            threshold_beta: 0.999,
            norm_init_scale: Some(1.0),
            same_init_for_all_layers: true,
            init_with_transpose: true,
            decoder_bias: BiasStart::Automatic,
            clip: Some(1.0),
            l1_penalty: 0.041,
            use_mse_loss: false,
            resample_steps: None,
            seed: 0,
        }
    }
}

impl Settings {
    /// Refuses settings that cannot be trained, naming the field.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn check(&self, dict_size: usize) -> Result<()> {
        let fail = |field, expected: &str, found: String| {
            Err(Error::Setting {
                field,
                expected: expected.into(),
                found,
            })
        };
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        if let CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } = self.code_normalization
            && !(alpha_sae >= 0.0 && alpha_cc >= 0.0 && positive(alpha_sae + alpha_cc))
        {
            return fail(
                "code_normalization",
                "MIXED weights of at least 0, not both 0",
                format!("{alpha_sae} and {alpha_cc}"),
            );
        }
        if self.dead_after_tokens == 0 {
            return fail("dead_after_tokens", "at least 1", "0".into());
        }
        if let Some(every) = self.resample_steps {
            if self.kind != Kind::L1 {
                return fail("resample_steps", "none for BatchTopK", every.to_string());
            }
            if every == 0 || self.decay_start.is_some() {
                return fail(
                    "resample_steps",
                    "at least 1, and no decay_start beside it",
                    every.to_string(),
                );
            }
        }
        if self.kind == Kind::BatchTopK {
            for (field, k) in [("k", Some(self.k)), ("k_initial", self.k_initial)] {
                if let Some(k) = k
                    && !(1..=dict_size).contains(&k)
                {
                    return fail(field, &format!("1 to {dict_size} latents"), k.to_string());
                }
            }
        }
        if self.steps == 0 {
            return fail("steps", "at least 1", "0".into());
        }
        if let Some(lr) = self.lr
            && !positive(lr)
        {
            return fail("lr", "a positive number", lr.to_string());
        }
        if let Some(scale) = self.norm_init_scale
            && !positive(scale)
        {
            return fail("norm_init_scale", "a positive number", scale.to_string());
        }
        if let Some(clip) = self.clip
            && !positive(clip)
        {
            return fail("clip", "a positive number", clip.to_string());
        }
        if let Some(start) = self.decay_start
            && start >= self.steps
        {
            return fail(
                "decay_start",
                &format!("a step before the end ({})", self.steps),
                start.to_string(),
            );
        }
        if !share(self.threshold_beta) {
            return fail("threshold_beta", "0 to 1", self.threshold_beta.to_string());
        }
        for (field, x) in [
            ("auxk_alpha", self.auxk_alpha),
            ("l1_penalty", self.l1_penalty),
        ] {
            if !x.is_finite() || x < 0.0 {
                return fail(field, "a number of at least 0", x.to_string());
            }
        }
        Ok(())
    }

    /// Learning rate before the schedule's factor.
    pub fn base_lr(&self, dict_size: usize) -> f64 {
        self.lr.unwrap_or(match self.kind {
            Kind::L1 => 1e-4,
            Kind::BatchTopK => 2e-4 / (dict_size as f64 / 2f64.powi(14)).sqrt(),
        })
    }

    /// Factor of the learning rate at a step: rises from 0 during warm-up, is 1, falls to 0 from `decay_start` to `steps`. With
    /// resampling the warm-up begins again after each.
    pub fn lr_factor(&self, step: u64) -> f64 {
        let step = self
            .resample_steps
            .map_or(step, |every| step % every.max(1));
        let rise = if step < self.warmup_steps {
            step as f64 / self.warmup_steps as f64
        } else {
            1.0
        };
        let fall = match self.decay_start {
            Some(start) if step >= start => {
                self.steps.saturating_sub(step) as f64
                    / self.steps.saturating_sub(start).max(1) as f64
            }
            _ => 1.0,
        };
        rise * fall
    }

    /// Active latents per token at a step.
    pub fn k_at(&self, step: u64) -> usize {
        match self.k_initial {
            Some(initial) if step < self.k_annealing_steps => {
                let (from, to) = (initial as f64, self.k as f64);
                let k = from - (from - to) * step as f64 / self.k_annealing_steps as f64;
                k.round_ties_even().max(1.0) as usize
            }
            _ => self.k,
        }
    }

    /// As JSON, for a checkpoint. Its numbers may lose their last bit when read: [`Settings::float_bits`] keeps them.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Every floating-point number's bits, in a fixed order.
    pub(super) fn float_bits(&self) -> String {
        let mut copy = self.clone();
        let bits: Vec<String> = copy
            .floats()
            .into_iter()
            .map(|x| format!("{:x}", x.to_bits()))
            .collect();
        bits.join(" ")
    }

    /// From [`Settings::to_json`] and [`Settings::float_bits`].
    pub(super) fn from_json(json: &str, bits: &str) -> std::result::Result<Self, String> {
        let mut settings: Self = serde_json::from_str(json)
            .map_err(|e| format!("expected training settings, found {e}"))?;
        let bits = bits
            .split_whitespace()
            .map(|b| u64::from_str_radix(b, 16))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| format!("expected the settings' bits, found {e}"))?;
        let floats = settings.floats();
        if floats.len() != bits.len() {
            return Err(format!(
                "expected bits of {} settings, found {}",
                floats.len(),
                bits.len()
            ));
        }
        for (x, bits) in floats.into_iter().zip(bits) {
            *x = f64::from_bits(bits);
        }
        Ok(settings)
    }

    fn floats(&mut self) -> Vec<&mut f64> {
        let mut floats = vec![
            &mut self.auxk_alpha,
            &mut self.threshold_beta,
            &mut self.l1_penalty,
        ];
        floats.extend(&mut self.lr);
        floats.extend(&mut self.norm_init_scale);
        floats.extend(&mut self.clip);
        if let CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } = &mut self.code_normalization
        {
            floats.extend([alpha_sae, alpha_cc]);
        }
        floats
    }
}
