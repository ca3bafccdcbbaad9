//! Loads a model, on the CPU from its copy rounded to bf16 where that is the choice of weights.

use candle_core::Device;
use gemma::{Checkpoint, Model, WeightChoice};

use crate::{Options, Result};

/// Brings a checkpoint to the device; `progress` hears the share done, 0 to 1.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    options: &Options,
    device: &Device,
    progress: &mut dyn FnMut(f32),
) -> Result<Model> {
    let dtype = options.precision.dtype();
    if !device.is_cpu() || !checkpoint.needs_rounding(options.weights) {
        return Ok(checkpoint.load(device, dtype, progress)?);
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
    Ok(copy.load(device, dtype, &mut |f| progress(0.5 + 0.5 * f))?)
}
