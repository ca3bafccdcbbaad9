//! Copies of checkpoints with their matrices rounded to bf16, which is what large models rest in on the CPU.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use half::bf16;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::header::Stored;
use crate::memory::readable;
use crate::parameters::parameters;
use crate::{Checkpoint, Error, Result};

/// Weights from which a checkpoint that is not in bf16 is rounded unasked: in f32 they take 4 GiB, and a pair of them 8.
const HUGE: u64 = 1 << 30;
/// The files of a folder that are copied as they are, where they are there.
const COPIED: [&str; 2] = ["config.json", "generation_config.json"];
/// Begins the name of a copy that is being written.
const PARTIAL: &str = "partial-";
/// The copy's weights.
const WEIGHTS: &str = "model.safetensors";
/// Hexadecimal digits of the source's fingerprint in the copy's name.
const DIGITS: usize = 16;

/// Which weights the CPU computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightChoice {
    /// The stored ones; those of a model with 2^30 weights or more that are not bf16 are rounded to bf16.
    #[default]
    Auto,
    /// The stored ones rounded to bf16, whatever the model's size.
    Bf16,
    /// The stored ones.
    AsIs,
}

impl FromStr for WeightChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "bf16" => Ok(Self::Bf16),
            "as-is" => Ok(Self::AsIs),
            _ => Err(format!(
                "{text:?} is no choice of weights; use auto, bf16 or as-is"
            )),
        }
    }
}

impl Checkpoint {
    /// Whether a choice of weights makes the CPU compute with a copy rounded to bf16.
    pub fn needs_rounding(&self, format: WeightChoice) -> bool {
        match format {
            WeightChoice::AsIs => false,
            WeightChoice::Bf16 => self.has_wide_matrices(),
            WeightChoice::Auto => self.parameters() >= HUGE && self.has_wide_matrices(),
        }
    }

    /// Whether a matrix is stored in another format than bf16.
    fn has_wide_matrices(&self) -> bool {
        parameters(self.config()).iter().any(|(name, shape)| {
            let entry = self.shard(name).and_then(|(_, s)| s.entries.get(name));
            is_matrix(shape) && entry.is_some_and(|entry| entry.dtype != Some(Stored::Bf16))
        })
    }

    /// This checkpoint's copy with matrices rounded to bf16 in the folder `cache`, written now unless it is there already; `progress` hears
    /// the fraction written, from 0 to 1. A copy belongs to files of these names, sizes, times and samples, and appears whole or not at all.
    ///
    /// # Errors
    /// When the checkpoint cannot be read, a weight is NaN, infinite or becomes infinite by rounding, or the copy cannot be written, for
    /// want of room before the first byte: then nothing of it is left. What a killed program left is removed by the next one.
    pub fn rounded(&self, cache: &Path, progress: &mut dyn FnMut(f32)) -> Result<Self> {
        let copy = cache.join(self.copy_name()?);
        if let Ok(found) = Self::open(&copy)
            && found.config() == self.config()
        {
            progress(1.0);
            return Ok(found);
        }
        let bytes = self.header().1;
        let failed = |path: &Path, source| Error::Round {
            path: path.to_owned(),
            bytes: bytes as u64,
            source,
        };
        fs::create_dir_all(cache).map_err(|source| failed(cache, source))?;
        remove_abandoned(cache);
        // A file system that does not tell may still have room.
        if let Ok(free) = fs4::available_space(cache)
            && free < bytes as u64
        {
            let left = format!("only {} are free", readable(free));
            return Err(failed(cache, io::Error::new(ErrorKind::StorageFull, left)));
        }
        let partial = Partial(cache.join(format!("{PARTIAL}{}", std::process::id())));
        partial.clear().map_err(|e| failed(&partial.0, e))?;
        fs::create_dir(&partial.0).map_err(|e| failed(&partial.0, e))?;
        for name in COPIED {
            let from = self.dir().join(name);
            if from.exists() {
                fs::copy(from, partial.0.join(name)).map_err(|e| failed(&partial.0, e))?;
            }
        }
        let path = partial.0.join(WEIGHTS);
        let file = File::create(&path).map_err(|e| failed(&path, e))?;
        // As long as it is held, nobody takes the copy for an abandoned one; where there are no locks, none is removed.
        let _ = file.try_lock();
        self.write_rounded(file, progress, &|source| failed(&path, source))?;
        // What lies there under the name is broken, or it would have been opened.
        if copy.exists() {
            fs::remove_dir_all(&copy).map_err(|e| failed(&copy, e))?;
        }
        fs::rename(&partial.0, &copy).map_err(|e| failed(&copy, e))?;
        Self::open(copy)
    }

