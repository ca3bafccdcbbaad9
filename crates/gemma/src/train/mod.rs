//! The differentiable path: weights as variables, batches of right-padded sequences, and saving as an ordinary model folder.

mod forward;
mod reverse;
mod save;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kernels::{cross_entropy, gather_rows, softcap};
use crate::model::Half;
use crate::parameters::parameters;
use crate::rotary::Tables;
use crate::weights::{Lower, Upper};
use crate::{Checkpoint, Config, Error, Model, Result};

use forward::Pass;

/// A Gemma-2 on the CPU whose weights are f32 variables that gradients reach.
#[derive(Debug)]
pub struct Trainable {
    config: Config,
    vars: BTreeMap<String, Var>,
    tables: Arc<Tables>,
}

/// The elements of a tensor of this shape and name.
type Values<'a> = dyn FnMut(&[usize], &str) -> Result<Vec<f32>> + 'a;

impl Trainable {
    /// A model with weights drawn from N(0, `initializer_range`²) and norm weights 0, which scale by 1. Equal seeds give equal weights.
    ///
    /// # Errors
    /// When a field of the configuration does not fit another.
    pub fn new(config: Config, seed: u64) -> Result<Self> {
        config.check(Path::new("config.json"))?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let range = config.initializer_range;
        Self::fill(config, &mut |shape: &[usize], _: &str| {
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
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        Self::fill(
            checkpoint.config().clone(),
            &mut |_: &[usize], name: &str| {
                let mut data = vec![];
                checkpoint.read(name, &mut data)?;
                Ok(data)
            },
        )
    }

    fn fill(config: Config, values: &mut Values<'_>) -> Result<Self> {
        let mut vars = BTreeMap::new();
        for (name, shape) in parameters(&config) {
            let data = values(&shape, &name)?;
            vars.insert(
                name,
                Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu)?)?,
            );
        }
        Ok(Self {
            tables: Arc::new(Tables::new(
                config.head_dim,
                config.rope_theta,
                config.max_positions,
            )),
            vars,
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
        let pass = Pass::new(self, ids, true)?;
        let logits = pass.head(&pass.residual()?)?.logits;
        let capped = softcap(&logits, self.config.final_softcap)?;
        Ok(capped.reshape((batch, tokens, self.config.vocab_size))?)
    }

    /// Mean loss Σ w·(−log p(target)) / Σ w in nats, a scalar that `backward` differentiates, for ids, targets (u32) and weights (f32), all
    /// `[B, T]`. Logits are computed only where the weight is not 0.
    ///
    /// # Errors
    /// When the shapes differ, every weight is 0, or an id or target is outside the vocabulary.
    pub fn loss(&self, ids: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let wanted = Wanted::new(ids, targets, weights)?;
        let pass = Pass::new(self, ids, true)?;
        let x = wanted.rows_of(&pass.residual()?)?;
        let losses = cross_entropy(
            &pass.head(&x)?.logits,
            &wanted.targets,
            self.config.final_softcap,
        )?;
        let shares = Tensor::new(wanted.shares.as_slice(), &Device::Cpu)?;
        Ok((losses * shares)?.sum_all()?)
    }

    /// The loss of [`Trainable::loss`] and its gradients, by a reverse pass of this crate's own: much quicker than the tensor library's,
    /// which copies every gradient once more.
    ///
    /// # Errors
    /// As [`Trainable::loss`].
    pub fn loss_and_gradients(
        &self,
        ids: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> Result<(f32, GradStore)> {
        reverse::loss_and_gradients(self, ids, &Wanted::new(ids, targets, weights)?)
    }

    /// A copy of the weights as they are now, for the fast path.
    ///
    /// # Errors
    /// When a tensor cannot be copied.
    pub fn to_model(&self) -> Result<Model> {
        let mut source = |name: &str, into: &mut Vec<f32>| {
            into.extend(self.var(name)?.flatten_all()?.to_vec1::<f32>()?);
            Ok(())
        };
        let (config, device) = (&self.config, &Device::Cpu);
        let lower = Lower::assemble(config, config.num_layers, device, DType::F32, &mut source)?;
        let upper = Upper::assemble(config, &lower, device, DType::F32, &mut source)?;
        Ok(Model::new(
            config.clone(),
            lower,
            Half::Loaded(upper),
            device,
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

    fn var(&self, name: &str) -> Result<&Var> {
        self.vars
            .get(name)
            .ok_or_else(|| Error::Argument(format!("the model has no tensor {name}")))
    }
}

/// The positions of a batch whose loss is wanted.
struct Wanted {
    /// Their numbers in the flattened batch; `None` where all are wanted.
    rows: Option<Vec<u32>>,
    targets: Vec<u32>,
    /// Weights divided by their sum.
    shares: Vec<f32>,
}

impl Wanted {
    fn new(ids: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Self> {
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
        let rows: Vec<u32> = (0..weights.len() as u32)
            .zip(&weights)
            .filter_map(|(row, weight)| (*weight != 0.0).then_some(row))
            .collect();
        let total: f32 = weights.iter().sum();
        if rows.is_empty() || total <= 0.0 {
            return Err(Error::Argument(format!(
                "the weights of the loss sum to {total}; give at least one position a positive weight"
            )));
        }
        let pick = |row: &u32| targets.get(*row as usize).copied().unwrap_or_default();
        Ok(Self {
            targets: rows.iter().map(pick).collect(),
            shares: weights
                .iter()
                .filter(|weight| **weight != 0.0)
                .map(|weight| weight / total)
                .collect(),
            rows: (rows.len() < weights.len()).then_some(rows),
        })
    }

    fn rows_of(&self, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            None => Ok(x.clone()),
            Some(rows) => Ok(gather_rows(x, rows, 1.0)?),
        }
    }
}

/// Normal numbers by the Box-Muller transform.
fn normals(rng: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    let mut all = Vec::with_capacity(count + 1);
    while all.len() < count {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * deviation;
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        all.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    all.truncate(count);
    all
}
