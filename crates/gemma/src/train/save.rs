//! Writing a trained model as an ordinary Hugging Face folder.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use crate::{Config, Error, Result};

/// Writes weights first and config.json last, each through a temporary name.
pub(super) fn save(
    dir: &Path,
    config: &Config,
    vars: &BTreeMap<String, Var>,
    dtype: DType,
) -> Result<()> {
    let name = match dtype {
        DType::F32 => "float32",
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        other => {
            return Err(Error::Argument(format!(
                "a checkpoint cannot be saved as {other:?}; use F32, BF16 or F16"
            )));
        }
    };
    std::fs::create_dir_all(dir).map_err(|source| Error::Write {
        path: dir.to_owned(),
        source,
    })?;
    let mut tensors = Vec::<(&str, Tensor)>::with_capacity(vars.len());
    for (name, var) in vars {
        tensors.push((
            name,
            var.as_detached_tensor()
                .to_device(&Device::Cpu)?
                .to_dtype(dtype)?,
        ));
    }
    let path = dir.join("model.safetensors");
    let temporary = dir.join("model.safetensors.tmp");
    // Python's loaders ask for this entry.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // The library writes a file that only its owner may read; others get what they get of any new file.
    let fault = |source| Error::Write {
        path: temporary.clone(),
        source,
    };
    let permissions = std::fs::File::create(&temporary)
        .and_then(|file| file.metadata())
        .map_err(fault)?
        .permissions();
    safetensors::serialize_to_file(tensors, Some(metadata), &temporary)
        .map_err(candle_core::Error::from)?;
    std::fs::set_permissions(&temporary, permissions).map_err(fault)?;
    std::fs::rename(&temporary, &path).map_err(|source| Error::Write { path, source })?;
    config.write(dir.join("config.json"), name)
}
