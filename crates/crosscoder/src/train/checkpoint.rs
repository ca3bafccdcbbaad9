//! Checkpoints: everything a run needs to go on as if it had never stopped, in one file.

use std::collections::HashMap;
use std::path::Path;

use super::output::{Numbers, Stored, write};
use super::parameters::Parameters;
use super::{Settings, Trainer};
use crate::Normalizer;
use crate::error::{Error, Result};
use crate::file::TensorFile;

/// Name of the file in the checkpoint's folder.
const FILE: &str = "checkpoint.safetensors";
/// Metadata keys.
const SETTINGS: &str = "settings";
const FLOATS: &str = "settings_bits";
const COUNTERS: &str = "step_and_tokens";
/// Number of the file's format.
const FORMAT: (&str, &str) = ("format", "2");

impl Trainer {
    /// Writes the run's whole state into a folder, through a temporary name.
    ///
    /// # Errors
    /// If the folder or file cannot be written.
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<()> {
        let mut tensors = Vec::new();
        let [first, second] = &self.moments;
        let parts = [
            ("parameters", &self.parameters),
            ("first", first),
            ("second", second),
        ];
        for (prefix, part) in parts {
            for (name, values) in part.named() {
                tensors.push((format!("{prefix}.{name}"), Stored::list(values)));
            }
        }
        tensors.push(("thresholds".into(), Stored::list(&self.thresholds)));
        let target_rms = [self.normalizer.as_ref().map_or(1.0, Normalizer::target_rms)];
        if let Some(n) = &self.normalizer {
            tensors.push(("normalizer.mean".into(), Stored::list(n.mean())));
            tensors.push(("normalizer.std".into(), Stored::list(n.std())));
            tensors.push(("normalizer.target_rms".into(), Stored::list(&target_rms)));
        }
        for (name, counts) in [
            ("since_fired", &self.since_fired),
            ("silent_steps", &self.silent_steps),
        ] {
            let counts = Stored::new([self.latents], Numbers::U64(counts));
            tensors.push((name.into(), counts));
        }
        let metadata = HashMap::from([
            (FORMAT.0.to_owned(), FORMAT.1.to_owned()),
            (SETTINGS.to_owned(), self.settings.to_json()),
            (FLOATS.to_owned(), self.settings.float_bits()),
            (
                COUNTERS.to_owned(),
                format!("{} {}", self.step, self.tokens),
            ),
        ]);
        write(&dir.as_ref().join(FILE), tensors, Some(metadata))
    }

    /// Goes on from a folder written by [`Trainer::checkpoint`]; the coming steps are bit for bit those of the uninterrupted run.
    ///
    /// # Errors
    /// If the file is missing, incomplete or of another program version.
    pub fn resume(dir: impl AsRef<Path>) -> Result<Self> {
        let file = TensorFile::open(&dir.as_ref().join(FILE))?;
        let malformed = |detail: String| Error::Malformed {
            path: file.path().to_path_buf(),
            detail: format!("{detail}; remove the checkpoint and train anew"),
        };
        let entry = |key: &str| {
            file.note(key)
                .ok_or_else(|| malformed(format!("expected a checkpoint with {key}, found none")))
        };
        let format = entry(FORMAT.0)?;
        if format != FORMAT.1 {
            return Err(malformed(format!(
                "expected checkpoint format {}, found {format}",
                FORMAT.1
            )));
        }
        let settings = Settings::from_json(entry(SETTINGS)?, entry(FLOATS)?).map_err(malformed)?;
        let counters = entry(COUNTERS)?;
        let (step, tokens) = counters
            .split_once(' ')
            .and_then(|(s, t)| Some((s.parse().ok()?, t.parse().ok()?)))
            .ok_or_else(|| malformed(format!("expected step and tokens, found {counters:?}")))?;
        let latents = length(&file, "parameters.encoder_bias")?;
        let dim = length(&file, "parameters.decoder_bias")? / 2;
        let normalizer = if file.has("normalizer.mean") {
            let target = file.finite("normalizer.target_rms")?;
            Some(Normalizer::new(
                file.finite("normalizer.mean")?,
                file.finite("normalizer.std")?,
                target.first().copied().unwrap_or(1.0),
            )?)
        } else {
            None
        };
        let mut trainer = Self::new(settings, dim, latents, normalizer)?;
        read_parameters(&file, "parameters", &mut trainer.parameters)?;
        let [first, second] = &mut trainer.moments;
        read_parameters(&file, "first", first)?;
        read_parameters(&file, "second", second)?;
        trainer.thresholds = pair(&file, "thresholds")?;
        for (name, counts) in [
            ("since_fired", &mut trainer.since_fired),
            ("silent_steps", &mut trainer.silent_steps),
        ] {
            file.expect(name, &[&[latents]])?;
            *counts = file.integers(name)?;
        }
        trainer.step = step;
        trainer.tokens = tokens;
        trainer.weigh();
        Ok(trainer)
    }
}

fn length(file: &TensorFile, name: &str) -> Result<usize> {
    match file.shape(name)? {
        &[length] => Ok(length),
        _ => Err(file.wrong_shape(name, "one dimension")),
    }
}

fn pair(file: &TensorFile, name: &str) -> Result<[f32; 2]> {
    let values = file.finite(name)?;
    <[f32; 2]>::try_from(values).map_err(|_| file.wrong_shape(name, "[2]"))
}

fn read_parameters(file: &TensorFile, prefix: &str, part: &mut Parameters) -> Result<()> {
    for (name, values) in part.named_mut() {
        let name = format!("{prefix}.{name}");
        file.expect(&name, &[&[values.len()]])?;
        *values = file.finite(&name)?;
    }
    Ok(())
}
