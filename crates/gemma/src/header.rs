//! One safetensors file: its header checked against its length, and its tensors read as f32.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use matrix::MappedFile;
use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result};

/// Bytes of the number in front of the header.
const PREFIX: u64 = 8;
/// A header longer than this is damage, not a header.
const LONGEST_HEADER: u64 = 100 << 20;
/// Bytes converted at a time; a multiple of every element size.
const CHUNK: usize = 4 << 20;

/// The number formats that checkpoints are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    F32,
    Bf16,
    F16,
}

impl Stored {
    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// The name that config.json uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }
}

/// A tensor of a file: `dtype` is `None` where the format is not one of [`Stored`].
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) dtype: Option<Stored>,
    pub(crate) dtype_name: String,
    pub(crate) shape: Vec<usize>,
    start: u64,
    end: u64,
}

/// A safetensors file whose header has been read and agrees with the file's length.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    pub(crate) header: Vec<u8>,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// A tensor as the header has it.
#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Shard {
    /// Reads the header and checks every tensor's place against the file's length.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let read_error = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let damaged = |problem: String| Error::Damaged {
            path: path.to_owned(),
            problem,
        };
        let mut file = File::open(path).map_err(read_error)?;
        let length = file.metadata().map_err(read_error)?.len();
        if length < PREFIX {
            return Err(damaged(format!(
                "the file has {length} bytes, a safetensors file has at least {PREFIX}"
            )));
        }
        let mut prefix = [0; PREFIX as usize];
        file.read_exact(&mut prefix).map_err(read_error)?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > LONGEST_HEADER {
            return Err(damaged(format!(
                "its header would have {header_length} bytes, so this is not a safetensors file"
            )));
        }
        if PREFIX + header_length > length {
            return Err(Error::Length {
                path: path.to_owned(),
                expected: PREFIX + header_length,
                found: length,
            });
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(read_error)?;
        let raw: BTreeMap<String, Value> = serde_json::from_slice(&header)
            .map_err(|e| damaged(format!("the header is not valid JSON: {e}")))?;
        let data = PREFIX + header_length;
        let mut entries = BTreeMap::new();
        let mut end = 0;
        for (name, value) in raw {
            if name == "__metadata__" {
                continue;
            }
            let entry = RawEntry::deserialize(&value)
                .map_err(|e| damaged(format!("the header's entry for {name} is wrong: {e}")))?;
            let entry = check_entry(entry, data)
                .map_err(|problem| damaged(format!("tensor {name} {problem}")))?;
            end = end.max(entry.end - data);
            entries.insert(name, entry);
        }
        if data + end != length {
            return Err(Error::Length {
                path: path.to_owned(),
                expected: data + end,
                found: length,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            length,
            header,
            entries,
        })
    }

    /// Up to `count` bytes from both ends of every tensor, for a cheap fingerprint.
    pub(crate) fn samples(&self, count: u64) -> Result<Vec<u8>> {
        let mut file = self.file()?;
        let mut all = vec![];
        for entry in self.entries.values() {
            let length = count.min(entry.end - entry.start);
            for from in [entry.start, entry.end - length] {
                file.seek(SeekFrom::Start(from))
                    .map_err(|e| self.read_error(e))?;
                (&mut file)
                    .take(length)
                    .read_to_end(&mut all)
                    .map_err(|e| self.read_error(e))?;
            }
        }
        Ok(all)
    }

    /// Appends a tensor's elements to `into`, as f32.
    ///
    /// # Errors
    /// When the file cannot be read or an element is NaN or infinite.
    pub(crate) fn read_finite(&self, name: &str, into: &mut Vec<f32>) -> Result<()> {
        if let Some(entry) = self.entries.get(name) {
            into.reserve(entry.shape.iter().product());
        }
        self.read_pieces(name, &mut |piece| {
            into.extend_from_slice(piece);
            Ok(())
        })
    }

    /// Hands a tensor's elements on, some at a time, as f32.
    ///
    /// # Errors
    /// When the file cannot be read or an element is NaN or infinite, and what `each` fails with.
    pub(crate) fn read_pieces(
        &self,
        name: &str,
        each: &mut dyn FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        let Some(entry) = self.entries.get(name) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.into(),
                expected: vec![],
            });
        };
        let Some(dtype) = entry.dtype else {
            return Err(Error::Dtype {
                path: self.path.clone(),
                tensor: name.into(),
                found: entry.dtype_name.clone(),
            });
        };
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(entry.start))
            .map_err(|e| self.read_error(e))?;
        let mut left = (entry.end - entry.start) as usize;
        let (mut read, mut piece) = (0, Vec::new());
        let mut buffer = vec![0; left.min(CHUNK)];
        while left > 0 {
            buffer.truncate(left);
            file.read_exact(&mut buffer)
                .map_err(|e| self.read_error(e))?;
            piece.clear();
            convert(&buffer, dtype, &mut piece);
            if let Some(offset) = piece.iter().position(|x| !x.is_finite()) {
                let value = piece.get(offset).copied().unwrap_or(f32::NAN);
                return Err(self.not_finite(name, read + offset, value));
            }
            each(&piece)?;
            read += piece.len();
            left -= buffer.len();
        }
        Ok(())
    }

    /// The error for a weight that is no number.
    pub(crate) fn not_finite(&self, name: &str, element: usize, value: f32) -> Error {
        Error::NonFinite {
            path: self.path.clone(),
            tensor: name.into(),
            element,
            value,
        }
    }

    /// Maps the file into memory.
    ///
    /// # Errors
    /// When that fails, or the file has another length than when it was opened.
    pub(crate) fn map(&self) -> Result<MappedFile> {
        let file = MappedFile::open(&self.path).map_err(|e| self.read_error(e))?;
        let found = file.bytes().len() as u64;
        if found == self.length {
            return Ok(file);
        }
        Err(Error::Length {
            path: self.path.clone(),
            expected: self.length,
            found,
        })
    }

    /// Where a bf16 tensor lies in the file; `None` for another format.
    pub(crate) fn place(&self, name: &str) -> Option<Range<usize>> {
        let entry = self.entries.get(name)?;
        (entry.dtype == Some(Stored::Bf16)).then_some(entry.start as usize..entry.end as usize)
    }

    fn file(&self) -> Result<File> {
        File::open(&self.path).map_err(|e| self.read_error(e))
    }

    fn read_error(&self, source: std::io::Error) -> Error {
        Error::Read {
            path: self.path.clone(),
            source,
        }
    }
}

