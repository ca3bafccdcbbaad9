//! Opens a study and checks all of it before anything listens: manifest, database, models, dictionaries.

use std::{collections::HashMap, path::PathBuf};

use api::{Availability, DictionaryInfo, ModelInfo};
use engine::{Checked, DictionaryFile, DictionaryOptions, Plan};
use store::{
    Store,
    manifest::{DictionaryRef, Manifest, ModelRef},
};

use crate::{Error, Options, Result, pages};

/// The folder of a study that holds copies of its models rounded to bf16.
const ROUNDED: &str = "rounded-weights";

/// A study found whole.
pub(crate) struct Study {
    pub manifest: Manifest,
    pub store: Store,
    pub models: Models,
    /// Dictionaries in the manifest's order; what their files say is unknown only when the files are absent and not needed.
    dictionaries: Vec<(DictionaryRef, Option<DictionaryFile>)>,
    folder: PathBuf,
}

/// The models of a study.
pub(crate) enum Models {
    /// They fit, and can be loaded with these options.
    Checked(Box<engine::Options>, Box<Checked>),
    /// This server has none; the sentence says why and what to do.
    Absent(String),
}

impl Study {
    /// Reads and checks everything but weights; a dictionary that is not analysed has its weights read as well.
    pub(crate) fn open(options: &Options) -> Result<Self> {
        let folder = options.study.clone();
        let manifest = Manifest::read(&folder)?;
        let database = folder.join(store::DATABASE);
        let mut store = if database.exists() {
            Store::open(&database, &manifest.classes)?
        } else {
            Store::in_memory(&manifest.classes)
        };
        let models = models(options, &manifest, &store)?;
        let mut dictionaries = Vec::new();
        for (n, dictionary) in manifest.dictionaries.iter().enumerate() {
            let slug = &dictionary.slug;
            let file = match &models {
                Models::Checked(_, checked) => checked.dictionaries.get(n).cloned(),
                Models::Absent(_) => {
                    let analysed = store.is_analysed(slug);
                    match dictionary.resolve(&folder) {
                        Ok(path) if path.exists() || !analysed => {
                            Some(engine::dictionary_file(&path)?)
                        }
                        Err(error) if !analysed => return Err(error.into()),
                        _ => None,
                    }
                }
            };
            if let Some(file) = &file {
                agree(&manifest, &store, dictionary, file)?;
            }
            if !store.is_analysed(slug) {
                let path = dictionary.resolve(&folder)?;
                store.add_weights(slug, engine::weight_rows(&path, &manifest.classes)?)?;
            }
            dictionaries.push((dictionary.clone(), file));
        }
        Ok(Self {
            manifest,
            store,
            models,
            dictionaries,
            folder,
        })
    }

    /// Folders of the dictionaries whose weights are here, by slug.
    pub(crate) fn weights(&self) -> Result<HashMap<String, PathBuf>> {
        self.dictionaries
            .iter()
            .filter(|(_, file)| file.is_some())
            .map(|(entry, _)| Ok((entry.slug.clone(), entry.resolve(&self.folder)?)))
            .collect()
    }

    /// What `GET /study` says of each dictionary.
    pub(crate) fn dictionaries(&self) -> Result<Vec<DictionaryInfo>> {
        self.dictionaries
            .iter()
            .map(|(entry, file)| self.dictionary(entry, file.as_ref()))
            .collect()
    }

    fn dictionary(
        &self,
        entry: &DictionaryRef,
        file: Option<&DictionaryFile>,
    ) -> Result<DictionaryInfo> {
        let facts = self.store.dictionary(&entry.slug)?;
        let unknown = || entry.kind.clone().unwrap_or_default();
        Ok(DictionaryInfo {
            slug: entry.slug.clone(),
            kind: file.map_or_else(unknown, |f| f.kind.clone()),
            note: entry.note.clone(),
            latents: facts.latents,
            activation_dim: file.map_or(0, |f| f.activation_dim),
            code_normalization: file.map_or_else(String::new, |f| f.code_normalization.clone()),
            threshold: file.and_then(|f| f.threshold),
            k: file.and_then(|f| f.k),
            normalized: file.is_some_and(|f| f.normalized),
            counts: facts.counts,
            delta_norm: facts.delta_norm,
            tokens: facts.tokens,
            analysis: Availability {
                available: facts.analysed,
                reason: (!facts.analysed).then(|| {
                    format!(
                        "only what the weights alone give is known; run stereoscope analyse {} --dictionary {}",
                        self.folder.display(),
                        entry.slug
                    )
                }),
            },
            training: facts.training,
            concepts: facts.concepts,
        })
    }
}

