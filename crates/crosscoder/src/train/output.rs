//! Writing tensors and text, each file through a temporary name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

use half::{bf16, f16};
use safetensors::{Dtype, View};

use crate::error::{Error, Result};

/// Numbers of a tensor, converted to bytes only while they are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    /// Rounded to bf16.
    Bf16(&'a [f32]),
    /// Rounded to f16.
    F16(&'a [f32]),
    U64(&'a [u64]),
    I64(&'a [i64]),
    I32(&'a [i32]),
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub(super) struct Stored<'a> {
    shape: Vec<usize>,
    numbers: Numbers<'a>,
}

impl<'a> Stored<'a> {
    /// Numbers in a shape, row-major.
    pub(super) fn new(shape: impl Into<Vec<usize>>, numbers: Numbers<'a>) -> Self {
        Self {
            shape: shape.into(),
            numbers,
        }
    }

    /// A list of floats.
    pub(super) fn list(values: &'a [f32]) -> Self {
        Self::new([values.len()], Numbers::F32(values))
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::F32(_) => Dtype::F32,
            Numbers::Bf16(_) => Dtype::BF16,
            Numbers::F16(_) => Dtype::F16,
            Numbers::U64(_) => Dtype::U64,
            Numbers::I64(_) => Dtype::I64,
            Numbers::I32(_) => Dtype::I32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self.numbers {
            Numbers::F32(x) => bytes(x, f32::to_le_bytes),
            Numbers::Bf16(x) => bytes(x, |x| bf16::from_f32(x).to_le_bytes()),
            Numbers::F16(x) => bytes(x, |x| f16::from_f32(x).to_le_bytes()),
            Numbers::U64(x) => bytes(x, u64::to_le_bytes),
            Numbers::I64(x) => bytes(x, i64::to_le_bytes),
            Numbers::I32(x) => bytes(x, i32::to_le_bytes),
        })
    }

    fn data_len(&self) -> usize {
        match self.numbers {
            Numbers::F32(x) => size_of_val(x),
            Numbers::Bf16(x) | Numbers::F16(x) => size_of_val(x) / 2,
            Numbers::U64(x) => size_of_val(x),
            Numbers::I64(x) => size_of_val(x),
            Numbers::I32(x) => size_of_val(x),
        }
    }
}

fn bytes<T: Copy, const N: usize>(values: &[T], convert: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * N);
    for &x in values {
        bytes.extend_from_slice(&convert(x));
    }
    bytes
}

/// Writes a safetensors file through a temporary name, making its folder.
pub(super) fn write(
    path: &Path,
    tensors: Vec<(String, Stored)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    whole(path, |temporary| {
        // The library writes a file that only its owner may read; others get what they get of any new file.
        let permissions = fs::File::create(temporary)?.metadata()?.permissions();
        safetensors::serialize_to_file(tensors, metadata, temporary).map_err(io::Error::other)?;
        fs::set_permissions(temporary, permissions)
    })
}

/// Writes text through a temporary name, making its folder.
pub(super) fn write_text(path: &Path, text: &str) -> Result<()> {
    whole(path, |temporary| fs::write(temporary, text))
}

/// Makes a file by its temporary name, then gives it its own. A partial file would only take up room.
fn whole(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let all = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        make(&temporary)?;
        fs::rename(&temporary, path)
    };
    all().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        let path = path.to_path_buf();
        Error::Unwritten { path, source }
    })
}
