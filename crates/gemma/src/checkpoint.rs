//! A checkpoint folder: everything that can be checked without reading a weight, and the loading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{eos_ids, read_json};
use crate::header::{Shard, Stored};
use crate::memory::weight_counts;
use crate::model::Half;
use crate::parameters::parameters;
use crate::weights::{Lower, Upper};
use crate::{Config, Error, Model, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of each end of each tensor that enter the fingerprint.
const SAMPLE: u64 = 64;

/// A Gemma-2 folder whose configuration, index, headers, lengths, names, shapes and number formats agree. No weight has been read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    config: Config,
    stop_ids: Vec<u32>,
    shards: Vec<Shard>,
    /// Shard of every tensor of the model.
    places: BTreeMap<String, usize>,
    hash: String,
}

impl Checkpoint {
    /// Opens a folder and checks it.
    ///
    /// # Errors
    /// A sentence naming the file, field or tensor, what was expected and what was found.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let config = Config::read(dir.join("config.json"))?;
        let shards = open_shards(dir)?;
        let places = check_tensors(dir, &config, &shards)?;
        let mut stop_ids: BTreeSet<u32> = config.eos_ids.iter().copied().collect();
        let generation = dir.join("generation_config.json");
        if generation.exists() {
            stop_ids.extend(eos_ids(&read_json(&generation)?, &generation)?);
        }
        let hash = fingerprint(dir, &shards)?;
        Ok(Self {
            dir: dir.to_owned(),
            config,
            stop_ids: stop_ids.into_iter().collect(),
            shards,
            places,
            hash,
        })
    }

    /// The model's shape and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of weights, the tied head counted once.
    pub fn parameters(&self) -> u64 {
        parameters(&self.config)
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum()
    }

    /// Ids that end an answer, from config.json and generation_config.json, ascending.
    pub fn stop_ids(&self) -> Vec<u32> {
        self.stop_ids.clone()
    }

    /// The number format of the stored weights as config.json names it (`float32`, `bfloat16`, `float16`), or `mixed`.
    pub fn stored_dtype(&self) -> &'static str {
        let mut found = self.shards.iter().flat_map(|shard| {
            shard
                .entries
                .values()
                .filter_map(|entry| entry.dtype.map(Stored::name))
        });
        match found.next() {
            Some(first) if found.all(|name| name == first) => first,
            _ => "mixed",
        }
    }

    /// A fingerprint in hexadecimal, from config.json, file names, sizes and headers, and both ends of every tensor.
    pub fn hash(&self) -> String {
        self.hash.clone()
    }

    /// Reads the weights onto a device in a number format; `progress` hears the fraction read, from 0 to 1.
    ///
    /// On the CPU use `DType::F32`: that is what its arithmetic runs in, whatever the stored format.
    ///
    /// # Errors
    /// When a file cannot be read, a weight is NaN or infinite, or the device has no room.
    pub fn load(
        &self,
        device: &Device,
        dtype: DType,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Model> {
        let mut source = self.source(self.parameters(), progress);
        let config = &self.config;
        let lower = Lower::assemble(config, config.num_layers, device, dtype, &mut source)?;
        let upper = Upper::assemble(config, &lower, device, dtype, &mut source)?;
        Ok(Model::new(
            config.clone(),
            lower,
            Half::Loaded(upper),
            device,
            dtype,
        ))
    }

    /// As [`Checkpoint::load`], but for the blocks after `layer`, the final norm and a head of its own: these are read when they are
    /// first needed.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and for a layer that the model lacks. What is read later fails then, with the same errors, or because
    /// the files are others by then.
    pub fn load_lower(
        &self,
        layer: usize,
        device: &Device,
        dtype: DType,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Model> {
        let config = &self.config;
        if layer >= config.num_layers {
            return Err(Error::no_block(layer, config.num_layers));
        }
        let [(matrices, norms), _] = weight_counts(config, layer);
        let mut source = self.source(matrices + norms, progress);
        let lower = Lower::assemble(config, layer + 1, device, dtype, &mut source)?;
        let half = Half::Stored(Box::new(self.clone()));
        Ok(Model::new(config.clone(), lower, half, device, dtype))
    }

    /// Reads what [`Checkpoint::load_lower`] left out.
    pub(crate) fn load_upper(&self, lower: &Lower, device: &Device, dtype: DType) -> Result<Upper> {
        if Self::open(&self.dir)?.hash != self.hash {
            return Err(Error::Replaced {
                path: self.dir.clone(),
            });
        }
        let mut silent = |_: f32| ();
        let mut source = self.source(1, &mut silent);
        Upper::assemble(&self.config, lower, device, dtype, &mut source)
    }

    /// Reads tensors and tells the share of `total` weights read.
    fn source(
        &self,
        total: u64,
        progress: &mut dyn FnMut(f32),
    ) -> impl FnMut(&str, &mut Vec<f32>) -> Result<()> {
        let total = total.max(1) as f32;
        let mut read = 0;
        move |name: &str, into: &mut Vec<f32>| {
            let before = into.len();
            self.read(name, into)?;
            read += into.len() - before;
            progress((read as f32 / total).min(1.0));
            Ok(())
        }
    }

    /// Appends one tensor of the model to `into`.
    pub(crate) fn read(&self, name: &str, into: &mut Vec<f32>) -> Result<()> {
        match self
            .places
            .get(name)
            .and_then(|shard| self.shards.get(*shard))
        {
            Some(shard) => shard.read_finite(name, into),
            None => Err(Error::Argument(format!(
                "tensor {name} is not part of the model"
            ))),
        }
    }
}

/// Opens the one safetensors file, or all that the index names.
fn open_shards(dir: &Path) -> Result<Vec<Shard>> {
    let index = dir.join(INDEX);
    let single = dir.join(SINGLE);
    if single.exists() || !index.exists() {
        return Ok(vec![Shard::open(&single)?]);
    }
    let damaged = |problem: String| Error::Damaged {
        path: index.clone(),
        problem,
    };
    let value = read_json(&index)?;
    let Some(map) = value.get("weight_map").and_then(Value::as_object) else {
        return Err(damaged("there is no weight_map object".into()));
    };
    let mut files = BTreeMap::<&str, Vec<&str>>::new();
    for (tensor, file) in map {
        let name = file.as_str().filter(|name| !name.contains(['/', '\\']));
        let name = name.ok_or_else(|| {
            damaged(format!(
                "weight_map gives {file} for {tensor}, expected a file name"
            ))
        })?;
        files.entry(name).or_default().push(tensor);
    }
    files
        .into_iter()
        .map(|(file, tensors)| {
            let shard = Shard::open(&dir.join(file))?;
            match tensors
                .into_iter()
                .find(|tensor| !shard.entries.contains_key(*tensor))
            {
                Some(tensor) => Err(damaged(format!(
                    "weight_map says that {file} holds {tensor}, and it does not"
                ))),
                None => Ok(shard),
            }
        })
        .collect()
}

/// Finds every tensor of the model and checks its shape and number format.
fn check_tensors(dir: &Path, config: &Config, shards: &[Shard]) -> Result<BTreeMap<String, usize>> {
    let mut places = BTreeMap::new();
    for (tensor, expected) in parameters(config) {
        let found = shards
            .iter()
            .enumerate()
            .find_map(|(i, shard)| shard.entries.get(&tensor).map(|entry| (i, shard, entry)));
        let Some((i, shard, entry)) = found else {
            return Err(Error::MissingTensor {
                path: dir.to_owned(),
                tensor,
                expected,
            });
        };
        if entry.shape != expected {
            return Err(Error::Shape {
                path: shard.path.clone(),
                tensor,
                expected,
                found: entry.shape.clone(),
            });
        }
        if entry.dtype.is_none() {
            return Err(Error::Dtype {
                path: shard.path.clone(),
                tensor,
                found: entry.dtype_name.clone(),
            });
        }
        places.insert(tensor, i);
    }
    for shard in shards {
        let stranger = shard.entries.keys().find(|name| {
            name.starts_with("model.")
                && !name.ends_with("rotary_emb.inv_freq")
                && !places.contains_key(*name)
        });
        if let Some(tensor) = stranger {
            return Err(Error::UnexpectedTensor {
                path: shard.path.clone(),
                tensor: tensor.clone(),
            });
        }
    }
    Ok(places)
}

/// Hashes what tells checkpoints apart without reading them whole.
fn fingerprint(dir: &Path, shards: &[Shard]) -> Result<String> {
    let path = dir.join("config.json");
    let config = std::fs::read(&path).map_err(|source| Error::Read { path, source })?;
    let mut hasher = Sha256::new();
    hasher.update(config);
    for shard in shards {
        if let Some(name) = shard.path.file_name() {
            hasher.update(name.as_encoded_bytes());
        }
        hasher.update(shard.length.to_le_bytes());
        hasher.update(&shard.header);
        hasher.update(shard.samples(SAMPLE)?);
    }
    Ok(format!("{:x}", hasher.finalize()))
}
