//! Examples by quantile of a latent's maximum, statistics of the chat template, and what tells which latents fire together: one pass over the collected sequences.

use std::collections::{BTreeMap, BTreeSet};

use api::{ExampleGroup, LatentRow};
use diffing::{QuantileSampler, Speaker, TemplateGroup, TemplateStatistics};
use serde::{Deserialize, Serialize};
use store::{ExampleRecord, GroupRecord, SequenceRecord, Writer};

use super::checkpoint::Pass;
use super::correlated::Correlated;
use super::reading::{self, Reading};
use super::{Context, Step};
use crate::Result;
use crate::files::fingerprint;

/// Examples of a latent in all, where it fires on that many distinct texts, however few a group may hold.
const LEAST: usize = 20;
/// Sequences whose tokens are kept before those that no example refers to are dropped.
const ROOM: usize = 1 << 14;

/// What the pass gathers, as far as the steps ask for it; mergeable.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Gathered {
    pub(super) chosen: Option<Chosen>,
    pub(super) correlated: Option<Correlated>,
}

/// Examples and what goes with them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Chosen {
    sampler: QuantileSampler,
    template: TemplateStatistics,
    /// Sequences by number; all that examples refer to are among them.
    sequences: BTreeMap<u64, SequenceRecord>,
    /// So many sequences, and the others are dropped.
    room: usize,
}

/// Reads the sequences; `None` if the steps ask for nothing of this. `rows` hold the maxima over all activations.
pub(super) fn gather(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    rows: &[LatentRow],
) -> Result<Option<Gathered>> {
    let mut gathered = Gathered {
        chosen: steps
            .contains(&Step::Examples)
            .then(|| Chosen::new(context, rows)),
        correlated: steps
            .contains(&Step::Correlated)
            .then(|| Correlated::new(context)),
    };
    if gathered.chosen.is_none() && gathered.correlated.is_none() {
        return Ok(None);
    }
    let more = (
        fingerprint(&rows),
        gathered.correlated.as_ref().map(Correlated::stage),
    );
    reading::each(
        context,
        steps,
        Pass::Examples,
        &more,
        &mut gathered,
        Gathered::add,
    )?;
    if let Some(correlated) = gathered.correlated.take() {
        gathered.correlated = Some(correlated.completed(context, steps)?);
    }
    if let Some(chosen) = &mut gathered.chosen {
        chosen.drop_unused();
    }
    Ok(Some(gathered))
}

impl Gathered {
    /// Adds a sequence.
    fn add(&mut self, sequence: &Reading<'_>) -> Result<()> {
        if let Some(correlated) = &mut self.correlated {
            correlated.add(sequence)?;
        }
        match &mut self.chosen {
            Some(chosen) => chosen.offer(sequence),
            None => Ok(()),
        }
    }

    /// Adds another share, which must be of the same steps.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        if let (Some(here), Some(there)) = (&mut self.correlated, other.correlated) {
            here.merge(there)?;
        }
        match (&mut self.chosen, other.chosen) {
            (Some(here), Some(there)) => here.merge(there),
            _ => Ok(()),
        }
    }
}

impl Chosen {
    fn new(context: &Context<'_>, rows: &[LatentRow]) -> Self {
        let options = context.options;
        let maxima: Vec<f32> = rows
            .iter()
            .map(|row| row.max_activation.unwrap_or(0.0) as f32)
            .collect();
        let keep = options.examples_per_group.max(LEAST);
        Self {
            sampler: QuantileSampler::new(maxima.clone(), keep, options.seed),
            template: TemplateStatistics::new(maxima),
            sequences: BTreeMap::new(),
            room: ROOM,
        }
    }

    fn offer(&mut self, reading: &Reading<'_>) -> Result<()> {
        let (sequence, active) = (reading.sequence, reading.active());
        let speakers: Vec<Speaker> = sequence
            .roles
            .iter()
            .copied()
            .map(reading::speaker)
            .collect();
        self.sampler
            .offer(reading.number, sequence.tokens, &active)?;
        self.template
            .add_sequence(sequence.kinds, &speakers, &active)?;
        self.sequences.insert(
            reading.number,
            SequenceRecord {
                sequence: reading.number,
                source: sequence.origin.source.clone(),
                tokens: sequence.tokens.to_vec(),
                kinds: sequence.kinds.to_vec(),
            },
        );
        if self.sequences.len() > self.room {
            self.drop_unused();
        }
        Ok(())
    }

    /// Drops the sequences that no example refers to.
    fn drop_unused(&mut self) {
        let kept = self.sampler.kept();
        self.sequences.retain(|number, _| kept.contains(number));
        self.room = ROOM.max(2 * self.sequences.len());
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.sampler.merge(other.sampler)?;
        self.template.merge(&other.template)?;
        self.sequences.extend(other.sequences);
        self.drop_unused();
        Ok(())
    }
}

/// Writes the examples; adds the tokens of their sequences to `tokens`.
pub(super) fn write(
    context: &Context<'_>,
    chosen: Chosen,
    writer: &Writer,
    tokens: &mut BTreeSet<u32>,
) -> Result<()> {
    let Some(collection) = &context.collection else {
        return Ok(());
    };
    let Chosen {
        sampler,
        template,
        mut sequences,
        ..
    } = chosen;
    let latents = context.crosscoder.dict_size() as u32;
    let mut groups = Vec::new();
    let mut examples = Vec::new();
    let mut used = BTreeSet::new();
    for latent in 0..latents {
        let chosen = sampler.choice(latent, context.options.examples_per_group, LEAST);
        for (group, kept) in chosen.into_iter().enumerate().rev() {
            let in_band = sampler.sequences(latent, group);
            if in_band == 0 {
                continue;
            }
            let (from, to) = sampler.bounds(latent, group);
            groups.push(GroupRecord {
                latent,
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
                examples.push((latent, group as u32, example));
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
            positions,
            values,
        }
    });
    writer.set_examples(&collection.identity.hash(), &sequences, examples, groups)?;
    let tokens = TemplateGroup::all().map(|group| (group.name(), template.tokens(group)));
    let sums = (0..latents).filter_map(|latent| Some((latent, template.latent(latent)?)));
    writer.set_template(tokens, sums)?;
    Ok(())
}
