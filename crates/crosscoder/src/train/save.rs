//! Saving a trained crosscoder as dictionary_learning does: weights, config.json, trainer_config.json.

use std::path::Path;

use half::f16;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Trainer;
use super::output::{Numbers, Stored, write, write_text};
use crate::error::{Error, Result};
use crate::header::{CONFIG, MODELS, TRAINER_CONFIG, WEIGHTS};
use crate::{CodeNormalization, Kind};

/// Where a dictionary's activations come from, as trainer_config.json names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The hook point: output of this 0-based block.
    pub layer: Option<usize>,
    /// The two models, chat first: `chat-base`.
    pub lm_name: Option<String>,
    /// Name of the hooked module.
    pub submodule_name: Option<String>,
    /// Name of the run.
    pub run_name: Option<String>,
}

/// Number format of the four weight tensors of a saved dictionary. Readers compute in f32 whatever the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// As trained.
    #[default]
    F32,
    /// Half the size, eight significant bits.
    Bf16,
    /// Half the size, eleven significant bits, up to 65,504.
    F16,
}

impl WeightFormat {
    fn numbers(self, values: &[f32]) -> Numbers<'_> {
        match self {
            Self::F32 => Numbers::F32(values),
            Self::Bf16 => Numbers::Bf16(values),
            Self::F16 => Numbers::F16(values),
        }
    }
}

