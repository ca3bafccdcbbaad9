//! Causal effects: which dialogues are run, or why none can be.

use std::collections::BTreeSet;

use api::LatentRow;

use super::checkpoint::{Checkpoint, Pass};
use super::{Context, Step};
use crate::effects::{Dialogues, Inputs, MeasuredEffects, measure as run};
use crate::files::fingerprint;
use crate::{Result, ShardOf};

/// Runs the interventions over this run's share of the dialogues; `None`, with a sentence in `skipped`, where no dialogue has an answer.
/// `rows` hold what earlier steps found.
pub(super) fn measure(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    rows: &[LatentRow],
    skipped: &mut Vec<String>,
) -> Result<Option<MeasuredEffects>> {
    let Some(pair) = &context.pair else {
        return Ok(None);
    };
    let options = &context.options.effects;
    let dialogues = match (&options.dialogues, &context.collection) {
        (Some(file), _) => Dialogues::file(file, &pair.tokenizer, options.most, pair.context())?,
        (None, Some(collection)) => {
            Dialogues::collected(collection, &pair.tokenizer, options.most)?
        }
        (None, None) => return Ok(None),
    };
    if dialogues.is_empty() {
        let sentence = "skipped effects: no collected sequence is whole and has an answer; collect conversations, or name a file of them with --dialogues";
        context.progress.say(sentence);
        skipped.push(sentence.into());
        return Ok(None);
    }
    let Some(models) = context.models()? else {
        return Ok(None);
    };
    let more = (fingerprint(&rows), dialogues.hash());
    let checkpoint = Checkpoint::of(context, steps, Pass::Effects, &more);
    let inputs = Inputs {
        models: &models,
        layer: pair.layer,
        crosscoder: &context.crosscoder,
        rows,
        dialogues: &dialogues,
        share: context.options.shard.unwrap_or(ShardOf::ALL),
    };
    run(&inputs, options, checkpoint, context.progress).map(Some)
}
