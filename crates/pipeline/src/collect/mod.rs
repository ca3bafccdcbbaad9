//! `collect`: both models' residuals at the study's layer, over a corpus, into shards.

mod plan;
mod run;
mod space;

use std::fmt;
use std::fs;
use std::path::PathBuf;

use api::TokenKind;
use candle_core::{DType, Tensor};
use gemma::Model;
use serde::Serialize;
use store::manifest::Manifest;

#[cfg(test)]
pub(crate) use self::plan::Piece;
pub(crate) use self::plan::Plan;
use self::run::Run;
use crate::collection::{Collection, Corpus, Identity, finished, folder};
use crate::corpus::{Documents, Source};
use crate::files::checksum;
use crate::memory::Memory;
use crate::shard::Precision;
use crate::study::Pair;
use crate::{DeviceChoice, Error, Progress, Result, ShardOf};

/// Bytes of a shard's activations unless its number of tokens is given.
const SHARD_BYTES: u64 = 256 << 20;

/// What `collect` needs.
#[derive(Clone, Debug)]
pub struct CollectOptions {
    /// Folder of the study.
    pub study: PathBuf,
    /// Corpora, each a file, or `FILE#FIELD` for the field or column that holds the documents. `.jsonl`, `.ndjson` and `.json` hold one
    /// document per line, `.parquet` one per row, any other file is plain text whose documents are separated by blank lines.
    pub corpora: Vec<PathBuf>,
    /// Weight of each corpus in the division of `tokens`. Without any, corpora are read one after the other, each once, up to the
    /// bound.
    pub shares: Vec<u32>,
    /// Upper bound on tokens; whole documents only.
    pub tokens: u64,
    /// Longest sequence, the models' maximum if that is smaller; longer documents are cut.
    pub context: usize,
    /// Tokens at the beginning of every sequence that the models read but that are not stored: the constant prefix of some chat
    /// templates. 0 keeps BOS.
    pub skip_first: usize,
    /// Number format of the shards.
    pub precision: Precision,
    /// Tokens after which a shard is closed; by default as many as fit 256 MiB.
    pub shard_tokens: Option<u64>,
    /// The part of the work that this process does, if not all; the rest is for others, and [`merge`](crate::merge) puts all together.
    pub shard: Option<ShardOf>,
    /// Where the models run.
    pub device: DeviceChoice,
    /// Bytes of the host's memory to plan with; what is free by default.
    pub memory: Option<u64>,
    /// Throws away activations that were collected with other options.
    pub force: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            study: PathBuf::new(),
            corpora: Vec::new(),
            shares: Vec::new(),
            tokens: 1_000_000,
            context: 1024,
            skip_first: 0,
            precision: Precision::F32,
            shard_tokens: None,
            shard: None,
            device: DeviceChoice::Auto,
            memory: None,
            force: false,
        }
    }
}

/// What `collect` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectSummary {
    /// Folder of the shards.
    pub folder: PathBuf,
    /// The part of the work that was this process's.
    pub shard: ShardOf,
    /// Tokens of all workers, BOS included.
    pub tokens: u64,
    /// Sequences, one per document.
    pub sequences: u64,
    /// Sequences cut at the context.
    pub truncated: u64,
    /// Documents that leave nothing to store: without content, or no longer than what is skipped.
    pub empty: u64,
    /// Shards in all.
    pub shards: usize,
    /// Shards of this worker that were finished before.
    pub resumed: usize,
    /// Shards that this worker made.
    pub made: usize,
    /// Commands that come next.
    pub next: Vec<String>,
}

