//! Examples by quantile of a latent's maximum, in one pass over the collected sequences.

use std::collections::{BTreeMap, BTreeSet};

use api::{ExampleGroup, LatentRow};
use candle_core::Tensor;
use diffing::QuantileSampler;
use store::{ExampleRecord, GroupRecord, SequenceRecord, Writer};

use super::{Context, chunk_tokens};
use crate::Result;
use crate::collection::Collection;
use crate::shard::Sequence;

/// Examples of a latent in all, where it fires on that many sequences, however few a group may hold.
const LEAST: usize = 20;

/// Chooses and writes the examples; adds the tokens of their sequences to `tokens`.
pub(super) fn write(
    context: &Context<'_>,
    rows: &[LatentRow],
    writer: &Writer,
    tokens: &mut BTreeSet<u32>,
) -> Result<()> {
    let Some(collection) = &context.collection else {
        return Ok(());
    };
    let (sampler, mut sequences) = sample(context, collection, rows)?;
    let mut groups = Vec::new();
    let mut examples = Vec::new();
    let mut used = BTreeSet::new();
    for row in rows {
        let chosen = sampler.choice(row.id, context.options.examples_per_group, LEAST);
        for (group, kept) in chosen.into_iter().enumerate().rev() {
            let in_band = sampler.sequences(row.id, group);
            if in_band == 0 {
                continue;
            }
            let (from, to) = sampler.bounds(row.id, group);
            groups.push(GroupRecord {
                latent: row.id,
                group: ExampleGroup {
                    group: group as u32,
                    from,
                    to,
                    examples: kept.len() as u64,
                    sequences: in_band,
                },
            });
            for example in kept {
                used.insert(example.sequence);
                examples.push((row.id, group as u32, example));
            }
        }
    }
    sequences.retain(|number, _| used.contains(number));
    let sequences: Vec<SequenceRecord> = sequences.into_values().collect();
    for sequence in &sequences {
        tokens.extend(&sequence.tokens);
    }
    let examples = examples.into_iter().map(|(latent, group, example)| {
        let (positions, values) = example.activations.iter().copied().unzip();
        ExampleRecord {
            latent,
            group,
            sequence: example.sequence,
            max: example.max,
            positions,
            values,
        }
    });
    writer.set_examples(&sequences, examples, groups)?;
    Ok(())
}

/// Offers every sequence to the sampler; gives the sequences' tokens as well, by number.
fn sample(
    context: &Context<'_>,
    collection: &Collection,
    rows: &[LatentRow],
) -> Result<(QuantileSampler, BTreeMap<u64, SequenceRecord>)> {
    let options = context.options;
    let crosscoder = &context.crosscoder;
    let maxima = rows
        .iter()
        .map(|row| row.max_activation.unwrap_or(0.0) as f32)
        .collect();
    let keep = options.examples_per_group.max(LEAST);
    let mut sampler = QuantileSampler::new(maxima, keep, options.seed);
    let mut records = BTreeMap::new();
    let width = crosscoder.activation_dim();
    let most = chunk_tokens(crosscoder.dict_size());
    context
        .progress
        .start("examples", "tokens", collection.tokens);
    let (mut number, mut done) = (0, 0);
    for entry in &collection.shards {
        let shard = collection.load(entry)?;
        let sequences = shard.sequences(width);
        let mut left = sequences.as_slice();
        while !left.is_empty() {
            let (now, later) = left.split_at(fitting(left, most));
            left = later;
            let together: Vec<f32> = now
                .iter()
                .flat_map(|sequence| sequence.activations)
                .copied()
                .collect();
            let count = together.len() / (2 * width).max(1);
            let x = Tensor::from_vec(together, (count, 2, width), &context.device)?;
            let codes = crosscoder.codes(&x)?;
            let mut first = 0;
            for sequence in now {
                let active: Vec<(u32, u32, f32)> = (0..sequence.tokens.len())
                    .flat_map(|t| {
                        codes
                            .token(first + t)
                            .iter()
                            .map(move |a| (a.id, t as u32, a.v))
                    })
                    .collect();
                sampler.offer(number, sequence.tokens, &active)?;
                records.insert(number, record(number, sequence));
                number += 1;
                first += sequence.tokens.len();
            }
            done += count as u64;
            context.progress.advance(done);
        }
    }
    context.progress.finish();
    Ok((sampler, records))
}

/// How many of these sequences are encoded together: as many as fit, at least one.
fn fitting(sequences: &[Sequence<'_>], most: usize) -> usize {
    let mut tokens = 0;
    sequences
        .iter()
        .take_while(|sequence| {
            tokens += sequence.tokens.len();
            tokens <= most
        })
        .count()
        .max(1)
}

fn record(number: u64, sequence: &Sequence<'_>) -> SequenceRecord {
    SequenceRecord {
        sequence: number,
        source: sequence.origin.source.clone(),
        tokens: sequence.tokens.to_vec(),
        kinds: sequence.kinds.to_vec(),
    }
}
