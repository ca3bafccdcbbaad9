//! The differentiable path: weights as variables, batches of right-padded sequences, and saving as an ordinary model folder.

mod save;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::attention::attend;
use crate::kernels::{
    Rotation, Span, add_rms_norm, cross_entropy, geglu, join_heads, linear, rms_norm, softcap,
    split_heads,
};
use crate::model::embedding_scale;
use crate::parameters::{
    DOWN, EMBED, FINAL_NORM, GATE, HEAD, INPUT_NORM, K, O, POST_ATTENTION_NORM, POST_FFN_NORM,
    PRE_FFN_NORM, Q, UP, V, in_block, parameters,
};
use crate::rotary::Tables;
use crate::weights::Weights;
use crate::{Checkpoint, Config, Error, Model, Result};

/// A Gemma-2 whose weights are f32 variables that gradients reach.
#[derive(Debug)]
pub struct Trainable {
    config: Config,
    vars: BTreeMap<String, Var>,
    tables: Arc<Tables>,
    device: Device,
}

impl Trainable {
    /// A model with weights drawn from N(0, `initializer_range`²) and norm weights 0, which scale by 1. Equal seeds give equal weights.
    ///
    /// # Errors
    /// When a field of the configuration does not fit another, or the device has no room.
    pub fn new(config: Config, seed: u64, device: &Device) -> Result<Self> {
        config.check(Path::new("config.json"))?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let range = config.initializer_range;
        Self::fill(config, device, &mut |shape: &[usize], _: &str| {
            let count = shape.iter().product();
            Ok(match shape {
                [_] => vec![0.0; count],
                _ => normals(&mut rng, count, range),
            })
        })
    }

