//! A study's parts, opened and checked against each other.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use gemma::{Checkpoint, Model, Tokenizer};
use store::manifest::{FILE, Manifest};

use crate::{Error, Progress, Result};

/// Both checkpoints of a study, checked without reading weights.
pub(crate) struct Pair {
    pub(crate) base: Checkpoint,
    pub(crate) chat: Checkpoint,
    /// The chat model's tokenizer and template serve both.
    pub(crate) tokenizer: Tokenizer,
    pub(crate) layer: usize,
}

impl Pair {
    /// Opens both folders; widths and vocabularies must agree and the layer must exist.
    pub(crate) fn open(base: &Path, chat: &Path, layer: usize) -> Result<Self> {
        let (base, chat) = (Checkpoint::open(base)?, Checkpoint::open(chat)?);
        let (b, c) = (base.config(), chat.config());
        for (what, base_size, chat_size) in [
            ("hidden_size", b.hidden_size, c.hidden_size),
            ("vocab_size", b.vocab_size, c.vocab_size),
        ] {
            if base_size != chat_size {
                return Err(Error::Mismatch(format!(
                    "the two models differ in {what}: {} has {base_size}, {} has {chat_size}; name a base model and its own tuned version",
                    base.dir().display(),
                    chat.dir().display()
                )));
            }
        }
        for checkpoint in [&base, &chat] {
            let layers = checkpoint.config().num_layers;
            if layer >= layers {
                return Err(Error::Mismatch(format!(
                    "layer is {layer}, but {} has {layers} blocks, 0 to {}",
                    checkpoint.dir().display(),
                    layers.saturating_sub(1)
                )));
            }
        }
        let tokenizer = Tokenizer::open(chat.dir())?;
        Ok(Self {
            base,
            chat,
            tokenizer,
            layer,
        })
    }

    /// The pair that a manifest names.
    pub(crate) fn of(study: &Path, manifest: &Manifest) -> Result<Self> {
        let (Some(base), Some(chat)) = (&manifest.base, &manifest.chat) else {
            return Err(Error::file(
                &study.join(FILE),
                "it names no models; add [base] and [chat] with the folder of each as `path`",
            ));
        };
        Self::open(
            &base.resolve(study, "[base]")?,
            &chat.resolve(study, "[chat]")?,
            manifest.layer,
        )
    }

    /// Width D of both residual streams.
    pub(crate) fn width(&self) -> usize {
        self.chat.config().hidden_size
    }

    /// Longest sequence that both models take.
    pub(crate) fn context(&self) -> usize {
        let config = |checkpoint: &Checkpoint| checkpoint.config().max_positions;
        config(&self.base).min(config(&self.chat))
    }

    /// Reads both models' weights, base first; f32 everywhere, so that firings near a threshold agree between devices.
    pub(crate) fn load(&self, device: &Device, progress: &dyn Progress) -> Result<[Model; 2]> {
        const PARTS: f32 = 1000.0;
        progress.start("load", "‰", 2 * PARTS as u64);
        let load = |checkpoint: &Checkpoint, before: f32| {
            checkpoint.load(device, DType::F32, &mut |fraction| {
                progress.advance(((before + fraction) * PARTS) as u64);
            })
        };
        let models = [load(&self.base, 0.0)?, load(&self.chat, 1.0)?];
        progress.finish();
        Ok(models)
    }
}

/// The folder of a study's dictionary `slug`, and its manifest.
pub(crate) fn dictionary(study: &Path, slug: &str) -> Result<(Manifest, PathBuf)> {
    let manifest = Manifest::read(study)?;
    let folder = manifest.dictionary(slug)?.resolve(study)?;
    Ok((manifest, folder))
}
