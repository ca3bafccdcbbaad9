//! The folder of collected activations: which shards there are, what they were made from, and their statistics.

use std::fs;
use std::path::{Path, PathBuf};

use diffing::Moments;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files::{hexadecimal, read_json, write_json};
use crate::shard::{Precision, Shard, load};
use crate::{Error, Result};

/// Folder inside a study.
const FOLDER: &str = "activations";
/// Its table of contents; there once every shard is.
const CONTENTS: &str = "manifest.json";
/// Version of shards and contents.
const FORMAT: u32 = 2;

/// What determines the activations, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) format: u32,
    /// Hashes of both checkpoints, base first.
    pub(crate) models: [String; 2],
    pub(crate) hidden_size: usize,
    pub(crate) layer: usize,
    /// Longest sequence.
    pub(crate) context: usize,
    pub(crate) precision: Precision,
    /// Upper bound asked for.
    pub(crate) tokens: u64,
    /// Tokens after which a shard is closed.
    pub(crate) shard_tokens: u64,
    pub(crate) corpora: Vec<Corpus>,
}

/// A corpus file by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Corpus {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// What is noted beside every finished shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) identity: Identity,
    pub(crate) entry: Entry,
    /// Running statistics of both models' rows in f64.
    pub(crate) moments: [Moments; 2],
}

/// A shard in the table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    /// The corpus of all its sequences, as a position in [`Identity::corpora`].
    pub(crate) corpus: usize,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) sequences: u64,
    pub(crate) tokens: u64,
    /// Tokens of every sequence.
    pub(crate) lengths: Vec<u32>,
    /// Documents read up to the end of this shard, left-out ones included.
    pub(crate) documents: u64,
    /// Sequences cut at the context, in this shard.
    pub(crate) truncated: u64,
    /// Documents without content that came before the shard's end and after the one before.
    pub(crate) empty: u64,
}

/// The finished collection of a study.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Collection {
    pub(crate) identity: Identity,
    pub(crate) sequences: u64,
    pub(crate) tokens: u64,
    pub(crate) truncated: u64,
    pub(crate) empty: u64,
    /// Running statistics of both models' rows in f64: count, mean and sum of squared deviations.
    pub(crate) moments: [Moments; 2],
    pub(crate) shards: Vec<Entry>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Identity {
    pub(crate) const FORMAT: u32 = FORMAT;

    /// Names the data in the study and in training checkpoints.
    pub(crate) fn hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        hexadecimal(&Sha256::digest(json))
    }

    /// How this differs from what is on disk, for a message.
    fn difference(&self, found: &Self) -> String {
        let parts = [
            ("the models", self.models != found.models),
            ("the layer", self.layer != found.layer),
            ("--context", self.context != found.context),
            ("the number format", self.precision != found.precision),
            ("--tokens", self.tokens != found.tokens),
            ("the shard size", self.shard_tokens != found.shard_tokens),
            ("the corpus", self.corpora != found.corpora),
        ];
        let names: Vec<&str> = parts.iter().filter(|p| p.1).map(|p| p.0).collect();
        if names.is_empty() {
            "the program's version".into()
        } else {
            names.join(", ")
        }
    }
}

/// Statistics of nothing yet, base and chat.
pub(crate) fn no_moments(width: usize) -> [Moments; 2] {
    [Moments::new(width), Moments::new(width)]
}

/// Path of the activations of a study.
pub(crate) fn folder(study: &Path) -> PathBuf {
    study.join(FOLDER)
}

/// Path of shard `number` and of its note.
pub(crate) fn paths(folder: &Path, number: usize) -> (PathBuf, PathBuf) {
    let name = format!("shard-{number:05}");
    (
        folder.join(format!("{name}.safetensors")),
        folder.join(format!("{name}.json")),
    )
}

