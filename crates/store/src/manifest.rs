//! `study.toml`: the manifest of a study.
//!
//! ```toml
//! name = "a pair"
//! layer = 13
//! corpora = ["web.jsonl"]
//! prompts = ["How do I pick a lock?"]
//!
//! [base]                      # both models or neither
//! path = "/models/base"       # absolute, or relative to study.toml; or `hub = "google/gemma-2-2b"` with an optional `revision`
//! [chat]
//! path = "models/chat"
//!
//! [classes]                   # cuts of the decoder norm difference; these are the defaults
//! chat_only = 0.9
//! base_only = 0.1
//! shared_from = 0.4
//! shared_to = 0.6
//!
//! [[dictionary]]
//! slug = "btk"
//! path = "dictionaries/btk"
//! kind = "batchtopk"          # or "l1"
//! note = "k = 20"
//!
//! [provenance]
//! corpus = "synthetic"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use api::ClassCuts;
use hub::{Content, Reference, Settings};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Name of the manifest inside a study's folder.
pub const FILE: &str = "study.toml";

/// Kinds of dictionary that a manifest may name.
pub const KINDS: [&str; 2] = ["l1", "batchtopk"];

/// What a study is and where its parts lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the study.
    pub name: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The hook point: output of this 0-based block.
    pub layer: usize,
    /// Corpora the study was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corpora: Vec<String>,
    /// Prompts to start from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// The model before tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<ModelRef>,
    /// The chat-tuned model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<ModelRef>,
    /// Cuts that make the classes.
    #[serde(default, skip_serializing_if = "is_paper")]
    pub classes: ClassCuts,
    /// Where things come from, name and value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<String, String>,
    /// The dictionaries, in the order they are shown.
    #[serde(default, rename = "dictionary", skip_serializing_if = "Vec::is_empty")]
    pub dictionaries: Vec<DictionaryRef>,
}

fn is_paper(cuts: &ClassCuts) -> bool {
    *cuts == ClassCuts::default()
}

/// Where a model is: a folder, or a hub id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// Folder, absolute or relative to `study.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Hub id, for instance `google/gemma-2-2b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Hub revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// One dictionary of the study: a folder, or a hub id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DictionaryRef {
    /// Name in addresses: lower-case letters, digits, `-`, `_` and `.`.
    pub slug: String,
    /// Folder, absolute or relative to `study.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Hub id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Hub revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `l1` or `batchtopk`; unset: as the dictionary's own files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A remark for the reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ModelRef {
    /// A model in a folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    /// The model's folder; for a hub reference that of its snapshot in the hub's cache, to which nothing is fetched here.
    ///
    /// # Errors
    /// When the cache lacks it; `key` names the entry.
    pub fn resolve(&self, study: &Path, key: &str) -> Result<PathBuf> {
        match (&self.path, self.reference(study, key)?) {
            // `join` keeps an absolute path as it is.
            (Some(path), _) => Ok(study.join(path)),
            (None, Some(reference)) => in_cache(&reference, Content::Model, study, key),
            (None, None) => Err(nowhere(study, key)),
        }
    }

    /// The repository of the hub that is meant, if one is.
    ///
    /// # Errors
    /// For what cannot be a repository's name; `key` names the entry.
    pub fn reference(&self, study: &Path, key: &str) -> Result<Option<Reference>> {
        reference(self.hub.as_deref(), self.revision.as_deref(), study, key)
    }
}

/// A dictionary at a place, without a name yet.
impl From<ModelRef> for DictionaryRef {
    fn from(place: ModelRef) -> Self {
        Self {
            path: place.path,
            hub: place.hub,
            revision: place.revision,
            ..Self::default()
        }
    }
}

impl DictionaryRef {
    /// The dictionary's folder; for a hub reference that of its snapshot in the hub's cache, to which nothing is fetched here.
    ///
    /// # Errors
    /// When the cache lacks it.
    pub fn resolve(&self, study: &Path) -> Result<PathBuf> {
        match (&self.path, self.reference(study)?) {
            (Some(path), _) => Ok(study.join(path)),
            (None, Some(reference)) => {
                in_cache(&reference, Content::Dictionary, study, &self.key())
            }
            (None, None) => Err(nowhere(study, &self.key())),
        }
    }

