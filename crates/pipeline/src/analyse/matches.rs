//! The nearest latent of each other dictionary of the study, by cosine of decoder rows in residual space.

use std::collections::BTreeSet;

use candle_core::Tensor;
use crosscoder::Crosscoder;
use rayon::prelude::*;
use store::{MatchRecord, Matched, OtherMatches};

use super::checkpoint::Pass;
use super::largest::largest;
use super::neighbours::cosines;
use super::{Checkpoint, Context, Step};
use crate::Result;
use crate::files::checksum;

/// A dictionary of the study beside the one that is analysed.
struct Other {
    slug: String,
    sha256: String,
    crosscoder: Crosscoder,
}

/// The decoder rows of a dictionary, both models' divided by the length of the two together.
struct Rows {
    /// [latents, D] of the base and of the chat model.
    rows: [Tensor; 2],
    /// By what a chat row has still to be multiplied to have length 1; not a number for a zero row.
    lengths: Vec<f32>,
}

/// Every latent's nearest of the study's other dictionaries. One that cannot be compared is told in `skipped`.
pub(super) fn matches(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    skipped: &mut Vec<String>,
) -> Result<Vec<OtherMatches>> {
    let others = others(context, skipped)?;
    let latents = context.crosscoder.dict_size();
    let named: Vec<_> = others.iter().map(|o| (&o.slug, &o.sha256)).collect();
    let mut checkpoint = Checkpoint::of(context, steps, Pass::Matches, &named);
    let (_, mut records) = checkpoint.load::<Vec<MatchRecord>>().unwrap_or_default();
    let rows = Rows::of(&context.crosscoder, context)?;
    let whole = latents * others.len();
    context.progress.start("matches", "latents", whole as u64);
    for (place, other) in others.iter().enumerate() {
        let done = records.len().saturating_sub(place * latents).min(latents);
        if done == latents {
            continue;
        }
        let right = Rows::of(&other.crosscoder, context)?;
        cosines(
            rows.rows.each_ref(),
            right.rows.each_ref(),
            done,
            |from, [base, chat]| {
                let columns = right.lengths.len();
                let found: Vec<MatchRecord> = base
                    .par_chunks(columns)
                    .zip(chat.par_chunks(columns))
                    .enumerate()
                    .map(|(offset, (base, chat))| {
                        let latent = (from + offset) as u32;
                        let both = base.iter().zip(chat).map(|(base, chat)| base + chat);
                        let alone = chat
                            .iter()
                            .zip(&right.lengths)
                            .map(|(x, length)| x * length);
                        MatchRecord {
                            both: nearest(both, |id| both_cosine(context, other, latent, id)),
                            chat: nearest(alone, |id| chat_cosine(context, other, latent, id)),
                        }
                    })
                    .collect();
                records.extend(found);
                context.progress.advance(records.len() as u64);
                checkpoint.offer(records.len() as u64, &records)
            },
        )?;
    }
    context.progress.finish();
    let mut records = records.into_iter();
    Ok(others
        .into_iter()
        .map(|other| OtherMatches {
            slug: other.slug,
            sha256: other.sha256,
            records: records.by_ref().take(latents).collect(),
        })
        .collect())
}

/// The study's other dictionaries of the same width that are on this machine.
fn others(context: &Context<'_>, skipped: &mut Vec<String>) -> Result<Vec<Other>> {
    let mut others = Vec::new();
    let mine = &context.options.dictionary;
    for dictionary in context
        .manifest
        .dictionaries
        .iter()
        .filter(|d| d.slug != *mine)
    {
        let slug = &dictionary.slug;
        let folder = dictionary.resolve(&context.options.study)?;
        if !folder.exists() {
            skipped.push(format!(
                "skipped matches with {slug}: its folder {} is not there",
                folder.display()
            ));
            continue;
        }
        let crosscoder = Crosscoder::load(&folder, &context.device)?;
        let (width, wanted) = (
            crosscoder.activation_dim(),
            context.crosscoder.activation_dim(),
        );
        if width == wanted {
            others.push(Other {
                slug: slug.clone(),
                sha256: checksum(&folder.join("model.safetensors"))?,
                crosscoder,
            });
        } else {
            skipped.push(format!(
                "skipped matches with {slug}: it has width {width}, {mine} has {wanted}"
            ));
        }
    }
    Ok(others)
}

/// The largest, with its cosine computed anew in f64.
fn nearest(
    cosines: impl Iterator<Item = f32>,
    exact: impl Fn(u32) -> Option<f64>,
) -> Option<Matched> {
    let &(id, _) = largest(cosines, 1, None).first()?;
    exact(id).map(|cosine| Matched { id, cosine })
}

fn chat_cosine(context: &Context<'_>, other: &Other, latent: u32, id: u32) -> Option<f64> {
    let left = context.crosscoder.residual_row(1, latent);
    diffing::cosine(&left, &other.crosscoder.residual_row(1, id))
}

fn both_cosine(context: &Context<'_>, other: &Other, latent: u32, id: u32) -> Option<f64> {
    let left = both_rows(&context.crosscoder, latent);
    diffing::cosine(&left, &both_rows(&other.crosscoder, id))
}

/// The base row with the chat row behind it, [2·D].
fn both_rows(crosscoder: &Crosscoder, latent: u32) -> Vec<f32> {
    let mut rows = crosscoder.residual_row(0, latent);
    rows.extend(crosscoder.residual_row(1, latent));
    rows
}

impl Rows {
    fn of(crosscoder: &Crosscoder, context: &Context<'_>) -> Result<Self> {
        let (latents, width) = (crosscoder.dict_size(), crosscoder.activation_dim());
        let mut rows = [0, 1].map(|_| Vec::with_capacity(latents * width));
        let mut lengths = Vec::with_capacity(latents);
        for id in 0..latents as u32 {
            let both = both_rows(crosscoder, id);
            let norm = diffing::norm(&both);
            let unit: Vec<f32> = both.iter().map(|x| x / norm).collect();
            // A latent whose rows are all zero has nothing but what is no number, and is near to none.
            for (rows, unit) in rows.iter_mut().zip(unit.chunks(width.max(1))) {
                rows.extend_from_slice(unit);
            }
            lengths.push(norm / diffing::norm(&crosscoder.residual_row(1, id)));
        }
        let [base, chat] = rows;
        let tensor = |rows| Tensor::from_vec(rows, (latents, width), &context.device);
        Ok(Self {
            rows: [tensor(base)?, tensor(chat)?],
            lengths,
        })
    }
}
