//! Runs both models over the documents of a shard.

use std::path::Path;

use api::TokenKind;
use gemma::{Model, Tokenizer};
use half::f16;
use rayon::prelude::*;

use super::plan::{Encoded, Piece, Plan, encode};
use crate::collection::{Identity, no_moments, write_shard};
use crate::corpus::{Document, Documents, Source};
use crate::shard::{Precision, Shard};
use crate::{Error, Progress, Result};

/// Documents of a shard that are tokenised and run together.
const TOGETHER: usize = 64;

/// Makes shards of a plan.
pub(super) struct Run<'a> {
    pub(super) models: &'a [Model; 2],
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) plan: &'a Plan,
    pub(super) folder: &'a Path,
    pub(super) progress: &'a dyn Progress,
    /// Tokens of shards that are done.
    pub(super) done: u64,
}

impl Run<'_> {
    /// Makes the shards that `wanted` names, in their order.
    pub(super) fn shards(
        &mut self,
        sources: &[Source],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<()> {
        for (corpus, source) in sources.iter().enumerate() {
            let mut documents = None;
            let mut read = 0;
            let pieces = self.plan.shards.iter().enumerate();
            for (number, piece) in pieces.filter(|(_, piece)| piece.corpus == corpus) {
                if !wanted(number) {
                    continue;
                }
                let documents = match &mut documents {
                    Some(documents) => documents,
                    None => documents.insert(Documents::open(source)?),
                };
                documents.pass(piece.first - read)?;
                read = piece.first + piece.documents;
                self.shard(number, piece, documents)?;
            }
        }
        Ok(())
    }

    fn shard(&mut self, number: usize, piece: &Piece, documents: &mut Documents) -> Result<()> {
        let identity = &self.plan.identity;
        let mut shard = Shard::default();
        let mut moments = no_moments(identity.hidden_size);
        let mut left = piece.documents as usize;
        while left > 0 {
            let batch: Vec<Document> = documents
                .by_ref()
                .take(left.min(TOGETHER))
                .collect::<Result<_>>()?;
            if batch.is_empty() {
                break;
            }
            left -= batch.len();
            let batch: Vec<Encoded> = batch
                .into_par_iter()
                .map(|document| encode(self.tokenizer, identity, document))
                .collect::<Result<_>>()?;
            let stored: Vec<Encoded> = batch
                .into_iter()
                .filter(|encoded| encoded.stored(identity) > 0)
                .collect();
            let rows = residuals(self.models, identity, &stored)?;
            for (encoded, rows) in stored.into_iter().zip(rows) {
                for (row, model) in rows.chunks_exact(identity.hidden_size).zip((0..2).cycle()) {
                    if let Some(moments) = moments.get_mut(model) {
                        moments.add(row)?;
                    }
                }
                self.push(&mut shard, encoded, &rows);
            }
            self.progress.advance(self.done + shard.tokens.len() as u64);
        }
        if (shard.len() as u64, shard.tokens.len() as u64) != (piece.sequences, piece.tokens) {
            return Err(Error::Mismatch(format!(
                "shard {number} has {} tokens, but {} were counted before: the corpus changed meanwhile; run `stereoscope collect` with --force",
                shard.tokens.len(),
                piece.tokens
            )));
        }
        write_shard(self.folder, number, piece.corpus, &shard, identity, moments)?;
        self.done += piece.tokens;
        Ok(())
    }

    fn push(&self, shard: &mut Shard, encoded: Encoded, rows: &[f32]) {
        let skip = self.plan.identity.skip_first;
        let behind = |count: usize| skip.min(count)..count;
        let kinds: Vec<TokenKind> = self
            .tokenizer
            .kinds(&encoded.ids)
            .into_iter()
            .map(super::wire_kind)
            .collect();
        let roles = self.tokenizer.roles(&encoded.ids);
        let stored = behind(encoded.ids.len());
        shard.push(
            encoded.ids.get(stored.clone()).unwrap_or_default(),
            kinds.get(stored.clone()).unwrap_or_default(),
            roles.get(stored).unwrap_or_default(),
            rows,
            encoded.document.origin,
        );
    }
}

/// Both models' residuals after the layer at the tokens that are stored, [T, 2, D] for each document. Only documents of one shard run
/// together, so that the numbers do not depend on who makes which shard.
fn residuals(
    models: &[Model; 2],
    identity: &Identity,
    documents: &[Encoded],
) -> Result<Vec<Vec<f32>>> {
    let sequences: Vec<&[u32]> = documents.iter().map(|d| d.ids.as_slice()).collect();
    let [base, chat] = models;
    let base = base.lower_many(&sequences, identity.layer)?;
    let chat = chat.lower_many(&sequences, identity.layer)?;
    let pairs = documents.iter().zip(base.iter().zip(&chat));
    pairs
        .map(|(document, (base, chat))| {
            let mut rows = super::stacked([base, chat])?;
            check(models, identity, document, &rows)?;
            rows.drain(..identity.skip_first * 2 * identity.hidden_size);
            Ok(rows)
        })
        .collect()
}

/// Refuses residuals [T, 2, D] that cannot be stored.
fn check(models: &[Model; 2], identity: &Identity, encoded: &Encoded, rows: &[f32]) -> Result<()> {
    if let Some(model) = broken_model(rows, identity) {
        return Err(not_finite(models, identity, encoded, model));
    }
    if identity.precision == Precision::F16
        && let Some(index) = rows.iter().position(|x| f16::from_f32(*x).is_infinite())
    {
        return Err(Error::Mismatch(format!(
            "{}: a residual at token {} is too large for f16; collect in bf16 or f32",
            encoded.document.place,
            index / (2 * identity.hidden_size)
        )));
    }
    Ok(())
}

/// The model of the first number that is NaN or infinite.
fn broken_model(rows: &[f32], identity: &Identity) -> Option<&'static str> {
    let index = rows.iter().position(|x| !x.is_finite())?;
    let width = identity.hidden_size;
    Some(if index % (2 * width) < width {
        "base"
    } else {
        "chat"
    })
}

/// Names the token that makes a model's residuals NaN or infinite. Attention carries a later token's NaN to earlier ones, times a
/// weight of 0, so the shortest beginning of the document that is not sound tells.
fn not_finite(
    models: &[Model; 2],
    identity: &Identity,
    encoded: &Encoded,
    mut model: &'static str,
) -> Error {
    let (mut sound, mut broken) = (0, encoded.ids.len());
    while broken - sound > 1 {
        let middle = usize::midpoint(sound, broken);
        let ids = encoded.ids.get(..middle).unwrap_or_default();
        let rows = match super::paired(models, identity.layer, ids) {
            Ok(rows) => rows,
            Err(error) => return error,
        };
        match broken_model(&rows, identity) {
            None => sound = middle,
            Some(found) => (broken, model) = (middle, found),
        }
    }
    Error::Mismatch(format!(
        "{}: the {model} model's residual at token {} is NaN or infinite; check that checkpoint's weights",
        encoded.document.place,
        broken - 1
    ))
}
