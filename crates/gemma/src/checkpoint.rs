//! A checkpoint folder: everything that can be checked without reading a weight, and the loading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use matrix::{Format, Mapped, MappedFile, Part, Residence};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{eos_ids, read_json};
use crate::header::{Shard, Stored};
use crate::memory::weight_counts;
use crate::model::Half;
use crate::parameters::parameters;
use crate::weights::{Lower, Source, Upper};
use crate::{Config, Error, Model, Result, WeightChoice};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of each end of each tensor that enter the fingerprint.
const SAMPLE: u64 = 64;

/// Weights from which a bf16 model's matrices stay in its files: in f32 they would take 256 MiB, and reading them is what takes time.
const LARGE: u64 = 1 << 26;

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

    /// Brings the weights to a device in a number format; `progress` hears the fraction read, from 0 to 1.
    ///
    /// On the CPU use `DType::F32`: that is what its arithmetic runs in, whatever the stored format. There the bf16 matrices of a large
    /// model stay in their files, at half the memory.
    ///
    /// # Errors
    /// When a file cannot be read, a weight is NaN or infinite, or the device has no room.
    pub fn load(
        &self,
        device: &Device,
        dtype: DType,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Model> {
        self.load_to(device, dtype, Residence::Automatic, progress)
    }

    /// As [`Checkpoint::load`], with a choice of where bf16 matrices are kept on the CPU.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_to(
        &self,
        device: &Device,
        dtype: DType,
        residence: Residence,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Model> {
        let leave = self.leaves(device, dtype, residence);
        let mut source = self.source(leave, self.parameters(), progress);
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
        let leave = self.leaves(device, dtype, Residence::Automatic);
        let mut source = self.source(leave, matrices + norms, progress);
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
        let leave = self.leaves(device, dtype, Residence::Automatic);
        let mut source = self.source(leave, 1, &mut silent);
        Upper::assemble(&self.config, lower, device, dtype, &mut source)
    }

    /// Whether bf16 matrices are taken as they lie in their files: to stay there, or to be copied to the device without a detour over f32.
    fn leaves(&self, device: &Device, dtype: DType, residence: Residence) -> bool {
        let stay = device.is_cpu() && dtype == DType::F32;
        dtype == DType::BF16 || stay && residence.in_files(self.parameters(), LARGE)
    }

    /// Bytes that one number of a matrix takes on the CPU with a choice of weights: two where they stay in bf16 files, else those of an
    /// f32.
    pub fn number_bytes(&self, choice: WeightChoice) -> u64 {
        let stays = Residence::Automatic.in_files(self.parameters(), LARGE);
        let in_bf16 = self.needs_rounding(choice) || self.stored_dtype() == Stored::Bf16.name();
        if stays && in_bf16 { 2 } else { 4 }
    }

    /// Reads tensors and tells the share of `total` weights read.
    fn source<'a>(
        &'a self,
        leave: bool,
        total: u64,
        progress: &'a mut dyn FnMut(f32),
    ) -> Files<'a> {
        Files {
            checkpoint: self,
            leave,
            maps: BTreeMap::new(),
            read: 0,
            total: total.max(1),
            progress,
        }
    }

    /// Appends one tensor of the model to `into`.
    pub(crate) fn read(&self, name: &str, into: &mut Vec<f32>) -> Result<()> {
        match self.shard(name) {
            Some((_, shard)) => shard.read_finite(name, into),
            None => Err(Error::Argument(format!(
                "tensor {name} is not part of the model"
            ))),
        }
    }

    /// The file that holds a tensor of the model, and its number.
    pub(crate) fn shard(&self, name: &str) -> Option<(usize, &Shard)> {
        let number = *self.places.get(name)?;
        Some((number, self.shards.get(number)?))
    }

    /// The files.
    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

/// Weights from a checkpoint's files.
struct Files<'a> {
    checkpoint: &'a Checkpoint,
    /// Whether bf16 matrices are taken where they lie.
    leave: bool,
    /// Shards that are mapped already.
    maps: BTreeMap<usize, Arc<MappedFile>>,
    /// Weights seen.
    read: u64,
    /// Of so many.
    total: u64,
    progress: &'a mut dyn FnMut(f32),
}

impl Files<'_> {
    fn advance(&mut self, weights: usize) {
        self.read += weights as u64;
        (self.progress)((self.read as f32 / self.total as f32).min(1.0));
    }

    /// A tensor's place in its mapped file; `None` where it is not stored as bf16.
    fn part(&mut self, name: &str) -> Result<Option<Part>> {
        let Some((number, shard)) = self.checkpoint.shard(name) else {
            return Ok(None);
        };
        let Some(bytes) = shard.place(name) else {
            return Ok(None);
        };
        let file = if let Some(file) = self.maps.get(&number) {
            file.clone()
        } else {
            let file = Arc::new(shard.map()?);
            self.maps.insert(number, file.clone());
            file
        };
        Ok(Some(Part { file, bytes }))
    }
}

impl Source for Files<'_> {
    fn read(&mut self, name: &str, into: &mut Vec<f32>) -> Result<()> {
        let before = into.len();
        self.checkpoint.read(name, into)?;
        self.advance(into.len() - before);
        Ok(())
    }

    fn leave(&mut self, names: &[String], columns: usize) -> Result<Option<Mapped>> {
        if !self.leave {
            return Ok(None);
        }
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            match self.part(name)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        let Some(matrix) = Mapped::new(parts, columns, Format::Bf16) else {
            return Ok(None);
        };
        if let Some(found) = matrix.not_finite()
            && let Some(name) = names.get(found.part)
            && let Some((_, shard)) = self.checkpoint.shard(name)
        {
            return Err(shard.not_finite(name, found.element, found.value));
        }
        self.advance(matrix.rows() * matrix.columns());
        Ok(Some(matrix))
    }

    fn files(&self) -> Vec<Arc<MappedFile>> {
        self.maps.values().cloned().collect()
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