    /// A checkpoint's weights, to be trained on.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Self::fill(
            checkpoint.config().clone(),
            device,
            &mut |_: &[usize], name: &str| {
                let mut data = vec![];
                checkpoint.read(name, &mut data)?;
                Ok(data)
            },
        )
    }

    fn fill(
        config: Config,
        device: &Device,
        values: &mut dyn FnMut(&[usize], &str) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let mut vars = BTreeMap::new();
        for (name, shape) in parameters(&config) {
            let data = values(&shape, &name)?;
            vars.insert(
                name,
                Var::from_tensor(&Tensor::from_vec(data, shape, device)?)?,
            );
        }
        Ok(Self {
            tables: Arc::new(Tables::new(
                config.head_dim,
                config.rope_theta,
                config.max_positions,
            )),
            vars,
            device: device.clone(),
            config,
        })
    }

    /// The model's shape and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every variable with its name in the checkpoint, by name.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.vars
            .iter()
            .map(|(name, var)| (name.clone(), var.clone()))
            .collect()
    }

    /// Soft-capped logits `[B, T, V]` for ids `[B, T]` (u32). Sequences start at position 0; attention is causal, so padding on the right
    /// changes nothing before it.
    ///
    /// # Errors
    /// When T exceeds the model's positions or the tensors do not fit.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let logits = self.head(&self.residual(ids)?)?;
        let capped = softcap(&logits, self.config.final_softcap)?;
        Ok(capped.reshape((batch, tokens, self.config.vocab_size))?)
    }

    /// Mean loss Σ w·(−log p(target)) / Σ w in nats, a scalar, for ids, targets (u32) and weights (f32), all `[B, T]`. Logits are computed
    /// only where the weight is not 0.
    ///
    /// # Errors
    /// When the shapes differ, every weight is 0, or a target is outside the vocabulary.
    pub fn loss(&self, ids: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor> {
        if ids.dims() != targets.dims() || ids.dims() != weights.dims() {
            return Err(Error::Argument(format!(
                "ids have shape {:?}, targets {:?} and weights {:?}; they must be equal",
                ids.dims(),
                targets.dims(),
                weights.dims()
            )));
        }
        let weights: Vec<f32> = weights.flatten_all()?.to_vec1()?;
        let targets: Vec<u32> = targets.flatten_all()?.to_vec1()?;
        let wanted: Vec<(u32, u32, f32)> = weights
            .iter()
            .zip(&targets)
            .enumerate()
            .filter(|(_, (weight, _))| **weight != 0.0)
            .map(|(row, (weight, target))| (row as u32, *target, *weight))
            .collect();
        let total: f32 = wanted.iter().map(|(_, _, weight)| weight).sum();
        if wanted.is_empty() {
            return Err(Error::Argument(
                "every weight of the loss is 0; give at least one position a weight".into(),
            ));
        }
        let rows = Tensor::from_iter(wanted.iter().map(|(row, _, _)| *row), &self.device)?;
        let targets: Vec<u32> = wanted.iter().map(|(_, target, _)| *target).collect();
        let weights = Tensor::from_iter(
            wanted.iter().map(|(_, _, weight)| weight / total),
            &self.device,
        )?;
        let x = self.residual(ids)?;
        let x = if wanted.len() == x.dim(0)? {
            x
        } else {
            x.index_select(&rows, 0)?
        };
        let losses = cross_entropy(&self.head(&x)?, &targets, self.config.final_softcap)?;
        Ok((losses * weights)?.sum_all()?)
    }

    /// A copy of the weights as they are now, for the fast path.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn to_model(&self) -> Result<Model> {
        let mut source = |name: &str, into: &mut Vec<f32>| {
            into.extend(self.var(name)?.flatten_all()?.to_vec1::<f32>()?);
            Ok(())
        };
        let weights = Weights::assemble(&self.config, &self.device, DType::F32, &mut source)?;
        Ok(Model::new(
            self.config.clone(),
            weights,
            &self.device,
            DType::F32,
        ))
    }

    /// Writes `config.json` and `model.safetensors` into a folder, which is made where it is missing; `dtype` is BF16, F16 or F32. A checkpoint of
    /// the same name is replaced only once the new one is whole.
    ///
    /// # Errors
    /// When the folder cannot be written or `dtype` is another.
    pub fn save(&self, dir: impl AsRef<Path>, dtype: DType) -> Result<()> {
        save::save(dir.as_ref(), &self.config, &self.vars, dtype)
    }

    fn var(&self, name: &str) -> Result<&Tensor> {
        self.vars
            .get(name)
            .map(Var::as_tensor)
            .ok_or_else(|| Error::Argument(format!("the model has no tensor {name}")))
    }

    /// Logits `[N, V]` before the soft cap from residuals `[N, D]`.
    fn head(&self, x: &Tensor) -> Result<Tensor> {
        let normed = rms_norm(x, self.var(FINAL_NORM)?, self.config.rms_norm_eps)?;
        let head = if self.config.tie_word_embeddings {
            EMBED
        } else {
            HEAD
        };
        Ok(linear(&normed, self.var(head)?)?)
    }

    /// The last block's output `[B·T, D]`.
    fn residual(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        if batch * tokens == 0 {
            return Err(Error::Empty);
        }
        if tokens > self.tables.positions() {
            return Err(Error::TooLong {
                wanted: tokens,
                limit: self.tables.positions(),
                what: "model's max_position_embeddings",
            });
        }
        let rows = self.var(EMBED)?.index_select(&ids.flatten_all()?, 0)?;
        let mut x = (rows * embedding_scale(self.config.hidden_size, DType::F32))?;
        for block in 0..self.config.num_layers {
            x = self.block(block, &x, batch)?;
        }
        Ok(x)
    }

    /// One block on `[B·T, D]`.
    fn block(&self, block: usize, x: &Tensor, batch: usize) -> Result<Tensor> {
        let eps = self.config.rms_norm_eps;
        let weight = |part: &str| self.var(&in_block(block, part));
        let project = |x: &Tensor, part: &str| -> Result<Tensor> { Ok(linear(x, weight(part)?)?) };
        let normed = rms_norm(x, weight(INPUT_NORM)?, eps)?;
        let projected = [
            project(&normed, Q)?,
            project(&normed, K)?,
            project(&normed, V)?,
        ];
        let attended = project(&self.attention(block, &projected, batch)?, O)?;
        let x = add_rms_norm(x, &attended, weight(POST_ATTENTION_NORM)?, eps)?;
        let normed = rms_norm(&x, weight(PRE_FFN_NORM)?, eps)?;
        let gated = geglu(&project(&normed, GATE)?, &project(&normed, UP)?)?;
        let fed = project(&gated, DOWN)?;
        Ok(add_rms_norm(&x, &fed, weight(POST_FFN_NORM)?, eps)?)
    }

    fn attention(&self, block: usize, [q, k, v]: &[Tensor; 3], batch: usize) -> Result<Tensor> {
        let config = &self.config;
        let (heads, kv_heads, head_dim) = (config.num_heads, config.num_kv_heads, config.head_dim);
        let tokens = q.dim(0)? / batch;
        let rotation = Rotation {
            tables: self.tables.clone(),
            first: 0,
        };
        let scale = config.query_pre_attn_scalar.sqrt().recip() as f32;
        let queries = split_heads(q, batch, heads, Some(&rotation), scale)?;
        let queries = queries.reshape((batch * kv_heads, heads / kv_heads * tokens, head_dim))?;
        let flat = (batch * kv_heads, tokens, head_dim);
        let keys = split_heads(k, batch, kv_heads, Some(&rotation), 1.0)?.reshape(flat)?;
        let values = split_heads(v, batch, kv_heads, None, 1.0)?.reshape(flat)?;
        let span = Span::new(tokens, 0, config.window(block));
        let mixed = attend(&queries, &keys, &values, config.attn_softcap, span)?;
        Ok(join_heads(
            &mixed.reshape((batch, heads, tokens, head_dim))?,
        )?)
    }
}

/// Normal numbers by the Box-Muller transform.
fn normals(rng: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    use rand::Rng;
    let mut all = Vec::with_capacity(count + 1);
    while all.len() < count {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * deviation;
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        all.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    all.truncate(count);
    all
}
