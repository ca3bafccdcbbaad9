//! Which documents go into which shard, found by tokenising alone: every worker comes to the same plan.

use std::path::{Path, PathBuf};

use gemma::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::collection::{CONTENTS, Identity, check_format};
use crate::corpus::{Content, Document, Documents, Source};
use crate::files::{read_json, write_json};
use crate::{Error, Progress, Result};

/// Name of a plan inside the folder of activations.
const PLAN: &str = "plan.json";
/// Documents that are tokenised side by side.
const TOGETHER: usize = 512;

/// What a collection will hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) identity: Identity,
    /// Sequences cut at the context.
    pub(crate) truncated: u64,
    /// Documents that leave nothing to store.
    pub(crate) empty: u64,
    pub(crate) shards: Vec<Piece>,
}

/// What a shard will hold: consecutive documents of one corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) corpus: usize,
    /// Number of its first document in the corpus.
    pub(crate) first: u64,
    /// Documents, those that leave nothing included.
    pub(crate) documents: u64,
    pub(crate) sequences: u64,
    pub(crate) tokens: u64,
}

/// A document as ids.
pub(super) struct Encoded {
    /// At most as many as the context; what stays behind the skipped ones is stored.
    pub(super) ids: Vec<u32>,
    pub(super) truncated: bool,
    pub(super) document: Document,
}

impl Encoded {
    /// Tokens that are stored; none of a document of BOS alone.
    pub(super) fn stored(&self, identity: &Identity) -> usize {
        match self.ids.len() {
            0 | 1 => 0,
            length => length.saturating_sub(identity.skip_first),
        }
    }
}

/// Tokenises a document and cuts it at the context.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    identity: &Identity,
    document: Document,
) -> Result<Encoded> {
    let encoded = match &document.content {
        Content::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
        Content::Text(text) => tokenizer.encode_text(text),
        Content::Messages(messages) if messages.is_empty() => Ok(Vec::new()),
        Content::Messages(messages) => tokenizer.encode_messages(messages, false),
    };
    let mut ids =
        encoded.map_err(|error| Error::Mismatch(format!("{}: {error}", document.place)))?;
    let truncated = ids.len() > identity.context;
    ids.truncate(identity.context);
    Ok(Encoded {
        ids,
        truncated,
        document,
    })
}

impl Plan {
    /// Path of the plan in a folder of activations.
    fn path(folder: &Path) -> PathBuf {
        folder.join(PLAN)
    }

    /// The plan of a folder of activations, if one was made.
    ///
    /// # Errors
    /// Activations that another version of this program wrote.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        let path = Self::path(folder);
        for file in [&folder.join(CONTENTS), &path] {
            if file.exists() {
                check_format(file)?;
            }
        }
        if !path.exists() {
            return Ok(None);
        }
        read_json(
            &path,
            "delete it and run the same `stereoscope collect` again",
        )
        .map(Some)
    }

    /// The plan for these corpora: the folder's own, or a new one, which is written there.
    ///
    /// # Errors
    /// Activations of something else in the folder; corpora that cannot be read, or that give nothing.
    pub(super) fn find(
        folder: &Path,
        identity: &Identity,
        sources: &[Source],
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if let Some(plan) = Self::open(folder)? {
            identity.same(&Self::path(folder), &plan.identity)?;
            return Ok(plan);
        }
        let plan = Self::make(identity, sources, tokenizer, progress)?;
        write_json(&Self::path(folder), &plan)?;
        Ok(plan)
    }

    fn make(
        identity: &Identity,
        sources: &[Source],
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Self> {
        progress.start("tokenise", "tokens", identity.tokens);
        let mut plan = Self {
            identity: identity.clone(),
            truncated: 0,
            empty: 0,
            shards: Vec::new(),
        };
        for (corpus, source) in sources.iter().enumerate() {
            let before = plan.tokens();
            let budget = identity
                .budget(corpus)
                .unwrap_or(identity.tokens.saturating_sub(before));
            let ended = plan.read(corpus, source, budget, tokenizer, progress)?;
            let given = plan.tokens() - before;
            let name = source.name();
            if given == 0 && (ended || identity.budget(corpus).is_some()) {
                return Err(Error::Mismatch(format!(
                    "{name} gives no tokens: {}",
                    if ended {
                        "none of its documents leaves any; leave it out"
                    } else {
                        "its first document is longer than its part of --tokens; give a larger bound"
                    }
                )));
            }
            if ended {
                progress.say(&format!(
                    "{name} ended after {given} tokens, before the {budget} that it may give"
                ));
            } else if identity.budget(corpus).is_none() {
                break;
            }
        }
        progress.finish();
        if plan.tokens() == 0 {
            return Err(Error::Mismatch(format!(
                "no document of the corpus fits into --tokens {}; give a larger bound or another corpus",
                identity.tokens
            )));
        }
        Ok(plan)
    }

    /// Divides a corpus up to its budget; whether it ended before.
    fn read(
        &mut self,
        corpus: usize,
        source: &Source,
        budget: u64,
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<bool> {
        let mut documents = Documents::open(source)?;
        let others = self.tokens();
        let mut given = 0;
        let mut piece = Piece {
            corpus,
            ..Piece::default()
        };
        let ended = 'corpus: loop {
            let batch: Vec<Document> = documents.by_ref().take(TOGETHER).collect::<Result<_>>()?;
            if batch.is_empty() {
                break true;
            }
            let encoded: Vec<Encoded> = batch
                .into_par_iter()
                .map(|document| encode(tokenizer, &self.identity, document))
                .collect::<Result<_>>()?;
            for encoded in encoded {
                let stored = encoded.stored(&self.identity) as u64;
                if given + stored > budget {
                    break 'corpus false;
                }
                // Closed by what follows, so that documents which leave nothing belong to the shard before them.
                if stored > 0 && piece.tokens >= self.identity.shard_tokens {
                    let first = piece.first + piece.documents;
                    self.shards.push(piece);
                    piece = Piece {
                        corpus,
                        first,
                        ..Piece::default()
                    };
                }
                given += stored;
                piece.documents += 1;
                piece.tokens += stored;
                piece.sequences += u64::from(stored > 0);
                self.empty += u64::from(stored == 0);
                self.truncated += u64::from(stored > 0 && encoded.truncated);
            }
            progress.advance(others + given);
        };
        if piece.tokens > 0 {
            self.shards.push(piece);
        }
        Ok(ended)
    }

    /// Tokens of all shards.
    pub(crate) fn tokens(&self) -> u64 {
        self.shards.iter().map(|piece| piece.tokens).sum()
    }

    /// Sequences of all shards.
    pub(crate) fn sequences(&self) -> u64 {
        self.shards.iter().map(|piece| piece.sequences).sum()
    }
}
