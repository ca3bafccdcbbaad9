//! A safetensors file: checked by its header, read tensor by tensor into f32.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use matrix::{Format, Mapped, MappedFile, Part};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// Prefix of every name in a checkpoint of a compiled model.
const COMPILED_PREFIX: &str = "_orig_mod.";
/// Bytes in front of the header: its length.
const LENGTH_BYTES: usize = 8;
/// Most tensor names in an error.
const NAMES_SHOWN: usize = 12;

/// An open safetensors file, mapped into memory.
pub(crate) struct TensorFile {
    path: PathBuf,
    file: Arc<MappedFile>,
    data_start: usize,
    metadata: Metadata,
}

impl TensorFile {
    /// Opens a file and checks its header and length; reads no weights.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io {
            path: path.to_path_buf(),
            source,
        };
        let found = std::fs::metadata(path).map_err(io)?.len();
        if found == 0 {
            return Err(Error::Length {
                path: path.to_path_buf(),
                expected: LENGTH_BYTES as u64,
                found,
            });
        }
        let file = MappedFile::open(path).map_err(io)?;
        let bytes = file.bytes();
        let found = bytes.len() as u64;
        let length = |expected| Error::Length {
            path: path.to_path_buf(),
            expected,
            found,
        };
        let header_bytes = bytes
            .first_chunk::<LENGTH_BYTES>()
            .map(|b| u64::from_le_bytes(*b))
            .ok_or_else(|| length(LENGTH_BYTES as u64))?;
        let header_end = header_bytes.saturating_add(LENGTH_BYTES as u64);
        if header_end > found {
            return Err(length(header_end));
        }
        let header = bytes
            .get(LENGTH_BYTES..header_end as usize)
            .unwrap_or_default();
        let metadata: Metadata = serde_json::from_slice(header).map_err(|e| Error::Malformed {
            path: path.to_path_buf(),
            detail: format!(
                "expected the header of a safetensors file, found {e}; fetch the file again"
            ),
        })?;
        let expected = header_end + metadata.data_len() as u64;
        if expected != found {
            return Err(length(expected));
        }
        Ok(Self {
            path: path.to_path_buf(),
            file: Arc::new(file),
            data_start: header_end as usize,
            metadata,
        })
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a tensor is there, with or without the compiled model's prefix.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.stored_name(name).is_some()
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        let prefixed = format!("{COMPILED_PREFIX}{name}");
        [name.to_owned(), prefixed]
            .into_iter()
            .find(|n| self.metadata.info(n).is_some())
    }

    /// Shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize]> {
        self.stored_name(name)
            .and_then(|n| self.metadata.info(&n))
            .map(|info| info.shape.as_slice())
            .ok_or_else(|| self.missing(name))
    }

    /// Checks a tensor's shape; `expected` describes it in the error.
    pub(crate) fn expect(&self, name: &str, shapes: &[&[usize]]) -> Result<()> {
        let found = self.shape(name)?;
        if shapes.contains(&found) {
            return Ok(());
        }
        let expected: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
        Err(self.wrong_shape(name, &expected.join(" or ")))
    }

    /// The error that a tensor's shape is not `expected`.
    pub(crate) fn wrong_shape(&self, name: &str, expected: &str) -> Error {
        Error::Shape {
            path: self.path.clone(),
            tensor: name.to_owned(),
            expected: expected.to_owned(),
            found: self.shape(name).unwrap_or_default().to_vec(),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let mut names: Vec<String> = self.metadata.tensors().into_keys().collect();
        names.sort();
        let surplus = names.len().saturating_sub(NAMES_SHOWN);
        names.truncate(NAMES_SHOWN);
        let mut found = names.join(", ");
        if surplus > 0 {
            found = format!("{found} and {surplus} more");
        }
        Error::MissingTensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            found: if found.is_empty() {
                "none".into()
            } else {
                found
            },
        }
    }

    /// A tensor's format and bytes.
    fn bytes(&self, name: &str) -> Result<(Dtype, &[u8])> {
        let info = self
            .stored_name(name)
            .and_then(|n| self.metadata.info(&n))
            .ok_or_else(|| self.missing(name))?;
        let (from, to) = info.data_offsets;
        let place = self.data_start + from..self.data_start + to;
        let bytes = self.file.bytes().get(place).unwrap_or_default();
        Ok((info.dtype, bytes))
    }

    /// The mapped file.
    pub(crate) fn mapped(&self) -> Arc<MappedFile> {
        self.file.clone()
    }

    /// A tensor as a matrix with rows of `columns` numbers, left in the file; `None` where it is in neither f32 nor bf16.
    ///
    /// # Errors
    /// When the tensor is missing or a number is NaN or infinite.
    pub(crate) fn left(&self, name: &str, columns: usize) -> Result<Option<Mapped>> {
        let info = self
            .stored_name(name)
            .and_then(|n| self.metadata.info(&n))
            .ok_or_else(|| self.missing(name))?;
        let format = match info.dtype {
            Dtype::F32 => Format::F32,
            Dtype::BF16 => Format::Bf16,
            _ => return Ok(None),
        };
        let (from, to) = info.data_offsets;
        let part = Part {
            file: self.file.clone(),
            bytes: self.data_start + from..self.data_start + to,
        };
        let matrix = Mapped::new(vec![part], columns, format);
        match matrix.as_ref().and_then(Mapped::not_finite) {
            None => Ok(matrix),
            Some(found) => Err(self.not_finite(name, found.element, found.value)),
        }
    }

    /// Bytes of a tensor's numbers where they are used as they lie in the file, or of an f32.
    pub(crate) fn number_bytes(&self, name: &str) -> Result<usize> {
        let info = self
            .stored_name(name)
            .and_then(|n| self.metadata.info(&n))
            .ok_or_else(|| self.missing(name))?;
        Ok(if info.dtype == Dtype::BF16 { 2 } else { 4 })
    }

    fn not_finite(&self, name: &str, index: usize, value: f32) -> Error {
        Error::NotFinite {
            path: self.path.clone(),
            tensor: name.to_owned(),
            index,
            value,
        }
    }

    /// A tensor's numbers as f32, row-major. Formats: f32, bf16, f16, f64.
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let (dtype, bytes) = self.bytes(name)?;
        self.as_floats(name, dtype, bytes)
    }

    /// Some of a tensor's numbers as f32, by their places in row-major order; fewer where it ends.
    pub(crate) fn part(&self, name: &str, places: Range<usize>) -> Result<Vec<f32>> {
        let (dtype, bytes) = self.bytes(name)?;
        let size = dtype.bitsize() / 8;
        let part = bytes.get(places.start * size..places.end * size);
        self.as_floats(name, dtype, part.unwrap_or_default())
    }

    fn as_floats(&self, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
        Ok(match dtype {
            Dtype::F32 => read(bytes, f32::from_le_bytes),
            Dtype::BF16 => read(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F16 => read(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::F64 => read(bytes, |b| f64::from_le_bytes(b) as f32),
            other => return Err(self.wrong_dtype(name, "F32, BF16, F16 or F64", other)),
        })
    }

    /// A tensor's numbers as f32, refusing NaN and infinities.
    pub(crate) fn finite(&self, name: &str) -> Result<Vec<f32>> {
        let values = self.floats(name)?;
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(index) => {
                let value = values.get(index).copied().unwrap_or(f32::NAN);
                Err(self.not_finite(name, index, value))
            }
        }
    }

    /// A tensor with one integer.
    pub(crate) fn integer(&self, name: &str) -> Result<i64> {
        let (dtype, bytes) = self.bytes(name)?;
        let values = match dtype {
            Dtype::I64 | Dtype::U64 => read(bytes, i64::from_le_bytes),
            Dtype::I32 => read(bytes, |b| i64::from(i32::from_le_bytes(b))),
            Dtype::U32 => read(bytes, |b| i64::from(u32::from_le_bytes(b))),
            Dtype::I16 => read(bytes, |b| i64::from(i16::from_le_bytes(b))),
            Dtype::U8 => read(bytes, |b: [u8; 1]| i64::from(b[0])),
            Dtype::F32 => read(bytes, |b| f32::from_le_bytes(b) as i64),
            other => return Err(self.wrong_dtype(name, "an integer", other)),
        };
        match values.as_slice() {
            [value] => Ok(*value),
            _ => Err(self.wrong_shape(name, "[]")),
        }
    }

    /// A tensor's non-negative integers.
    pub(crate) fn integers(&self, name: &str) -> Result<Vec<u64>> {
        match self.bytes(name)? {
            (Dtype::U64, bytes) => Ok(read(bytes, u64::from_le_bytes)),
            (other, _) => Err(self.wrong_dtype(name, "U64", other)),
        }
    }

    /// A note in the file's header.
    pub(crate) fn note(&self, key: &str) -> Option<&str> {
        let notes = self.metadata.metadata().as_ref()?;
        notes.get(key).map(String::as_str)
    }

    fn wrong_dtype(&self, name: &str, expected: &'static str, found: Dtype) -> Error {
        Error::Dtype {
            path: self.path.clone(),
            tensor: name.to_owned(),
            expected,
            found: format!("{found:?}"),
        }
    }
}

fn read<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&b| convert(b)).collect()
}
