//! config.json in both dialects: the one that transformers 5 writes and the one of the published checkpoints.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, Result};

/// The activation of Gemma's feed-forward block, the tanh form of GELU.
const ACTIVATION: &str = "gelu_pytorch_tanh";

/// The shape and constants of a Gemma-2 model, all from its config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width D of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// Rows V of the embedding.
    pub vocab_size: usize,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Keys that a sliding block sees, the token itself included; `None`: no block slides.
    pub sliding_window: Option<usize>,
    /// For each block, whether its attention slides.
    pub layer_is_sliding: Vec<bool>,
    /// Cap of the attention scores.
    pub attn_softcap: Option<f64>,
    /// Cap of the logits.
    pub final_softcap: Option<f64>,
    /// Queries are multiplied by one over its square root.
    pub query_pre_attn_scalar: f64,
    /// Positions that the model was made for.
    pub max_positions: usize,
    /// Whether the head is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// Id of the beginning-of-sequence token.
    pub bos_id: Option<u32>,
    /// Ids that end an answer.
    pub eos_ids: Vec<u32>,
    /// Id of the padding token.
    pub pad_id: Option<u32>,
    /// Standard deviation of freshly drawn weights.
    pub initializer_range: f64,
}

/// One id or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

impl Config {
    /// Reads a config.json.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, names another model type, lacks a field or has a value outside what Gemma-2 knows.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let value = read_json(path)?;
        Self::from_json(&value, path)
    }

    fn from_json(value: &Value, path: &Path) -> Result<Self> {
        match value.get("model_type") {
            Some(Value::String(name)) if name == "gemma2" => {}
            found => {
                return Err(Error::ModelType {
                    path: path.to_owned(),
                    found: found.map_or_else(|| "missing".into(), Value::to_string),
                });
            }
        }
        let fields = Fields { value, path };
        for flag in ["attention_bias", "use_bidirectional_attention"] {
            if fields.optional::<bool>(flag)? == Some(true) {
                return Err(fields.error(flag, "is true, which Gemma-2 does not have; use false"));
            }
        }
        if let Some(found) = fields.optional::<String>("hidden_activation")?
            && found != ACTIVATION
        {
            return Err(fields.error(
                "hidden_activation",
                &format!("is {found:?}, expected {ACTIVATION:?}"),
            ));
        }
        let num_layers = fields.count("num_hidden_layers")?;
        let sliding_window = fields.nullable::<usize>("sliding_window")?;
        if sliding_window == Some(0) {
            return Err(fields.error(
                "sliding_window",
                "is 0; it counts the token itself, so use 1 or more, or null",
            ));
        }
        let config = Self {
            hidden_size: fields.count("hidden_size")?,
            num_layers,
            num_heads: fields.count("num_attention_heads")?,
            num_kv_heads: fields.count("num_key_value_heads")?,
            head_dim: fields.count("head_dim")?,
            intermediate_size: fields.count("intermediate_size")?,
            vocab_size: fields.count("vocab_size")?,
            rms_norm_eps: fields.positive("rms_norm_eps")?,
            rope_theta: fields.rope_theta()?,
            sliding_window,
            layer_is_sliding: fields.layers(num_layers, sliding_window.is_some())?,
            attn_softcap: fields.cap("attn_logit_softcapping")?,
            final_softcap: fields.cap("final_logit_softcapping")?,
            query_pre_attn_scalar: fields.positive("query_pre_attn_scalar")?,
            max_positions: fields.count("max_position_embeddings")?,
            tie_word_embeddings: fields.optional("tie_word_embeddings")?.unwrap_or(true),
            bos_id: fields.optional("bos_token_id")?,
            eos_ids: fields.ids("eos_token_id")?,
            pad_id: fields.optional("pad_token_id")?,
            initializer_range: fields.optional("initializer_range")?.unwrap_or(0.02),
        };
        config.check(path)?;
        Ok(config)
    }

    /// Checks the relations between fields.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        let fail = |field: &str, problem: String| {
            Err(Error::Field {
                path: path.to_owned(),
                field: field.into(),
                problem,
            })
        };
        if self.num_kv_heads == 0 || !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return fail(
                "num_key_value_heads",
                format!(
                    "is {}, which does not divide num_attention_heads {}",
                    self.num_kv_heads, self.num_heads
                ),
            );
        }
        if !self.head_dim.is_multiple_of(2) {
            return fail(
                "head_dim",
                format!("is {}, expected an even number", self.head_dim),
            );
        }
        if self.layer_is_sliding.len() != self.num_layers {
            return fail(
                "layer_types",
                format!(
                    "has {} entries, num_hidden_layers is {}",
                    self.layer_is_sliding.len(),
                    self.num_layers
                ),
            );
        }
        Ok(())
    }

    /// Writes a config.json in the dialect of the published checkpoints, with the layer types beside it; both dialects' readers take it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, dtype: &str) -> Result<()> {
        let layer_types: Vec<_> = self
            .layer_is_sliding
            .iter()
            .map(|sliding| {
                if *sliding {
                    "sliding_attention"
                } else {
                    "full_attention"
                }
            })
            .collect();
        let eos = match self.eos_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let value = json!({
            "architectures": ["Gemma2ForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "attn_logit_softcapping": self.attn_softcap,
            "bos_token_id": self.bos_id,
            "cache_implementation": "hybrid",
            "eos_token_id": eos,
            "final_logit_softcapping": self.final_softcap,
            "head_dim": self.head_dim,
            "hidden_act": ACTIVATION,
            "hidden_activation": ACTIVATION,
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "layer_types": layer_types,
            "max_position_embeddings": self.max_positions,
            "model_type": "gemma2",
            "num_attention_heads": self.num_heads,
            "num_hidden_layers": self.num_layers,
            "num_key_value_heads": self.num_kv_heads,
            "pad_token_id": self.pad_id,
            "query_pre_attn_scalar": whole(self.query_pre_attn_scalar),
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "sliding_window": self.sliding_window,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": dtype,
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        write_json(path.as_ref(), &value)
    }

    /// The window of a block's attention, if it slides.
    pub(crate) fn window(&self, block: usize) -> Option<usize> {
        self.sliding_window
            .filter(|_| self.layer_is_sliding.get(block) == Some(&true))
    }
}

/// A number without a fraction as an integer: transformers refuses `32.0` where it expects one.
fn whole(x: f64) -> Value {
    let integer = x as u64;
    if integer as f64 == x {
        integer.into()
    } else {
        x.into()
    }
}

/// Ids named `eos_token_id` in a JSON file: one, several or none.
pub(crate) fn eos_ids(value: &Value, path: &Path) -> Result<Vec<u32>> {
    Fields { value, path }.ids("eos_token_id")
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

/// Writes a JSON file, indented, through a temporary name.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<()> {
    let temporary = path.with_extension("json.tmp");
    let write = || {
        std::fs::write(&temporary, format!("{value:#}\n"))?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// Typed access to the fields of one file, with errors that name field and file.
struct Fields<'a> {
    value: &'a Value,
    path: &'a Path,
}

impl Fields<'_> {
    fn error(&self, field: &str, problem: &str) -> Error {
        Error::Field {
            path: self.path.to_owned(),
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// A field that may be absent or null.
    fn optional<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<Option<T>> {
        match self.value.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(found) => T::deserialize(found)
                .map(Some)
                .map_err(|e| self.error(field, &format!("is {found}: {e}"))),
        }
    }

    /// A field that must be there but may be null.
    fn nullable<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<Option<T>> {
        if self.value.get(field).is_none() {
            return Err(self.error(
                field,
                "is missing; restore config.json from the original checkpoint",
            ));
        }
        self.optional(field)
    }

    fn required<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<T> {
        self.nullable(field)?
            .ok_or_else(|| self.error(field, "is null, expected a number"))
    }

    fn count(&self, field: &str) -> Result<usize> {
        match self.required(field)? {
            0 => Err(self.error(field, "is 0, expected 1 or more")),
            n => Ok(n),
        }
    }

    fn positive(&self, field: &str) -> Result<f64> {
        let found: f64 = self.required(field)?;
        if found > 0.0 {
            return Ok(found);
        }
        Err(self.error(field, &format!("is {found}, expected a positive number")))
    }

    fn cap(&self, field: &str) -> Result<Option<f64>> {
        match self.nullable::<f64>(field)? {
            Some(found) if found <= 0.0 => Err(self.error(
                field,
                &format!("is {found}, expected a positive number or null"),
            )),
            cap => Ok(cap),
        }
    }

    fn ids(&self, field: &str) -> Result<Vec<u32>> {
        Ok(match self.optional::<Ids>(field)? {
            None => vec![],
            Some(Ids::One(id)) => vec![id],
            Some(Ids::Many(ids)) => ids,
        })
    }

    fn rope_theta(&self) -> Result<f64> {
        let Some(rope) = self.optional::<Value>("rope_parameters")? else {
            if self.optional::<Value>("rope_scaling")?.is_some() {
                return Err(self.error(
                    "rope_scaling",
                    "is set, which Gemma-2 does not have; use null",
                ));
            }
            return self.positive("rope_theta");
        };
        let rope = Fields {
            value: &rope,
            path: self.path,
        };
        match rope.optional::<String>("rope_type")?.as_deref() {
            None | Some("default") => rope.positive("rope_theta"),
            Some(found) => Err(self.error(
                "rope_parameters.rope_type",
                &format!("is {found:?}, expected \"default\""),
            )),
        }
    }

    fn layers(&self, num_layers: usize, window: bool) -> Result<Vec<bool>> {
        let Some(types) = self.optional::<Vec<String>>("layer_types")? else {
            return Ok((0..num_layers)
                .map(|block| window && block % 2 == 0)
                .collect());
        };
        types
            .iter()
            .map(|kind| match kind.as_str() {
                "sliding_attention" if window => Ok(true),
                "sliding_attention" => Err(self.error(
                    "sliding_window",
                    "is null, but layer_types has a sliding block; set the window",
                )),
                "full_attention" => Ok(false),
                found => Err(self.error(
                    "layer_types",
                    &format!("has {found:?}, expected sliding_attention or full_attention"),
                )),
            })
            .collect()
    }
}
