//! Reads every collected token with its codes, a chunk at a time, and lets several parts gather from a chunk side by side.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use crosscoder::{Active, Codes, Crosscoder};
use diffing::{Decoder, Place, ScalingToken};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::{Checkpoint, Pass};
use super::{Context, Step, reading};
use crate::Result;

/// Most numbers of the dense code that are in memory at once.
const CODE_NUMBERS: usize = 1 << 24;
/// Numbers that the allocator keeps from chunk to chunk; larger blocks come fresh from the system every time.
const KEPT_NUMBERS: usize = 1 << 22;
/// Tokens over which the encoder is read once, whatever that takes up to [`CODE_NUMBERS`].
const FEW_TOKENS: usize = 256;
/// Most tokens encoded at once.
const MOST_TOKENS: usize = 4096;
/// Parts that gather side by side; token t of N in a chunk belongs to part t·PARTS/N. Their number does not follow the machine's, so that sums are the same everywhere.
const PARTS: usize = 8;

/// How many tokens to encode at once with a dictionary of this size.
pub(crate) fn chunk_tokens(latents: usize) -> usize {
    let latents = latents.max(1);
    (KEPT_NUMBERS / latents)
        .max(FEW_TOKENS)
        .min(CODE_NUMBERS / latents)
        .clamp(1, MOST_TOKENS)
}

/// A run of tokens with their codes.
pub(super) struct Chunk<'a> {
    crosscoder: &'a Crosscoder,
    /// What the decoder is compared with, [N, 2, D]; empty unless it is compared.
    inputs: Vec<f32>,
    codes: Codes,
    places: &'a [Place],
}

impl<'a> Chunk<'a> {
    /// Encodes activations [N, 2, D].
    fn encode(
        crosscoder: &'a Crosscoder,
        device: &Device,
        activations: &[f32],
        places: &'a [Place],
        compared: bool,
    ) -> Result<Self> {
        let shape = (places.len(), 2, crosscoder.activation_dim());
        let x = Tensor::from_slice(activations, shape, device)?;
        let codes = crosscoder.codes(&x)?;
        let mut inputs = Vec::new();
        if compared {
            // Latent Scaling compares in the space in which the decoder was trained.
            inputs = crosscoder.normalize(&x)?.flatten_all()?.to_vec1()?;
        }
        Ok(Self {
            crosscoder,
            inputs,
            codes,
            places,
        })
    }

    /// Active latents of token t.
    pub(super) fn active(&self, t: usize) -> &[Active] {
        self.codes.token(t)
    }

    /// What token t is.
    pub(super) fn place(&self, t: usize) -> Option<Place> {
        self.places.get(t).copied()
    }

    /// Residuals and errors of token t in the space of the decoder; `error` is room for the errors, [2, D].
    pub(super) fn compared<'b>(
        &'b self,
        t: usize,
        decoder: &Decoder<'_>,
        error: &'b mut Vec<f32>,
    ) -> Result<ScalingToken<'b>> {
        let dim = self.crosscoder.activation_dim();
        let row = 2 * dim;
        let x = self.inputs.get(t * row..(t + 1) * row).unwrap_or_default();
        error.resize(row, 0.0);
        // Rebuilt here and not for the whole chunk, so that the decoder rows are still at hand for the products.
        self.crosscoder.reconstruct_token(self.active(t), error);
        error.iter_mut().zip(x).for_each(|(e, x)| *e = x - *e);
        Ok(ScalingToken::new(
            models(x, dim),
            models(error, dim),
            decoder,
        )?)
    }
}

/// Rows of base and chat out of [2, D].
fn models(rows: &[f32], dim: usize) -> [&[f32]; 2] {
    let (base, chat) = rows.split_at(dim.min(rows.len()));
    [base, chat]
}

/// What a pass over all tokens of this run is.
pub(super) struct Tokens<'a, M> {
    pub(super) context: &'a Context<'a>,
    pub(super) steps: &'a BTreeSet<Step>,
    pub(super) pass: Pass,
    /// What determines the pass beside the options.
    pub(super) more: &'a M,
    /// Whether tokens are compared with the decoder.
    pub(super) compared: bool,
}

impl<M: Serialize> Tokens<'_, M> {
    /// Reads all tokens; `empty` is a part that has gathered nothing, `add` adds token t of a chunk to one, with room for its errors. Gives
    /// the parts, in order.
    pub(super) fn gather<S: Clone + Send + Serialize + DeserializeOwned>(
        self,
        empty: &S,
        add: impl Fn(&mut S, &Chunk<'_>, usize, &mut Vec<f32>) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let context = self.context;
        let Some(collection) = &context.collection else {
            return Ok(Vec::new());
        };
        let mut checkpoint = Checkpoint::of(context, self.steps, self.pass, self.more);
        let (before, mut parts) = checkpoint
            .load()
            .unwrap_or_else(|| (0, vec![empty.clone(); PARTS]));
        let crosscoder = &context.crosscoder;
        let row = 2 * crosscoder.activation_dim();
        let tokens = chunk_tokens(crosscoder.dict_size());
        let shards = context.shards();
        let total = shards.iter().map(|(entry, _)| entry.tokens).sum();
        context.progress.start(self.pass.as_str(), "tokens", total);
        let mut done = 0;
        for (entry, _) in shards {
            if done + entry.tokens <= before {
                done += entry.tokens;
                continue;
            }
            let shard = collection.load(entry)?;
            let tokens_of = shard.kinds.iter().zip(&shard.roles);
            let places: Vec<Place> = tokens_of
                .map(|(&kind, &role)| Place {
                    corpus: entry.corpus,
                    kind,
                    speaker: reading::speaker(role),
                })
                .collect();
            let chunks = shard.activations.chunks(tokens * row);
            for (activations, places) in chunks.zip(places.chunks(tokens)) {
                done += places.len() as u64;
                if done <= before {
                    continue;
                }
                let chunk = Chunk::encode(
                    crosscoder,
                    &context.device,
                    activations,
                    places,
                    self.compared,
                )?;
                share_out(&chunk, &mut parts, &add)?;
                checkpoint.offer(done, &parts)?;
                context.progress.advance(done);
            }
        }
        context.progress.finish();
        Ok(parts)
    }
}

/// Token t belongs to part t·PARTS/N.
fn share_out<S: Send>(
    chunk: &Chunk<'_>,
    parts: &mut [S],
    add: &(impl Fn(&mut S, &Chunk<'_>, usize, &mut Vec<f32>) -> Result<()> + Sync),
) -> Result<()> {
    let count = chunk.places.len();
    let share = count.div_ceil(parts.len().max(1)).max(1);
    parts.par_iter_mut().enumerate().try_for_each(|(p, part)| {
        let from = (p * share).min(count);
        let mut error = Vec::new();
        (from..(from + share).min(count)).try_for_each(|t| add(part, chunk, t, &mut error))
    })
}
