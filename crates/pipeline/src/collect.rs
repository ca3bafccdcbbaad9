//! `collect`: both models' residuals at the study's layer, over a corpus, into shards.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use api::TokenKind;
use diffing::Moments;
use gemma::{Model, Tokenizer};
use rayon::prelude::*;
use serde::Serialize;
use store::manifest::Manifest;

use crate::collection::{
    Collection, Corpus, Entry, Identity, Note, finished, folder, no_moments, paths,
};
use crate::corpus::{Content, Document, Documents, Origin};
use crate::files::{checksum, write_json};
use crate::shard::{Precision, Shard};
use crate::study::Pair;
use crate::{DeviceChoice, Error, Progress, Result};

/// Bytes of a shard's activations unless its number of tokens is given.
const SHARD_BYTES: u64 = 256 << 20;
/// Documents that are tokenised and run side by side.
const TOGETHER: usize = 64;

/// What `collect` needs.
#[derive(Clone, Debug)]
pub struct CollectOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Corpora, read one after the other, each once. `.jsonl`, `.ndjson` and `.json` hold one document per line, any other file is plain
    /// text whose documents are separated by blank lines.
    pub corpora: Vec<PathBuf>,
    /// Upper bound on tokens; whole documents only.
    pub tokens: u64,
    /// Longest sequence, the models' maximum if that is smaller; longer documents are cut.
    pub context: usize,
    /// Number format of the shards.
    pub precision: Precision,
    /// Tokens after which a shard is closed; by default as many as fit 256 MiB.
    pub shard_tokens: Option<u64>,
    /// Where the models run.
    pub device: DeviceChoice,
    /// Throws away activations that were collected with other options.
    pub force: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            study: PathBuf::new(),
            corpora: Vec::new(),
            tokens: 1_000_000,
            context: 1024,
            precision: Precision::F32,
            shard_tokens: None,
            device: DeviceChoice::Auto,
            force: false,
        }
    }
}

/// What `collect` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectSummary {
    /// Folder of the shards.
    pub folder: PathBuf,
    /// Tokens, BOS included.
    pub tokens: u64,
    /// Sequences, one per document.
    pub sequences: u64,
    /// Sequences cut at the context.
    pub truncated: u64,
    /// Documents without content, left out.
    pub empty: u64,
    /// Shards in all.
    pub shards: usize,
    /// Shards that an earlier run had finished.
    pub resumed: usize,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for CollectSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "collected {} tokens in {} sequences ({} cut, {} empty documents left out), {} shards in {}",
            self.tokens,
            self.sequences,
            self.truncated,
            self.empty,
            self.shards,
            self.folder.display()
        )?;
        crate::write_next(f, &self.next)
    }
}

/// Runs both models over the corpora and writes their residuals after the study's layer. A run that was ended goes on after its last
/// finished shard; the shards are the same as without the interruption.
///
/// # Errors
/// Models, corpora or earlier shards that are missing, broken or do not fit; a disk that is full.
pub fn collect(options: &CollectOptions, progress: &dyn Progress) -> Result<CollectSummary> {
    let study = &options.study;
    let manifest = Manifest::read(study)?;
    let pair = Pair::of(study, &manifest)?;
    let identity = identify(options, &pair)?;
    let row = 2 * pair.width() as u64 * options.precision.bytes();
    progress.say(&format!(
        "{} tokens of 2 × {} numbers need at most {} in {}",
        options.tokens,
        pair.width(),
        bytes(options.tokens * row),
        folder(study).display()
    ));
    let folder = folder(study);
    if options.force && folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::io("delete", &folder))?;
    }
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let mut notes = finished(&folder, &identity)?;
    let resumed = notes.len();
    let complete = Collection::open(study).ok().flatten();
    let collection = match complete {
        Some(collection)
            if resumed > 0
                && collection.shards.len() == resumed
                && collection.identity == identity =>
        {
            collection
        }
        _ => {
            Collection::reopen(&folder)?;
            let models = pair.load(&options.device.open()?, progress)?;
            let mut run = Run {
                models: &models,
                tokenizer: &pair.tokenizer,
                identity: &identity,
                folder: &folder,
                shard: Shard::default(),
                moments: no_moments(pair.width()),
                corpus: 0,
                documents: notes.last().map_or(0, |note| note.entry.documents),
                tokens: notes.iter().map(|note| note.entry.tokens).sum(),
                truncated: 0,
                empty: 0,
                notes: &mut notes,
            };
            run.read(&options.corpora, progress)?;
            Collection::complete(&folder, identity, notes)?
        }
    };
    if collection.tokens == 0 {
        return Err(Error::Mismatch(format!(
            "no document of the corpus fits into --tokens {}; give a larger bound or another corpus",
            options.tokens
        )));
    }
    let names: Vec<String> = collection
        .identity
        .corpora
        .iter()
        .map(|corpus| corpus.name.clone())
        .collect();
    if manifest.corpora != names {
        let mut manifest = manifest;
        manifest.corpora = names;
        manifest.write(study)?;
    }
    let shown = study.display();
    Ok(CollectSummary {
        folder,
        tokens: collection.tokens,
        sequences: collection.sequences,
        truncated: collection.truncated,
        empty: collection.empty,
        shards: collection.shards.len(),
        resumed,
        next: vec![
            format!("stereoscope train {shown} --slug SLUG --kind batchtopk"),
            format!("stereoscope analyse {shown} --dictionary SLUG"),
        ],
    })
}

