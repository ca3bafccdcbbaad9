//! Reference files, and dictionary folders made up for a test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

/// Path of a reference file or folder.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}

/// All reference tensors.
pub(crate) fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture("expected.safetensors"), &Device::Cpu).unwrap()
}

/// A tensor's numbers.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Fails if the largest difference exceeds 1e-5 of the largest expected value.
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let (mut difference, mut largest) = (0f32, 0f32);
    for (f, e) in found.iter().zip(expected) {
        assert!(!f.is_nan(), "{what}");
        difference = difference.max((f - e).abs());
        largest = largest.max(e.abs());
    }
    println!("{what}: {:.1e}", difference / largest);
    assert!(
        difference <= 1e-5 * largest,
        "{what}: {difference} of {largest}"
    );
}

/// Tensors and JSON files of a dictionary folder under construction.
pub(crate) struct Folder {
    pub(crate) tensors: HashMap<String, Tensor>,
    pub(crate) json: HashMap<&'static str, String>,
    dir: tempfile::TempDir,
}

impl Folder {
    /// From tensors; no JSON files.
    pub(crate) fn new(tensors: impl IntoIterator<Item = (&'static str, Tensor)>) -> Self {
        Self {
            tensors: tensors
                .into_iter()
                .map(|(n, t)| (n.to_owned(), t))
                .collect(),
            json: HashMap::new(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A copy of a reference folder's tensors; no JSON files.
    pub(crate) fn copy(name: &str) -> Self {
        let path = fixture(name).join("model.safetensors");
        Self {
            tensors: candle_core::safetensors::load(path, &Device::Cpu).unwrap(),
            ..Self::new([])
        }
    }

    /// The small exact case: two latents, width two, distinct in every row.
    pub(crate) fn exact() -> Self {
        Self::new([
            (
                "encoder.weight",
                tensor(&[1., 0., 0., 1., 1., -1., 0., 1.], &[2, 2, 2]),
            ),
            ("encoder.bias", tensor(&[0., -1.], &[2])),
            (
                "decoder.weight",
                tensor(&[1., 0., 0., 2., 0., 3., 4., 0.], &[2, 2, 2]),
            ),
            ("decoder.bias", tensor(&[0.; 4], &[2, 2])),
        ])
    }

    pub(crate) fn set(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Writes the folder and gives its path.
    pub(crate) fn write(&self) -> &Path {
        let dir = self.dir.path();
        candle_core::safetensors::save(&self.tensors, dir.join("model.safetensors")).unwrap();
        for (name, text) in &self.json {
            std::fs::write(dir.join(name), text).unwrap();
        }
        dir
    }

    pub(crate) fn load(&self) -> crosscoder::Result<crosscoder::Crosscoder> {
        crosscoder::Crosscoder::load(self.write(), &Device::Cpu)
    }
}

/// A tensor from numbers.
pub(crate) fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// A scalar integer.
pub(crate) fn integer(value: i64) -> Tensor {
    Tensor::new(value, &Device::Cpu).unwrap()
}