/// Notes of the shards that an earlier run finished, in order, up to the first that is missing.
///
/// # Errors
/// Shards made from something else.
pub(crate) fn finished(folder: &Path, identity: &Identity) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    loop {
        let (shard, note) = paths(folder, notes.len());
        if !note.exists() || !shard.exists() {
            return Ok(notes);
        }
        let note: Note = read_json(
            &note,
            "delete it and run the same `stereoscope collect` again",
        )?;
        if note.identity != *identity {
            return Err(Error::file(
                folder,
                format!(
                    "holds activations that differ in {}; run with the same options to go on, or give --force to throw them away",
                    identity.difference(&note.identity)
                ),
            ));
        }
        let bytes = fs::metadata(&shard)
            .map_err(Error::io("read", &shard))?
            .len();
        if bytes != note.entry.bytes {
            return Ok(notes);
        }
        notes.push(note);
    }
}

impl Collection {
    /// Puts the shards of a finished run together and writes the table of contents.
    pub(crate) fn complete(folder: &Path, identity: Identity, notes: Vec<Note>) -> Result<Self> {
        let mut collection = Self {
            moments: no_moments(identity.hidden_size),
            identity,
            sequences: 0,
            tokens: 0,
            truncated: 0,
            empty: 0,
            shards: Vec::new(),
            folder: folder.to_path_buf(),
        };
        for note in notes {
            for (all, part) in collection.moments.iter_mut().zip(&note.moments) {
                all.merge(part)?;
            }
            collection.sequences += note.entry.sequences;
            collection.tokens += note.entry.tokens;
            collection.truncated += note.entry.truncated;
            collection.empty += note.entry.empty;
            collection.shards.push(note.entry);
        }
        write_json(&folder.join(CONTENTS), &collection)?;
        Ok(collection)
    }

    /// The study's collection; `None` when nothing was collected, or a run was not finished.
    ///
    /// # Errors
    /// A table of contents that cannot be read, shards that are missing or have another length.
    pub(crate) fn open(study: &Path) -> Result<Option<Self>> {
        let folder = folder(study);
        let contents = folder.join(CONTENTS);
        if !contents.exists() {
            return Ok(None);
        }
        let mut collection: Self =
            read_json(&contents, "delete it and run `stereoscope collect` again")?;
        if collection.identity.format != FORMAT {
            return Err(Error::file(
                &contents,
                format!(
                    "has format {}, this program reads {FORMAT}; run `stereoscope collect` with --force",
                    collection.identity.format
                ),
            ));
        }
        for entry in &collection.shards {
            let path = folder.join(&entry.file);
            if !path.exists() {
                return Err(Error::file(
                    &path,
                    "the shard is missing; run the same `stereoscope collect` again, which makes what is not there",
                ));
            }
            let found = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
            if found != entry.bytes {
                return Err(Error::file(
                    &path,
                    format!(
                        "expected {} bytes, found {found}: the shard is truncated; delete it and run the same `stereoscope collect` again",
                        entry.bytes
                    ),
                ));
            }
        }
        collection.folder = folder;
        Ok(Some(collection))
    }

    /// The study's collection.
    ///
    /// # Errors
    /// Also when there is none.
    pub(crate) fn required(study: &Path) -> Result<Self> {
        Self::open(study)?.ok_or_else(|| {
            Error::Mismatch(format!(
                "{} has no complete activations; run `stereoscope collect {} --corpus FILE --tokens N` first",
                study.display(),
                study.display()
            ))
        })
    }

    /// Removes the table of contents, so that a collection in the making is not taken for a finished one.
    pub(crate) fn reopen(folder: &Path) -> Result<()> {
        let contents = folder.join(CONTENTS);
        if contents.exists() {
            fs::remove_file(&contents).map_err(Error::io("delete", &contents))?;
        }
        Ok(())
    }

    /// Where a shard is.
    pub(crate) fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&entry.file)
    }

    /// Reads and checks one shard, its checksum included.
    pub(crate) fn load(&self, entry: &Entry) -> Result<Shard> {
        let path = self.path(entry);
        let bytes = load(&path)?;
        let found = hexadecimal(&Sha256::digest(&bytes));
        let shard = Shard::read(&path, self.identity.hidden_size, &bytes)?;
        if found != entry.sha256 {
            return Err(Error::file(
                &path,
                format!(
                    "its SHA-256 is {found}, expected {}; delete this shard and run the same `stereoscope collect` again",
                    entry.sha256
                ),
            ));
        }
        Ok(shard)
    }
}