fn identify(options: &CollectOptions, pair: &Pair) -> Result<Identity> {
    let context = options.context.min(pair.context());
    let row = 2 * pair.width() as u64 * options.precision.bytes();
    let shard_tokens = options.shard_tokens.unwrap_or(SHARD_BYTES / row.max(1));
    for (name, value, least) in [
        ("--tokens", options.tokens, 2),
        ("--context", context as u64, 2),
        ("shard_tokens", shard_tokens, 1),
    ] {
        if value < least {
            return Err(Error::Mismatch(format!(
                "{name} is {value}, expected at least {least}"
            )));
        }
    }
    if options.corpora.is_empty() {
        return Err(Error::Mismatch(
            "no corpus given; name one or more files with --corpus".into(),
        ));
    }
    let corpora = options
        .corpora
        .iter()
        .map(|path| {
            // Also refuses formats that cannot be read, before anything is run.
            Documents::open(path)?;
            Ok(Corpus {
                name: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                bytes: fs::metadata(path).map_err(Error::io("read", path))?.len(),
                sha256: checksum(path)?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Identity {
        format: Identity::FORMAT,
        models: [pair.base.hash(), pair.chat.hash()],
        hidden_size: pair.width(),
        layer: pair.layer,
        context,
        precision: options.precision,
        tokens: options.tokens,
        shard_tokens,
        corpora,
    })
}

struct Run<'a> {
    models: &'a [Model; 2],
    tokenizer: &'a Tokenizer,
    identity: &'a Identity,
    folder: &'a Path,
    /// The shard in the making.
    shard: Shard,
    moments: [Moments; 2],
    /// The corpus being read.
    corpus: usize,
    /// Documents read so far, over all corpora.
    documents: u64,
    tokens: u64,
    truncated: u64,
    empty: u64,
    notes: &'a mut Vec<Note>,
}

/// A document as ids.
struct Encoded {
    ids: Vec<u32>,
    truncated: bool,
    origin: Origin,
    place: String,
}

impl Run<'_> {
    fn read(&mut self, corpora: &[PathBuf], progress: &dyn Progress) -> Result<()> {
        progress.start("collect", "tokens", self.identity.tokens);
        progress.advance(self.tokens);
        let mut skip = self.documents;
        let mut full = false;
        for (corpus, path) in corpora.iter().enumerate() {
            self.corpus = corpus;
            let mut documents = Documents::open(path)?;
            loop {
                let batch: Vec<Document> =
                    documents.by_ref().take(TOGETHER).collect::<Result<_>>()?;
                if batch.is_empty() {
                    break;
                }
                let known = skip.min(batch.len() as u64);
                skip -= known;
                let fresh: Vec<Document> = batch.into_iter().skip(known as usize).collect();
                full = self.batch(fresh, progress)?;
                if full {
                    break;
                }
            }
            // A shard holds one corpus only.
            self.close()?;
            if full {
                break;
            }
        }
        progress.finish();
        if full {
            return Ok(());
        }
        progress.say(&format!(
            "the corpus ended after {} tokens, before the {} asked for",
            self.tokens, self.identity.tokens
        ));
        Ok(())
    }

    /// Runs documents and appends them in order; true once the next would go over the bound.
    fn batch(&mut self, documents: Vec<Document>, progress: &dyn Progress) -> Result<bool> {
        let (tokenizer, identity) = (self.tokenizer, self.identity);
        let encoded: Vec<Encoded> = documents
            .into_par_iter()
            .map(|document| encode(tokenizer, identity.context, document))
            .collect::<Result<_>>()?;
        let mut tokens = self.tokens;
        let fitting: Vec<Encoded> = encoded
            .into_iter()
            .map_while(|document| {
                if document.ids.len() > 1 {
                    tokens += document.ids.len() as u64;
                }
                (tokens <= identity.tokens).then_some(document)
            })
            .collect();
        let full = tokens > identity.tokens;
        let models = self.models;
        let rows: Vec<Vec<f32>> = fitting
            .par_iter()
            .map(|document| residuals(models, identity, document))
            .collect::<Result<_>>()?;
        for (document, rows) in fitting.into_iter().zip(rows) {
            self.append(document, &rows)?;
            progress.advance(self.tokens);
        }
        Ok(full)
    }

    fn append(&mut self, document: Encoded, rows: &[f32]) -> Result<()> {
        self.documents += 1;
        if rows.is_empty() {
            self.empty += 1;
            return Ok(());
        }
        let kinds: Vec<TokenKind> = self
            .tokenizer
            .kinds(&document.ids)
            .into_iter()
            .map(wire_kind)
            .collect();
        let roles = self.tokenizer.roles(&document.ids);
        let rows_of_models = rows.chunks_exact(self.identity.hidden_size);
        for (number, row) in rows_of_models.enumerate() {
            if let Some(moments) = self.moments.get_mut(number % 2) {
                moments.add(row)?;
            }
        }
        self.tokens += document.ids.len() as u64;
        self.truncated += u64::from(document.truncated);
        self.shard
            .push(&document.ids, &kinds, &roles, rows, document.origin);
        if self.shard.tokens.len() as u64 >= self.identity.shard_tokens {
            self.close()?;
        }
        Ok(())
    }

    /// Writes the shard in the making, then its note: a shard without a note is not finished.
    fn close(&mut self) -> Result<()> {
        if self.shard.len() == 0 {
            return Ok(());
        }
        let (path, note_path) = paths(self.folder, self.notes.len());
        let width = self.identity.hidden_size;
        self.shard.write(&path, width, self.identity.precision)?;
        let note = Note {
            identity: self.identity.clone(),
            entry: Entry {
                file: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                corpus: self.corpus,
                bytes: fs::metadata(&path).map_err(Error::io("read", &path))?.len(),
                sha256: checksum(&path)?,
                sequences: self.shard.len() as u64,
                tokens: self.shard.tokens.len() as u64,
                lengths: self.shard.lengths().map(|length| length as u32).collect(),
                documents: self.documents,
                truncated: self.truncated,
                empty: self.empty,
            },
            moments: std::mem::replace(&mut self.moments, no_moments(width)),
        };
        write_json(&note_path, &note)?;
        // The same numbers as a resumed run would read.
        self.notes
            .push(crate::files::read_json(&note_path, "delete it")?);
        self.shard = Shard::default();
        (self.truncated, self.empty) = (0, 0);
        Ok(())
    }
}

fn encode(tokenizer: &Tokenizer, context: usize, document: Document) -> Result<Encoded> {
    let encoded = match &document.content {
        Content::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
        Content::Text(text) => tokenizer.encode_text(text),
        Content::Messages(messages) => {
            let messages: Vec<gemma::Message> = messages
                .iter()
                .map(|message| gemma::Message {
                    role: message.role.clone(),
                    content: message.content.clone(),
                })
                .collect();
            tokenizer.encode_messages(&messages, false)
        }
    };
    let mut ids =
        encoded.map_err(|error| Error::Mismatch(format!("{}: {error}", document.place)))?;
    let truncated = ids.len() > context;
    ids.truncate(context);
    Ok(Encoded {
        ids,
        truncated,
        origin: document.origin,
        place: document.place,
    })
}

/// Both models' residuals after the layer, [T, 2, D]; nothing for a document of BOS alone.
fn residuals(models: &[Model; 2], identity: &Identity, document: &Encoded) -> Result<Vec<f32>> {
    let ids = &document.ids;
    if ids.len() < 2 {
        return Ok(Vec::new());
    }
    let rows = paired(models, identity.layer, ids)?;
    if let Some(index) = rows.iter().position(|x| !x.is_finite()) {
        let row = 2 * identity.hidden_size;
        let model = if index % row < identity.hidden_size {
            "base"
        } else {
            "chat"
        };
        return Err(Error::Mismatch(format!(
            "{}: the {model} model's residual at token {} is NaN or infinite; check that checkpoint's weights",
            document.place,
            index / row
        )));
    }
    Ok(rows)
}

/// Residuals [T, 2, D] of both models after block `layer`: only the lower halves run.
pub(crate) fn paired(models: &[Model; 2], layer: usize, ids: &[u32]) -> Result<Vec<f32>> {
    let mut lower = Vec::with_capacity(2);
    for model in models {
        let mut cache = model.cache(ids.len());
        let residual = model.lower(ids, layer, &mut cache)?;
        lower.push(residual.to_dtype(candle_core::DType::F32)?);
    }
    Ok(candle_core::Tensor::stack(&lower, 1)?
        .flatten_all()?
        .to_vec1()?)
}

pub(crate) fn wire_kind(kind: gemma::TokenKind) -> TokenKind {
    match kind {
        gemma::TokenKind::Bos => TokenKind::Bos,
        gemma::TokenKind::Template => TokenKind::Template,
        gemma::TokenKind::Content => TokenKind::Content,
    }
}

/// A size for a person.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (count as f64 / 1000.0, "kB");
    for name in UNITS {
        unit = name;
        if value < 1000.0 {
            break;
        }
        if name != "TB" {
            value /= 1000.0;
        }
    }
    format!("{value:.1} {unit}")
}