/// Checks a tensor's offsets against its shape and moves them to the file's beginning.
fn check_entry(raw: RawEntry, data: u64) -> std::result::Result<Entry, String> {
    let dtype = match raw.dtype.as_str() {
        "F32" => Some(Stored::F32),
        "BF16" => Some(Stored::Bf16),
        "F16" => Some(Stored::F16),
        _ => None,
    };
    let [start, end] = raw.data_offsets;
    let (Some(from), Some(to)) = (data.checked_add(start), data.checked_add(end)) else {
        return Err(format!("has offsets {start} to {end}"));
    };
    if start > end {
        return Err(format!("has offsets {start} to {end}"));
    }
    if let Some(dtype) = dtype {
        let wanted = raw
            .shape
            .iter()
            .try_fold(dtype.bytes(), |product, n| product.checked_mul(*n))
            .map(|n| n as u64);
        if wanted != Some(end - start) {
            return Err(format!(
                "has {} bytes for shape {:?} of {}",
                end - start,
                raw.shape,
                raw.dtype
            ));
        }
    }
    Ok(Entry {
        dtype,
        dtype_name: raw.dtype,
        shape: raw.shape,
        start: from,
        end: to,
    })
}

/// Appends little-endian elements as f32.
fn convert(bytes: &[u8], dtype: Stored, into: &mut Vec<f32>) {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        Stored::F32 => {
            into.extend(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b)),
            );
        }
        Stored::Bf16 => {
            into.extend(pairs().map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)));
        }
        Stored::F16 => into.extend(pairs().map(|b| f16::from_le_bytes(*b).to_f32())),
    }
}
