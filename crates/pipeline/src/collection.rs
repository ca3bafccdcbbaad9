//! The folder of collected activations: which shards there are, what they were made from, and their statistics.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use diffing::Moments;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::collect::Plan;
use crate::files::{checksum, fingerprint, hexadecimal, read_json, write_json, write_whole};
use crate::shard::{Precision, Shard, load};
use crate::{Error, Result};

/// Folder inside a study.
const FOLDER: &str = "activations";
/// Its table of contents; there once every shard is.
pub(crate) const CONTENTS: &str = "manifest.json";
/// Version of shards and contents.
const FORMAT: u32 = 2;
/// Hexadecimal digits of a shard's SHA-256 in its name.
const NAMED_DIGITS: usize = 16;

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
    /// Tokens at the beginning of every sequence that are not stored.
    pub(crate) skip_first: usize,
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
    /// The field or column that holds the documents, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// Its weight in the division of the tokens; without one, corpora are read one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<u32>,
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
}

/// The finished collection of a study.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Collection {
    pub(crate) identity: Identity,
    pub(crate) sequences: u64,
    pub(crate) tokens: u64,
    /// Sequences cut at the context.
    pub(crate) truncated: u64,
    /// Documents that leave nothing to store.
    pub(crate) empty: u64,
    /// Running statistics of both models' rows in f64: count, mean and sum of squared deviations.
    pub(crate) moments: [Moments; 2],
    pub(crate) shards: Vec<Entry>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Identity {
    pub(crate) const FORMAT: u32 = FORMAT;

    /// Most tokens that a corpus may give, where the tokens are divided.
    pub(crate) fn budget(&self, corpus: usize) -> Option<u64> {
        let share = |corpus: &Corpus| corpus.share.map(u128::from);
        let all: u128 = self.corpora.iter().filter_map(share).sum();
        let own = share(self.corpora.get(corpus)?)?;
        Some((u128::from(self.tokens) * own / all.max(1)) as u64)
    }

    /// Bytes that `tokens` need on disk, but for headers.
    pub(crate) fn bytes(&self, tokens: u64) -> u64 {
        // Beside the residuals an id, a kind and a role.
        tokens * (2 * self.hidden_size as u64 * self.precision.bytes() + 6)
    }

    /// Names the data in the study and in training checkpoints.
    pub(crate) fn hash(&self) -> String {
        fingerprint(self)
    }

    /// Refuses what the file at `path` says that its activations were made from, unless it is this.
    pub(crate) fn same(&self, path: &Path, found: &Self) -> Result<()> {
        if self == found {
            return Ok(());
        }
        Err(Error::file(
            path,
            format!(
                "belongs to activations that differ in {}; run with the same options to go on, or `stereoscope collect` with --force to \
                 throw them away",
                self.difference(found)
            ),
        ))
    }

    /// How this differs from what is on disk, for a message.
    fn difference(&self, found: &Self) -> String {
        let parts = [
            ("the models", self.models != found.models),
            ("the layer", self.layer != found.layer),
            ("--context", self.context != found.context),
            ("--skip-first", self.skip_first != found.skip_first),
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

/// Refuses a table of contents or a plan that another version of this program wrote.
pub(crate) fn check_format(path: &Path) -> Result<()> {
    let contents: Value = read_json(path, "delete it and run `stereoscope collect` again")?;
    let format = &contents["identity"]["format"];
    if *format == FORMAT {
        return Ok(());
    }
    Err(Error::file(
        path,
        format!(
            "has format {format}, this program reads {FORMAT}; run `stereoscope collect` with --force"
        ),
    ))
}

/// Path of the activations of a study.
pub(crate) fn folder(study: &Path) -> PathBuf {
    study.join(FOLDER)
}

/// Path of the note of shard `number`.
fn note_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("shard-{number:05}.json"))
}

/// Name of shard `number` with content of this SHA-256.
fn shard_name(number: usize, sha256: &str) -> String {
    format!(
        "shard-{number:05}-{}.safetensors",
        sha256.get(..NAMED_DIGITS).unwrap_or(sha256)
    )
}

/// Writes a shard, then its note: a shard without a note is not finished. A file that has this content already stays as it is.
pub(crate) fn write_shard(
    folder: &Path,
    number: usize,
    corpus: usize,
    shard: &Shard,
    identity: &Identity,
    moments: [Moments; 2],
) -> Result<()> {
    let bytes = shard.to_bytes(identity.hidden_size, identity.precision)?;
    let sha256 = hexadecimal(&Sha256::digest(&bytes));
    let file = shard_name(number, &sha256);
    let path = folder.join(&file);
    if checksum(&path).ok().as_ref() != Some(&sha256) {
        write_whole(&path, |out| out.write_all(&bytes))?;
    }
    let note = Note {
        identity: identity.clone(),
        entry: Entry {
            file,
            corpus,
            bytes: bytes.len() as u64,
            sha256,
            sequences: shard.len() as u64,
            tokens: shard.tokens.len() as u64,
            lengths: shard.lengths().map(|length| length as u32).collect(),
        },
        moments,
    };
    write_json(&note_path(folder, number), &note)
}

/// Notes of the shards among the first `count` that are finished, whoever made them.
///
/// # Errors
/// Shards made from something else.
pub(crate) fn finished(
    folder: &Path,
    identity: &Identity,
    count: usize,
) -> Result<BTreeMap<usize, Note>> {
    let mut notes = BTreeMap::new();
    for number in 0..count {
        let path = note_path(folder, number);
        if !path.exists() {
            continue;
        }
        let note: Note = read_json(
            &path,
            "delete it and run the same `stereoscope collect` again",
        )?;
        identity.same(&path, &note.identity)?;
        let found = fs::metadata(folder.join(&note.entry.file));
        if found.is_ok_and(|facts| facts.len() == note.entry.bytes) {
            notes.insert(number, note);
        }
    }
    Ok(notes)
}

impl Collection {
    /// Puts the shards of a plan together and writes the table of contents. It depends on the plan alone, not on who made which
    /// shard, nor when.
    ///
    /// # Errors
    /// Shards that are missing or made from something else.
    pub(crate) fn merge(folder: &Path, plan: Plan) -> Result<Self> {
        let mut notes = finished(folder, &plan.identity, plan.shards.len())?;
        let missing: Vec<String> = (0..plan.shards.len())
            .filter(|number| !notes.contains_key(number))
            .map(|number| number.to_string())
            .collect();
        if !missing.is_empty() {
            return Err(Error::file(
                folder,
                format!(
                    "{} of {} shards are missing or cut short (number {}); run `stereoscope collect` again for the workers that make them",
                    missing.len(),
                    plan.shards.len(),
                    missing.join(", ")
                ),
            ));
        }
        let mut collection = Self {
            moments: no_moments(plan.identity.hidden_size),
            sequences: plan.sequences(),
            tokens: plan.tokens(),
            truncated: plan.truncated,
            empty: plan.empty,
            identity: plan.identity,
            shards: Vec::new(),
            folder: folder.to_path_buf(),
        };
        while let Some((_, note)) = notes.pop_first() {
            for (all, part) in collection.moments.iter_mut().zip(&note.moments) {
                all.merge(part)?;
            }
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
        check_format(&contents)?;
        let mut collection: Self =
            read_json(&contents, "delete it and run `stereoscope collect` again")?;
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