impl Trainer {
    /// [`Trainer::save_as`] in f32.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>, origin: &Origin) -> Result<()> {
        self.save_as(dir, origin, WeightFormat::F32)
    }

    /// Writes the dictionary folder that [`crate::Crosscoder::load`] and the dictionary_learning library read, each file through a
    /// temporary name.
    ///
    /// # Errors
    /// If the folder or a file cannot be written, or a weight is too large for the format.
    pub fn save_as(
        &self,
        dir: impl AsRef<Path>,
        origin: &Origin,
        format: WeightFormat,
    ) -> Result<()> {
        let dir = dir.as_ref();
        self.check_range(format)?;
        self.save_weights(&dir.join(WEIGHTS), format)?;
        write_text(&dir.join(CONFIG), &pretty(&self.config()))?;
        let trainer = json!({"trainer": self.trainer_config(origin), "buffer": null});
        write_text(&dir.join(TRAINER_CONFIG), &pretty(&trainer))
    }

    /// Refuses a format in which a weight would become infinite.
    fn check_range(&self, format: WeightFormat) -> Result<()> {
        let most = f16::MAX.to_f32();
        let mut weights = self.parameters.named().into_iter().flat_map(|(_, w)| w);
        match weights.find(|w| format == WeightFormat::F16 && w.abs() > most) {
            None => Ok(()),
            Some(weight) => Err(Error::Setting {
                field: "weight format",
                expected: format!("weights up to {most} for f16, or bf16 or f32"),
                found: weight.to_string(),
            }),
        }
    }

    fn save_weights(&self, path: &Path, format: WeightFormat) -> Result<()> {
        let (dim, latents) = (self.dim, self.latents);
        let width = MODELS * dim;
        let p = &self.parameters;
        let encoder = transposed(&p.encoder, width);
        let mut decoder = Vec::with_capacity(p.decoder.len());
        for model in 0..MODELS {
            for row in p.decoder.chunks_exact(width) {
                decoder
                    .extend_from_slice(row.get(model * dim..(model + 1) * dim).unwrap_or_default());
            }
        }
        let unknown = vec![f32::NAN; width];
        let (mean, std, scale, target) = match &self.normalizer {
            Some(n) => (n.mean(), n.std(), n.scale(), n.target_rms()),
            None => (unknown.as_slice(), unknown.as_slice(), [1.0; 2], 1.0),
        };
        let (id, k) = (
            [self.settings.code_normalization.id()],
            [self.settings.k as i32],
        );
        let target = [target];
        let matrix = |shape: &[usize], values| Stored::new(shape, Numbers::F32(values));
        let weights = |shape: &[usize], values| Stored::new(shape, format.numbers(values));
        let rows = [MODELS, dim];
        let mut tensors = vec![
            ("encoder.weight", weights(&[MODELS, dim, latents], &encoder)),
            ("encoder.bias", weights(&[latents], &p.encoder_bias)),
            ("decoder.weight", weights(&[MODELS, latents, dim], &decoder)),
            ("decoder.bias", weights(&rows, &p.decoder_bias)),
            ("code_normalization_id", Stored::new([], Numbers::I64(&id))),
            ("target_rms", matrix(&[], &target)),
            ("activation_mean", matrix(&rows, mean)),
            ("activation_std", matrix(&rows, std)),
            ("activation_global_scale", Stored::list(&scale)),
        ];
        if self.settings.kind == Kind::BatchTopK {
            tensors.push(("k", Stored::new([], Numbers::I32(&k))));
            let models = [MODELS];
            let shape = if self.is_decoupled() {
                &models[..]
            } else {
                &[]
            };
            let thresholds = self.selections(&self.thresholds);
            tensors.push(("threshold", matrix(shape, thresholds)));
        }
        let named = tensors.into_iter().map(|(n, t)| (n.to_owned(), t));
        write(path, named.collect(), None)
    }

    /// The constructor's arguments, from which the library makes the dictionary anew.
    fn config(&self) -> Value {
        let s = &self.settings;
        let (sae, cc) = alphas(s.code_normalization);
        let mut config = json!({
            "activation_dim": self.dim,
            "dict_size": self.latents,
            "num_layers": MODELS,
            "encoder_layers": null,
            "num_decoder_layers": null,
            "latent_processor": null,
            "init_with_transpose": s.init_with_transpose,
            "norm_init_scale": s.norm_init_scale,
            "same_init_for_all_layers": s.same_init_for_all_layers,
            "code_normalization": s.code_normalization.name(),
            "code_normalization_alpha_sae": sae,
            "code_normalization_alpha_cc": cc,
            "activation_mean": null,
            "activation_std": null,
            "target_rms": self.normalizer.as_ref().map_or(1.0, crate::Normalizer::target_rms),
        });
        if s.kind == Kind::BatchTopK {
            set(&mut config, json!({"k": s.k}));
        }
        config
    }

    fn trainer_config(&self, origin: &Origin) -> Value {
        let s = &self.settings;
        let (sae, cc) = alphas(s.code_normalization);
        let mut trainer = json!({
            "dict_class": s.kind.class(),
            "trainer_class": format!("{}Trainer", s.kind.class()),
            "activation_dim": self.dim,
            "dict_size": self.latents,
            "lr": s.base_lr(self.latents),
            "steps": s.steps,
            "warmup_steps": s.warmup_steps,
            "decay_start": s.decay_start,
            "seed": s.seed,
            "code_normalization": s.code_normalization.name(),
            "code_normalization_alpha_sae": sae,
            "code_normalization_alpha_cc": cc,
            "target_rms": self.normalizer.as_ref().map_or(1.0, crate::Normalizer::target_rms),
            "device": "cpu",
            "layer": origin.layer,
            "lm_name": origin.lm_name,
            "wandb_name": origin.run_name,
            "submodule_name": origin.submodule_name,
            "tokens": self.tokens,
            "use_mse_loss": s.use_mse_loss,
        });
        let more = match s.kind {
            Kind::BatchTopK => json!({
                "auxk_alpha": s.auxk_alpha,
                "threshold_beta": s.threshold_beta,
                "threshold_start_step": s.threshold_start_step,
                "top_k_aux": s.top_k_aux.unwrap_or(self.dim / 2),
                "dead_after_tokens": s.dead_after_tokens,
                "clip": s.clip,
                "k": s.k,
                "k_target": s.k,
                "k_initial": s.k_initial.unwrap_or(s.k),
                "k_annealing_steps": s.k_annealing_steps,
                // Strings, as the library writes them.
                "dict_class_kwargs": {
                    "same_init_for_all_layers": python_bool(s.same_init_for_all_layers),
                    "init_with_transpose": python_bool(s.init_with_transpose),
                    "norm_init_scale": s.norm_init_scale.map_or_else(|| "None".into(), |x| format!("{x:?}")),
                },
            }),
            Kind::L1 => json!({
                "l1_penalty": s.l1_penalty,
                "resample_steps": s.resample_steps,
            }),
        };
        set(&mut trainer, more);
        trainer
    }
}

fn alphas(normalization: CodeNormalization) -> (f64, f64) {
    match normalization {
        CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } => (alpha_sae, alpha_cc),
        _ => CodeNormalization::MIXED_DEFAULTS,
    }
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// Adds the fields of an object to another.
fn set(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        let more: Map<String, Value> = more;
        object.extend(more);
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// [F, width] to [width, F].
fn transposed(rows: &[f32], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for column in 0..width {
        out.extend(rows.iter().skip(column).step_by(width));
    }
    out
}
