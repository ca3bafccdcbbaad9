//! Which dialogues are run: sequences of the collection that have an answer, held-out ones first, or those of a file.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use gemma::Tokenizer;
use serde_json::Value;

use super::scopes::{Scored, scored};
use crate::batches::is_held_out;
use crate::collection::Collection;
use crate::corpus::{Content, Documents, Source};
use crate::files::fingerprint;
use crate::train::VALIDATION;
use crate::{Error, Result};

/// Longest dialogue of a file, in tokens; longer ones are cut, as when collecting.
const CONTEXT: usize = 1024;
/// Bytes at the start of a safetensors file that hold the length of its header, which is JSON.
const HEADER_LENGTH: u64 = 8;

/// A sequence with at least one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialogue {
    pub(super) ids: Vec<u32>,
    pub(super) kinds: Vec<gemma::TokenKind>,
    pub(super) scored: Vec<Scored>,
    /// Where it is from, for messages.
    place: String,
}

/// The dialogues to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialogues {
    pub(super) all: Vec<Dialogue>,
    /// Where they are from, in words.
    pub(super) source: String,
}

impl Dialogue {
    /// `None` for a sequence without an answer.
    fn new(tokenizer: &Tokenizer, ids: &[u32], place: String) -> Option<Self> {
        let kinds = tokenizer.kinds(ids);
        let scored = scored(&tokenizer.roles(ids), &kinds);
        (!scored.is_empty()).then(|| Self {
            ids: ids.to_vec(),
            kinds,
            scored,
            place,
        })
    }

    /// Where it is from.
    pub(super) fn place(&self) -> &str {
        &self.place
    }
}

impl Dialogues {
    /// The first `most` sequences of the collection with an answer, those that training by default holds out before the others.
    ///
    /// None of a collection without the beginnings of its sequences: the models would read them without their first tokens.
    ///
    /// Only token ids are read: residuals are computed anew, because both models have to run on every dialogue anyway, and stored ones
    /// may be rounded.
    pub(crate) fn collected(
        collection: &Collection,
        tokenizer: &Tokenizer,
        most: usize,
    ) -> Result<Self> {
        let (mut held_out, mut others) = (Vec::new(), Vec::new());
        let most = if collection.identity.skip_first > 0 {
            0
        } else {
            most
        };
        let mut number = 0u64;
        'shards: for entry in &collection.shards {
            let tokens = tokens(&collection.path(entry), entry.tokens)?;
            let mut rest = tokens.as_slice();
            for &length in &entry.lengths {
                let (ids, after) = rest.split_at(rest.len().min(length as usize));
                rest = after;
                let held = is_held_out(number, VALIDATION);
                let list = if held { &mut held_out } else { &mut others };
                if list.len() < most {
                    let place = format!("sequence {number} of the collection");
                    list.extend(Dialogue::new(tokenizer, ids, place));
                }
                number += 1;
                if held_out.len() >= most {
                    break 'shards;
                }
            }
        }
        let held = held_out.len();
        others.truncate(most.saturating_sub(held));
        let trained = others.len();
        let source = match (held, trained) {
            (_, 0) => format!("{held} dialogues of the collection, all held out from training"),
            (0, _) => {
                format!(
                    "{trained} dialogues of the collection, none of them held out from training"
                )
            }
            _ => format!(
                "{} dialogues of the collection: {held} held out from training, {trained} trained on",
                held + trained
            ),
        };
        held_out.extend(others);
        Ok(Self {
            all: held_out,
            source,
        })
    }

    /// The first `most` conversations of a corpus (JSON lines or Parquet, `FILE#FIELD` for another field) that have an answer.
    pub(crate) fn file(
        path: &Path,
        tokenizer: &Tokenizer,
        most: usize,
        context: usize,
    ) -> Result<Self> {
        let mut all = Vec::new();
        let corpus = Source::of(path);
        let mut documents = Documents::open(&corpus)?;
        while all.len() < most {
            let Some(document) = documents.next().transpose()? else {
                break;
            };
            let Content::Messages(messages) = document.content else {
                return Err(Error::Mismatch(format!(
                    "{}: it is a text; --dialogues takes conversations, {{\"messages\": [{{\"role\", \"content\"}}, …]}}",
                    document.place
                )));
            };
            if messages.is_empty() {
                continue;
            }
            let mut ids = tokenizer
                .encode_messages(&messages, false)
                .map_err(|error| Error::Mismatch(format!("{}: {error}", document.place)))?;
            ids.truncate(context.min(CONTEXT));
            all.extend(Dialogue::new(tokenizer, &ids, document.place));
        }
        if all.is_empty() {
            return Err(Error::file(
                path,
                "no conversation in it has an answer; give conversations that end with the assistant's turn",
            ));
        }
        Ok(Self {
            source: format!("{} dialogues of {}", all.len(), corpus.name()),
            all,
        })
    }

    /// Tells these dialogues from others.
    pub(crate) fn hash(&self) -> String {
        let ids: Vec<&[u32]> = self.all.iter().map(|d| d.ids.as_slice()).collect();
        fingerprint(&(&self.source, ids))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Token ids of a shard that has `count`, without reading its activations.
fn tokens(path: &Path, count: u64) -> Result<Vec<u32>> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut read = |from: u64, bytes: u64| -> Result<Vec<u8>> {
        let mut found = Vec::new();
        file.seek(SeekFrom::Start(from))
            .and_then(|_| file.by_ref().take(bytes).read_to_end(&mut found))
            .map_err(Error::io("read", path))?;
        Ok(found)
    };
    let length = read(0, HEADER_LENGTH)?;
    let length = length
        .first_chunk()
        .map_or(0, |&word| u64::from_le_bytes(word));
    let header: Value = serde_json::from_slice(&read(HEADER_LENGTH, length)?).unwrap_or_default();
    let tensor = &header["tokens"];
    let from = tensor["data_offsets"][0].as_u64().unwrap_or_default();
    let bytes = read(HEADER_LENGTH + length + from, 4 * count)?;
    let words = bytes.as_chunks::<4>().0;
    if tensor["dtype"] != "U32" || words.len() as u64 != count {
        return Err(Error::file(
            path,
            format!(
                "damaged shard: expected the ids of {count} tokens; delete this shard and run the same `stereoscope collect` again"
            ),
        ));
    }
    Ok(words.iter().map(|&word| u32::from_le_bytes(word)).collect())
}
