//! A study's parts, opened and checked against each other.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use crosscoder::Crosscoder;
use gemma::{Checkpoint, Model, Tokenizer};
use hub::{Content, Reference};
use serde_json::{Map, Value};
use store::manifest::{FILE, Manifest};

use crate::files::{checksum, read_json};
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
        same_tokenizers(base.dir(), chat.dir())?;
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

    /// Refuses a dictionary of another width than the models'.
    pub(crate) fn check_width(&self, slug: &str, crosscoder: &Crosscoder) -> Result<()> {
        let (found, width) = (crosscoder.activation_dim(), self.width());
        if found == width {
            return Ok(());
        }
        Err(Error::Mismatch(format!(
            "dictionary {slug} has width {found}, the models have {width}; name a dictionary trained on these models"
        )))
    }

    /// Longest sequence that both models take.
    pub(crate) fn context(&self) -> usize {
        let config = |checkpoint: &Checkpoint| checkpoint.config().max_positions;
        config(&self.base).min(config(&self.chat))
    }

    /// Reads both models' weights up to the hook point, base first; the rest is read when it is first needed. f32 everywhere, so that
    /// firings near a threshold agree between devices.
    pub(crate) fn load(&self, device: &Device, progress: &dyn Progress) -> Result<[Model; 2]> {
        const PARTS: f32 = 1000.0;
        progress.start("load", "‰", 2 * PARTS as u64);
        let load = |checkpoint: &Checkpoint, before: f32| {
            checkpoint.load_lower(self.layer, device, DType::F32, &mut |fraction| {
                progress.advance(((before + fraction) * PARTS) as u64);
            })
        };
        let models = [load(&self.base, 0.0)?, load(&self.chat, 1.0)?];
        progress.finish();
        Ok(models)
    }
}

/// Refuses a pair whose tokenizers give other ids for the same text. A base model may have no tokenizer of its own.
fn same_tokenizers(base: &Path, chat: &Path) -> Result<()> {
    let paths = [base, chat].map(|folder| folder.join("tokenizer.json"));
    if !paths.iter().all(|path| path.exists()) {
        return Ok(());
    }
    if checksum(&paths[0])? == checksum(&paths[1])? {
        return Ok(());
    }
    let remedy = "restore it from the original checkpoint";
    let [b, c]: [Value; 2] = [read_json(&paths[0], remedy)?, read_json(&paths[1], remedy)?];
    // What stands around a text and how ids become text again is not compared: nothing here uses it.
    let added = difference("added_tokens", &names(&b), &names(&c));
    let found = added.or_else(|| {
        let mut parts = ["normalizer", "pre_tokenizer", "model"].into_iter();
        parts.find_map(|part| difference(part, &b[part], &c[part]))
    });
    match found {
        None => Ok(()),
        Some((place, [in_base, in_chat])) => Err(Error::Mismatch(format!(
            "the two models' tokenizers differ: {place} is {in_base} in {}, {in_chat} in {}; name a base model and its own tuned version",
            paths[0].display(),
            paths[1].display()
        ))),
    }
}

/// Names of the added tokens by id.
fn names(tokenizer: &Value) -> Value {
    let tokens = tokenizer["added_tokens"].as_array();
    let names = tokens.into_iter().flatten();
    names
        .map(|token| (token["id"].to_string(), token["content"].clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// The first place where two values differ, and what they have there.
fn difference(place: &str, a: &Value, b: &Value) -> Option<(String, [String; 2])> {
    let absent = Value::Null;
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let [a, b] = [a, b].map(|object| object.get(key).unwrap_or(&absent));
            difference(&format!("{place}.{key}"), a, b)
        }),
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len())).find_map(|at| {
            let [a, b] = [a, b].map(|list| list.get(at).unwrap_or(&absent));
            difference(&format!("{place}[{at}]"), a, b)
        }),
        _ if a == b => None,
        _ => Some((place.to_string(), [a, b].map(shown))),
    }
}

/// The beginning of a value.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    if value.is_null() {
        return "absent".into();
    }
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Repositories of the hub that a study names.
///
/// # Errors
/// A manifest that cannot be read, or what cannot be a repository's name.
pub fn repositories(study: &Path, wanted: Wanted<'_>) -> Result<Vec<(Reference, Content)>> {
    let manifest = Manifest::read(study)?;
    let mut found = Vec::new();
    let models = [("[base]", &manifest.base), ("[chat]", &manifest.chat)];
    for (key, model) in models.into_iter().filter(|_| wanted.models) {
        if let Some(model) = model {
            found.extend(model.reference(study, key)?.map(|r| (r, Content::Model)));
        }
    }
    for dictionary in &manifest.dictionaries {
        if wanted.dictionaries.has(&dictionary.slug) {
            let reference = dictionary.reference(study)?;
            found.extend(reference.map(|r| (r, Content::Dictionary)));
        }
    }
    Ok(found)
}

/// What of a study a command works with.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Both models.
    pub models: bool,
    /// Dictionaries.
    pub dictionaries: Dictionaries<'a>,
}

/// Which dictionaries of a study.
#[derive(Clone, Copy, Debug)]
pub enum Dictionaries<'a> {
    /// None.
    None,
    /// The one of this slug.
    One(&'a str),
    /// Every one.
    All,
}

impl Dictionaries<'_> {
    fn has(self, slug: &str) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => one == slug,
            Self::All => true,
        }
    }
}

/// The folder of a study's dictionary `slug`, and its manifest.
pub(crate) fn dictionary(study: &Path, slug: &str) -> Result<(Manifest, PathBuf)> {
    let manifest = Manifest::read(study)?;
    let folder = manifest.dictionary(slug)?.resolve(study)?;
    Ok((manifest, folder))
}