impl fmt::Display for CollectSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shard == ShardOf::ALL {
            write!(f, "collected ")?;
        } else {
            write!(
                f,
                "worker {} made {} shards, {} were there before; in all ",
                self.shard, self.made, self.resumed
            )?;
        }
        writeln!(
            f,
            "{} tokens in {} sequences ({} cut, {} empty documents left out), {} shards in {}",
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

/// Runs both models over the corpora and writes their residuals after the study's layer. A run that was ended goes on with the shards
/// that are missing; they are the same as without the interruption, and as any number of workers makes them.
///
/// # Errors
/// Models, corpora or earlier shards that are missing, broken or do not fit; a disk that is full, or too small for what is asked for.
pub fn collect(options: &CollectOptions, progress: &dyn Progress) -> Result<CollectSummary> {
    let study = &options.study;
    let manifest = Manifest::read(study)?;
    let pair = Pair::of(study, &manifest)?;
    let sources: Vec<Source> = options
        .corpora
        .iter()
        .map(|path| Source::of(path))
        .collect();
    let identity = identify(options, &pair, &sources)?;
    let folder = folder(study);
    let shard = options.shard.unwrap_or(ShardOf::ALL);
    if options.force && folder.exists() {
        if shard.count > 1 {
            return Err(Error::Mismatch(format!(
                "--force would throw away what other workers make; delete {} once and run the workers without it",
                folder.display()
            )));
        }
        fs::remove_dir_all(&folder).map_err(Error::io("delete", &folder))?;
    }
    fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let plan = Plan::find(&folder, &identity, &sources, &pair.tokenizer, progress)?;
    let notes = finished(&folder, &identity, plan.shards.len())?;
    let own = |number: usize| shard.has(number);
    let resumed = notes.keys().filter(|number| own(**number)).count();
    let made = (0..plan.shards.len()).filter(|n| own(*n)).count() - resumed;
    let done: u64 = notes.values().map(|note| note.entry.tokens).sum();
    space::announce(&folder, &plan, done, progress)?;
    if made > 0 {
        Collection::reopen(&folder)?;
        let device = options.device.open()?;
        let mut memory = Memory::on(&device);
        memory.lower_halves(&pair, identity.context);
        let largest = plan.shards.iter().map(|piece| piece.tokens).max();
        memory.activations(largest.unwrap_or_default(), pair.width());
        memory.announce(options.memory, progress)?;
        let models = pair.load(&device, progress)?;
        let tokens = |wanted: &dyn Fn(usize) -> bool| -> u64 {
            let pieces = plan.shards.iter().enumerate();
            pieces
                .filter(|(n, _)| wanted(*n))
                .map(|(_, p)| p.tokens)
                .sum()
        };
        let done = tokens(&|n| own(n) && notes.contains_key(&n));
        progress.start("collect", "tokens", tokens(&own));
        progress.advance(done);
        Run {
            models: &models,
            tokenizer: &pair.tokenizer,
            plan: &plan,
            folder: &folder,
            progress,
            done,
        }
        .shards(&sources, |n| own(n) && !notes.contains_key(&n))?;
        progress.finish();
    }
    let shown = study.display();
    let mut summary = CollectSummary {
        shard,
        tokens: plan.tokens(),
        sequences: plan.sequences(),
        truncated: plan.truncated,
        empty: plan.empty,
        shards: plan.shards.len(),
        resumed,
        made,
        folder,
        next: vec![format!(
            "stereoscope merge {shown}  (once every worker has ended)"
        )],
    };
    if shard == ShardOf::ALL {
        crate::merge::collection(study, plan)?;
        summary.next = vec![
            format!("stereoscope train {shown} --slug SLUG --kind batchtopk"),
            format!("stereoscope analyse {shown} --dictionary SLUG"),
        ];
    }
    Ok(summary)
}

fn identify(options: &CollectOptions, pair: &Pair, sources: &[Source]) -> Result<Identity> {
    let context = options.context.min(pair.context());
    let row = 2 * pair.width() as u64 * options.precision.bytes();
    let shard_tokens = options.shard_tokens.unwrap_or(SHARD_BYTES / row.max(1));
    for (name, value, least) in [
        ("--tokens", options.tokens, 2),
        ("--context", context as u64, 2 + options.skip_first as u64),
        ("the number of tokens of a shard", shard_tokens, 1),
    ] {
        if value < least {
            return Err(Error::Mismatch(format!(
                "{name} is {value}, expected at least {least}"
            )));
        }
    }
    if sources.is_empty() {
        return Err(Error::Mismatch(
            "no corpus given; name one or more files with --corpus".into(),
        ));
    }
    check_shares(options)?;
    let corpora = (0..)
        .zip(sources)
        .map(|(number, source)| {
            // Also refuses formats that cannot be read, before anything is run.
            Documents::open(source)?;
            let path = &source.path;
            Ok(Corpus {
                name: source.name(),
                field: source.field.clone(),
                share: options.shares.get::<usize>(number).copied(),
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
        skip_first: options.skip_first,
        precision: options.precision,
        tokens: options.tokens,
        shard_tokens,
        corpora,
    })
}

fn check_shares(options: &CollectOptions) -> Result<()> {
    let (shares, corpora) = (&options.shares, options.corpora.len());
    if !shares.is_empty() && shares.len() != corpora {
        return Err(Error::Mismatch(format!(
            "--shares has {} numbers for {corpora} corpora; give one for each",
            shares.len()
        )));
    }
    if shares.contains(&0) {
        return Err(Error::Mismatch(
            "--shares has a 0; leave that corpus out instead".into(),
        ));
    }
    Ok(())
}

/// Residuals [T, 2, D] of both models after block `layer`: only the lower halves run.
pub(crate) fn paired(models: &[Model; 2], layer: usize, ids: &[u32]) -> Result<Vec<f32>> {
    let lower = |model: &Model| model.lower(ids, layer, &mut model.cache(ids.len()));
    let [base, chat] = models;
    stacked([&lower(base)?, &lower(chat)?])
}

/// Both models' residuals [T, D] side by side, [T, 2, D].
fn stacked(residuals: [&Tensor; 2]) -> Result<Vec<f32>> {
    let [base, chat] = residuals.map(|residual| residual.to_dtype(DType::F32));
    Ok(Tensor::stack(&[base?, chat?], 1)?
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
