//! `init`: starts a study by reference. Nothing is copied and nothing is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use api::ClassCuts;
use serde::Serialize;
use store::manifest::{DictionaryRef, FILE, Manifest, ModelRef};

use crate::study::Pair;
use crate::{Error, Result};

/// What `init` needs.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Folder of the new study.
    pub study: PathBuf,
    /// The base model, for instance from [`reference`].
    pub base: ModelRef,
    /// The chat-tuned model.
    pub chat: ModelRef,
    /// The hook point: output of this 0-based block.
    pub layer: usize,
    /// Trained dictionaries, slug and place.
    pub dictionaries: Vec<(String, ModelRef)>,
    /// Name shown; the folder's name otherwise.
    pub name: Option<String>,
    /// What the study is about.
    pub description: Option<String>,
    /// Cuts that make the classes; the paper's otherwise.
    pub classes: ClassCuts,
    /// Prompts to start from.
    pub prompts: Vec<String>,
    /// Where things come from, name and value.
    pub provenance: BTreeMap<String, String>,
    /// Replaces an existing `study.toml`.
    pub force: bool,
}

/// What `init` did.
#[derive(Clone, Debug, Serialize)]
pub struct InitSummary {
    /// The manifest written.
    pub manifest: PathBuf,
    /// Width of both models.
    pub hidden_size: usize,
    /// Blocks of the chat model.
    pub layers: usize,
    /// Slugs of the dictionaries found.
    pub dictionaries: Vec<String>,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for InitSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "wrote {}: width {}, {} blocks, {} dictionaries",
            self.manifest.display(),
            self.hidden_size,
            self.layers,
            self.dictionaries.len()
        )?;
        crate::write_next(f, &self.next)
    }
}

/// Reads `DIR`, `hub:ID` or `hub:ID@REVISION`.
pub fn reference(text: &str) -> ModelRef {
    let Some(hub) = text.strip_prefix("hub:") else {
        return ModelRef::folder(text);
    };
    let (id, revision) = match hub.split_once('@') {
        Some((id, revision)) => (id, Some(revision.to_string())),
        None => (hub, None),
    };
    ModelRef {
        path: None,
        hub: Some(id.to_string()),
        revision,
    }
}

/// Checks both models, the layer and every dictionary, and writes `study.toml`.
///
/// # Errors
/// An existing study without `force`; a model or dictionary that is missing, broken or does not fit, or that the hub's cache lacks:
/// nothing is fetched here.
pub fn init(options: &InitOptions) -> Result<InitSummary> {
    let study = &options.study;
    let path = study.join(FILE);
    if path.exists() && !options.force {
        return Err(Error::file(
            &path,
            "this study exists already; give --force to replace its manifest, or another folder",
        ));
    }
    let base = absolute(&options.base.resolve(study_of_caller(), "--base")?)?;
    let chat = absolute(&options.chat.resolve(study_of_caller(), "--chat")?)?;
    let pair = Pair::open(&base, &chat, options.layer)?;
    fs::create_dir_all(study).map_err(Error::io("create", study))?;
    let home = absolute(study)?;
    let mut dictionaries = Vec::new();
    for (slug, place) in &options.dictionaries {
        let folder = absolute(&place.resolve(study_of_caller(), &format!("--dictionary {slug}"))?)?;
        let header = crosscoder::open(&folder)?;
        if header.activation_dim != pair.width() {
            return Err(Error::Mismatch(format!(
                "dictionary {slug} has width {}, the models have {}; name a dictionary trained on these models",
                header.activation_dim,
                pair.width()
            )));
        }
        dictionaries.push(DictionaryRef {
            slug: slug.clone(),
            kind: Some(header.kind.as_str().to_string()),
            ..place_of(place, &home, &folder).into()
        });
    }
    let name = options.name.clone().unwrap_or_else(|| {
        home.file_name()
            .map_or_else(|| "study".into(), |name| name.to_string_lossy().into())
    });
    let mut manifest = Manifest::new(name, options.layer);
    manifest.description.clone_from(&options.description);
    manifest.base = Some(place_of(&options.base, &home, &base));
    manifest.chat = Some(place_of(&options.chat, &home, &chat));
    manifest.classes = options.classes;
    manifest.prompts.clone_from(&options.prompts);
    manifest.provenance.clone_from(&options.provenance);
    manifest.dictionaries = dictionaries;
    manifest.write(study)?;

    let shown = study.display();
    let mut next = vec![format!(
        "stereoscope collect {shown} --corpus FILE --tokens 1000000"
    )];
    if let Some((slug, _)) = options.dictionaries.first() {
        next.push(format!("stereoscope analyse {shown} --dictionary {slug}"));
        next.push(format!("stereoscope serve {shown}"));
    }
    Ok(InitSummary {
        manifest: path,
        hidden_size: pair.width(),
        layers: pair.chat.config().num_layers,
        dictionaries: options.dictionaries.iter().map(|d| d.0.clone()).collect(),
        next,
    })
}

/// References given to `init` are relative to where the command runs, not to the study.
fn study_of_caller() -> &'static Path {
    Path::new("")
}

fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(Error::io("open", path))
}

/// A reference as the manifest keeps it: a repository of the hub with its revision, the commit where none was named, so that the study
/// stays what it is; else the folder.
fn place_of(given: &ModelRef, home: &Path, folder: &Path) -> ModelRef {
    if given.hub.is_none() {
        return ModelRef::folder(inside(home, folder));
    }
    let commit = || hub::Settings::commit(folder);
    ModelRef {
        revision: given.revision.clone().or_else(commit),
        ..given.clone()
    }
}

/// Relative to the study's folder for what lies inside.
fn inside(home: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(home)
        .map_or_else(|_| path.to_path_buf(), Path::to_path_buf)
}