    /// The repository of the hub that is meant, if one is.
    ///
    /// # Errors
    /// For what cannot be a repository's name.
    pub fn reference(&self, study: &Path) -> Result<Option<Reference>> {
        reference(
            self.hub.as_deref(),
            self.revision.as_deref(),
            study,
            &self.key(),
        )
    }

    fn key(&self) -> String {
        format!("dictionary {}", self.slug)
    }
}

fn reference(
    hub: Option<&str>,
    revision: Option<&str>,
    study: &Path,
    key: &str,
) -> Result<Option<Reference>> {
    let Some(id) = hub else {
        return Ok(None);
    };
    match Reference::new(id, revision) {
        Ok(reference) => Ok(Some(reference)),
        Err(source) => Err(at_fault(study, key, source)),
    }
}

/// The folder of a repository that the hub's cache holds.
fn in_cache(reference: &Reference, content: Content, study: &Path, key: &str) -> Result<PathBuf> {
    Settings::from_environment()
        .and_then(|settings| settings.cached(reference, content))
        .map_err(|source| at_fault(study, key, source))
}

fn at_fault(study: &Path, key: &str, source: hub::Error) -> Error {
    Error::Hub {
        path: study.join(FILE),
        key: key.into(),
        source: source.into(),
    }
}

fn nowhere(study: &Path, key: &str) -> Error {
    Error::Manifest {
        path: study.join(FILE),
        message: format!("{key} has neither `path` nor `hub`; give its folder as `path`"),
    }
}

/// A manifest's last part: one more dictionary.
#[derive(Serialize)]
struct Entry<'a> {
    dictionary: [&'a DictionaryRef; 1],
}

impl Manifest {
    /// A study of no dictionaries and no models.
    pub fn new(name: impl Into<String>, layer: usize) -> Self {
        Self {
            name: name.into(),
            description: None,
            layer,
            corpora: Vec::new(),
            prompts: Vec::new(),
            base: None,
            chat: None,
            classes: ClassCuts::default(),
            provenance: BTreeMap::new(),
            dictionaries: Vec::new(),
        }
    }