    /// The copy's folder: this one's name, and a fingerprint with the files' sizes and times.
    fn copy_name(&self) -> Result<String> {
        let mut hasher = Sha256::new();
        hasher.update(self.hash());
        for shard in self.shards() {
            let read = |source| Error::Read {
                path: shard.path.clone(),
                source,
            };
            let metadata = fs::metadata(&shard.path).map_err(read)?;
            let time = metadata.modified().map_err(read)?;
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            hasher.update(metadata.len().to_le_bytes());
            hasher.update(since.as_nanos().to_le_bytes());
        }
        let mut digits = format!("{:x}", hasher.finalize());
        digits.truncate(DIGITS);
        let name = self.dir().file_name().unwrap_or_default();
        Ok(format!("{}-{digits}", name.to_string_lossy()))
    }

    /// The copy's header, and the number of bytes behind it.
    fn header(&self) -> (Map<String, Value>, usize) {
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!({"format": "pt"}));
        let mut end = 0;
        for (name, shape) in parameters(self.config()) {
            let (dtype, bytes) = if is_matrix(&shape) {
                ("BF16", 2)
            } else {
                ("F32", 4)
            };
            let start = end;
            end += bytes * shape.iter().product::<usize>();
            let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
            header.insert(name, entry);
        }
        (header, end)
    }

    fn write_rounded(
        &self,
        file: File,
        progress: &mut dyn FnMut(f32),
        failed: &dyn Fn(io::Error) -> Error,
    ) -> Result<()> {
        let mut out = BufWriter::new(file);
        let (header, total) = self.header();
        let mut header = Value::Object(header).to_string();
        // Numbers begin at a multiple of 8, as other readers of the format expect.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        out.write_all(&(header.len() as u64).to_le_bytes())
            .and_then(|()| out.write_all(header.as_bytes()))
            .map_err(failed)?;
        let (mut written, mut bytes) = (0, Vec::new());
        for (name, shape) in parameters(self.config()) {
            let Some((_, shard)) = self.shard(&name) else {
                continue;
            };
            let mut element = 0;
            shard.read_pieces(&name, &mut |piece| {
                bytes.clear();
                if is_matrix(&shape) {
                    let rounded = || piece.iter().map(|x| bf16::from_f32(*x));
                    if let Some(at) = rounded().position(|x| !x.is_finite()) {
                        let value = piece.get(at).copied().unwrap_or(f32::NAN);
                        return Err(shard.not_finite(&name, element + at, value));
                    }
                    bytes.extend(rounded().flat_map(bf16::to_le_bytes));
                } else {
                    bytes.extend(piece.iter().flat_map(|x| x.to_le_bytes()));
                }
                element += piece.len();
                out.write_all(&bytes).map_err(failed)?;
                written += bytes.len();
                progress((written as f32 / total.max(1) as f32).min(1.0));
                Ok(())
            })?;
        }
        let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)
    }
}

/// Matrices are rounded; the norms' few weights stay as they are.
fn is_matrix(shape: &[usize]) -> bool {
    shape.len() > 1
}

/// Removes copies that a program began to write and that it, having been killed, will not go on with.
fn remove_abandoned(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            continue;
        }
        let weights = File::open(entry.path().join(WEIGHTS));
        if weights.is_ok_and(|file| file.try_lock().is_ok()) {
            // One that stays costs room, which is all that is lost.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder that is removed unless it got another name.
struct Partial(PathBuf);

impl Partial {
    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that does not go away.
        let _ = self.clear();
    }
}
