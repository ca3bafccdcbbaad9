//! Loads a model, on the CPU from its copy rounded to bf16 where that is the choice of weights.

use candle_core::{DType, Device};
use gemma::{Checkpoint, Model, WeightChoice};

use crate::{Options, Result};

/// Brings a checkpoint to the device, or of it only what is up to the block `lower`; `progress` hears the share done, 0 to 1.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    options: &Options,
    device: &Device,
    dtype: DType,
    lower: Option<usize>,
    progress: &mut dyn FnMut(f32),
) -> Result<Model> {
    let bring = |from: &Checkpoint, progress: &mut dyn FnMut(f32)| match lower {
        Some(layer) => from.load_lower(layer, device, dtype, progress),
        None => from.load(device, dtype, progress),
    };
    if !device.is_cpu() || !checkpoint.needs_rounding(options.weights) {
        return Ok(bring(checkpoint, progress)?);
    }
    tracing::info!(
        model = %checkpoint.dir().display(),
        stored = checkpoint.stored_dtype(),
        copies = %options.rounded.display(),
        "the CPU computes with a copy of the weights rounded to bf16, {}",
        match options.weights {
            WeightChoice::Bf16 => "as asked for",
            _ => "because the model has 2^30 weights or more; --weights as-is keeps the stored ones",
        }
    );
    let copy = checkpoint.rounded(&options.rounded, &mut |f| progress(0.5 * f))?;
    Ok(bring(&copy, &mut |f| progress(0.5 + 0.5 * f))?)
}
