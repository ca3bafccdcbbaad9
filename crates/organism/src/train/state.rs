//! The saved state of a stage: weights, moments and the place in the corpus, in one safetensors file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::adamw::{AdamW, with_values};
use crate::error::{Error, Result};
use crate::files;

/// Where in the corpus a stage stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The pool of documents.
    pub(crate) pool: u64,
    /// Batches of the pool that are done.
    pub(crate) batch: usize,
    /// Pieces read.
    pub(crate) tokens: usize,
    /// Running mean of the loss.
    pub(crate) loss: f64,
    /// Seconds spent.
    pub(crate) seconds: f64,
}

const PLACE: &str = "place";
const STEP: &str = "step";

fn content(path: &Path, problem: &dyn ToString) -> Error {
    Error::Content {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

/// Writes the state whole.
pub(super) fn save(path: &Path, optimiser: &AdamW, place: &Place) -> Result<()> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    for ((name, var), moments) in optimiser.vars().iter().zip(&optimiser.moments) {
        tensors.push((name.clone(), var.dims().to_vec(), with_values(var, bytes)?));
        for (part, values) in [("first", &moments.first), ("second", &moments.second)] {
            tensors.push((format!("{part}.{name}"), vec![values.len()], bytes(values)));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.clone(), view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|source| content(path, &source))?;
    let facts = HashMap::from([
        (
            PLACE.to_owned(),
            serde_json::to_string(place).map_err(|source| content(path, &source))?,
        ),
        (STEP.to_owned(), optimiser.step.to_string()),
    ]);
    let file =
        safetensors::serialize(views, Some(facts)).map_err(|source| content(path, &source))?;
    files::write(path, &file)
}

/// Puts a saved state back, bit for bit; none where the file is missing.
pub(super) fn resume(path: &Path, optimiser: &mut AdamW) -> Result<Option<Place>> {
    if !path.exists() {
        return Ok(None);
    }
    let file = fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let (_, header) = SafeTensors::read_metadata(&file).map_err(|source| content(path, &source))?;
    let facts = header.metadata().clone().unwrap_or_default();
    let fact = |name: &str| {
        facts
            .get(name)
            .ok_or_else(|| content(path, &format!("lacks \"{name}\"")))
    };
    let place: Place =
        serde_json::from_str(fact(PLACE)?).map_err(|source| content(path, &source))?;
    let step = fact(STEP)?
        .parse()
        .map_err(|source| content(path, &source))?;
    let tensors = SafeTensors::deserialize(&file).map_err(|source| content(path, &source))?;
    let values = |name: &str, length: usize| -> Result<Vec<f32>> {
        let view = tensors
            .tensor(name)
            .map_err(|source| content(path, &format!("tensor {name}: {source}")))?;
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        if view.dtype() != Dtype::F32 || values.len() != length {
            return Err(content(
                path,
                &format!(
                    "tensor {name} has {} values, expected {length} in f32",
                    values.len()
                ),
            ));
        }
        Ok(values)
    };
    let mut moments = optimiser.moments.clone();
    for ((name, var), moments) in optimiser.vars().iter().zip(&mut moments) {
        let length = var.elem_count();
        var.set(&Tensor::from_vec(
            values(name, length)?,
            var.shape(),
            &Device::Cpu,
        )?)?;
        moments.first = values(&format!("first.{name}"), length)?;
        moments.second = values(&format!("second.{name}"), length)?;
    }
    optimiser.moments = moments;
    optimiser.step = step;
    Ok(Some(place))
}