    /// Reads and checks the manifest of a study's folder. Nothing that it refers to is opened.
    ///
    /// # Errors
    /// No such study, text that is not TOML, unknown or missing keys, values out of range: each names the file and the key.
    pub fn read(study: &Path) -> Result<Self> {
        let path = study.join(FILE);
        if !path.is_file() {
            return Err(Error::NoStudy {
                folder: study.to_path_buf(),
            });
        }
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        Self::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start)
                    .map_or(1, |before| before.matches('\n').count() + 1)
            });
            Error::Manifest {
                path: path.to_path_buf(),
                message: format!(
                    "line {line}: {}",
                    error.message().trim_end().replace('\n', " ")
                ),
            }
        })?;
        manifest.check().map_err(|message| Error::Manifest {
            path: path.to_path_buf(),
            message,
        })?;
        Ok(manifest)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("name is empty; give the study a name".into());
        }
        match (&self.base, &self.chat) {
            (Some(_), None) => {
                return Err("[chat] is missing; name both models or neither".into());
            }
            (None, Some(_)) => {
                return Err("[base] is missing; name both models or neither".into());
            }
            _ => {}
        }
        for (key, model) in [("[base]", &self.base), ("[chat]", &self.chat)] {
            if let Some(model) = model {
                check_place(
                    key,
                    model.path.as_deref(),
                    model.hub.as_deref(),
                    model.revision.as_ref(),
                )?;
            }
        }
        check_cuts(&self.classes)?;
        for (number, dictionary) in self.dictionaries.iter().enumerate() {
            check_slug(&dictionary.slug)?;
            if self
                .dictionaries
                .iter()
                .take(number)
                .any(|d| d.slug == dictionary.slug)
            {
                return Err(format!(
                    "[[dictionary]] slug {:?} occurs twice; slugs are unique",
                    dictionary.slug
                ));
            }
            let key = format!("[[dictionary]] {}", dictionary.slug);
            check_place(
                &key,
                dictionary.path.as_deref(),
                dictionary.hub.as_deref(),
                dictionary.revision.as_ref(),
            )?;
            if let Some(kind) = &dictionary.kind
                && !KINDS.contains(&kind.as_str())
            {
                return Err(format!(
                    "{key}: kind is {kind:?}, expected one of {}",
                    KINDS.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// Writes the manifest into the study's folder, through a temporary name. Comments of an older file are lost.
    ///
    /// # Errors
    /// A manifest that [`Manifest::read`] would refuse, or a file that cannot be written.
    pub fn write(&self, study: &Path) -> Result<()> {
        let path = study.join(FILE);
        self.check().map_err(|message| Error::Manifest {
            path: path.clone(),
            message,
        })?;
        write_text(&path, &to_text(self, &path)?)
    }

    /// Adds a dictionary to the manifest on disk, or replaces the entry of the same slug. A new entry goes to the end of the file and
    /// leaves the rest of it, comments included, as it is.
    ///
    /// # Errors
    /// As [`Manifest::read`] and [`Manifest::write`].
    pub fn add_dictionary(study: &Path, dictionary: DictionaryRef) -> Result<Self> {
        let path = study.join(FILE);
        let mut manifest = Self::read(study)?;
        if let Some(entry) = manifest
            .dictionaries
            .iter_mut()
            .find(|d| d.slug == dictionary.slug)
        {
            if *entry != dictionary {
                *entry = dictionary;
                manifest.write(study)?;
            }
            return Ok(manifest);
        }
        let mut text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        text.push('\n');
        text.push_str(&to_text(
            &Entry {
                dictionary: [&dictionary],
            },
            &path,
        )?);
        manifest.dictionaries.push(dictionary);
        // An inline `dictionary = [...]` cannot be continued by a table at the end.
        match Self::parse(&text, &path) {
            Ok(read) if read == manifest => write_text(&path, &text)?,
            _ => manifest.write(study)?,
        }
        Ok(manifest)
    }

    /// The dictionary of that slug.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`].
    pub fn dictionary(&self, slug: &str) -> Result<&DictionaryRef> {
        self.dictionaries
            .iter()
            .find(|d| d.slug == slug)
            .ok_or_else(|| Error::UnknownDictionary {
                slug: slug.into(),
                known: self.dictionaries.iter().map(|d| d.slug.clone()).collect(),
            })
    }
}

/// Checks a slug: lower-case letters, digits, `-`, `_` and `.`, a letter or digit first, at most 64.
///
/// # Errors
/// A sentence.
pub fn check_slug(slug: &str) -> std::result::Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if slug.len() <= 64
        && slug.starts_with(plain)
        && slug
            .chars()
            .all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
    {
        return Ok(());
    }
    Err(format!(
        "the slug {slug:?} cannot stand in an address; use at most 64 lower-case letters, digits, '-', '_' and '.', beginning with a \
         letter or digit"
    ))
}

fn check_place(
    key: &str,
    path: Option<&Path>,
    hub: Option<&str>,
    revision: Option<&String>,
) -> std::result::Result<(), String> {
    match (path, hub) {
        (Some(_), Some(_)) => Err(format!("{key} has both `path` and `hub`; keep one")),
        (None, None) => Err(format!(
            "{key} has neither `path` nor `hub`; give its folder as `path`"
        )),
        (Some(_), None) if revision.is_some() => {
            Err(format!("{key} has a `revision` without `hub`; remove it"))
        }
        (Some(path), None) if path.as_os_str().is_empty() => {
            Err(format!("{key}: path is empty; give the folder"))
        }
        _ => Ok(()),
    }
}

fn check_cuts(cuts: &ClassCuts) -> std::result::Result<(), String> {
    let order = [
        0.0,
        cuts.base_only,
        cuts.shared_from,
        cuts.shared_to,
        cuts.chat_only,
        1.0,
    ];
    if order.iter().all(|cut| cut.is_finite())
        && order.is_sorted()
        && cuts.base_only < cuts.shared_from
        && cuts.shared_to < cuts.chat_only
    {
        return Ok(());
    }
    Err(format!(
        "[classes] must satisfy 0 ≤ base_only < shared_from ≤ shared_to < chat_only ≤ 1, found base_only {}, shared_from {}, \
         shared_to {}, chat_only {}",
        cuts.base_only, cuts.shared_from, cuts.shared_to, cuts.chat_only
    ))
}

fn to_text(value: &impl Serialize, path: &Path) -> Result<String> {
    toml::to_string(value).map_err(|error| Error::Manifest {
        path: path.to_path_buf(),
        message: format!("cannot be written as TOML: {error}"),
    })
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("toml.tmp");
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(Error::io("write", path))
}