/// What a server with these options is going to hold in memory, from headers alone; `None` where it has no models.
///
/// # Errors
/// A fault in the study, a model or a dictionary.
pub fn plan(options: &Options) -> Result<Option<Plan>> {
    let manifest = Manifest::read(&options.study)?;
    let Ok([base, chat]) = wanted(options, &manifest) else {
        return Ok(None);
    };
    // The largest activations take next to nothing.
    let store = Store::in_memory(&manifest.classes);
    let engine = engine_options(options, &manifest, [base, chat], &store)?;
    Ok(Some(engine::plan(&engine)?))
}

/// The study's models, or why this server has none.
fn wanted<'a>(
    options: &Options,
    manifest: &'a Manifest,
) -> std::result::Result<[&'a ModelRef; 2], &'static str> {
    if options.browse_only {
        return Err("this server was started with --browse-only; start it without to run prompts");
    }
    // The manifest names both or neither.
    match (&manifest.base, &manifest.chat) {
        (Some(base), Some(chat)) => Ok([base, chat]),
        _ => Err("this study names no models; add [base] and [chat] to study.toml to run prompts"),
    }
}

/// Checks the models where the study names them and the server wants them.
fn models(options: &Options, manifest: &Manifest, store: &Store) -> Result<Models> {
    let [base, chat] = match wanted(options, manifest) {
        Ok(models) => models,
        Err(why) => return Ok(Models::Absent(why.into())),
    };
    let engine = engine_options(options, manifest, [base, chat], store)?;
    let mut checked = engine::check(&engine)?;
    rename(&mut checked.base, base);
    rename(&mut checked.chat, chat);
    Ok(Models::Checked(Box::new(engine), Box::new(checked)))
}

/// What the engine is started with.
fn engine_options(
    options: &Options,
    manifest: &Manifest,
    [base, chat]: [&ModelRef; 2],
    store: &Store,
) -> Result<engine::Options> {
    let dictionaries = manifest
        .dictionaries
        .iter()
        .map(|d| {
            Ok(DictionaryOptions {
                slug: d.slug.clone(),
                path: d.resolve(&options.study)?,
                max_activations: if store.is_analysed(&d.slug) {
                    store.max_activations(&d.slug)?
                } else {
                    Vec::new()
                },
            })
        })
        .collect::<Result<_>>()?;
    let latents = manifest
        .dictionaries
        .iter()
        .map(|d| Ok(engine::dictionary_file(&d.resolve(&options.study)?)?.latents))
        .collect::<Result<Vec<_>>>()?;
    Ok(engine::Options {
        base: base.resolve(&options.study, "base")?,
        chat: chat.resolve(&options.study, "chat")?,
        layer: manifest.layer,
        dictionaries,
        device: options.device,
        model_devices: options.model_devices,
        memory: options.memory,
        beside: pages::memory(latents),
        precision: options.precision,
        weights: options.weights,
        rounded: options.study.join(ROUNDED),
        limits: options.limits,
    })
}

/// A model that came from the hub is called by its id.
fn rename(info: &mut ModelInfo, reference: &ModelRef) {
    if let Some(hub) = &reference.hub {
        info.name.clone_from(hub);
    }
    info.revision.clone_from(&reference.revision);
}

/// Manifest, database and dictionary files must speak of the same thing.
fn agree(
    manifest: &Manifest,
    store: &Store,
    entry: &DictionaryRef,
    file: &DictionaryFile,
) -> Result<()> {
    let slug = &entry.slug;
    if let Some(kind) = entry.kind.as_ref().filter(|kind| **kind != file.kind) {
        return Err(Error::Study(format!(
            "study.toml of {:?} calls dictionary {slug:?} {kind}, its files say {}; mend kind in study.toml or leave it out",
            manifest.name, file.kind
        )));
    }
    if store.is_analysed(slug) {
        let latents = store.dictionary(slug)?.latents;
        if latents != file.latents {
            return Err(Error::Study(format!(
                "{} describes {latents} latents of dictionary {slug:?}, its files hold {}; run stereoscope analyse again",
                store::DATABASE,
                file.latents
            )));
        }
    }
    Ok(())
}
