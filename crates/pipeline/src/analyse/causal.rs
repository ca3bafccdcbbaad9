//! Causal effects: which dialogues are run, or why none can be.

use api::LatentRow;

use super::Context;
use crate::Result;
use crate::effects::{Dialogues, EffectsSummary, Inputs, effects};

/// Runs the interventions over the dialogues; `None`, with a sentence in `skipped`, where no dialogue has an answer. `rows` hold what
/// earlier steps found.
pub(super) fn run(
    context: &Context<'_>,
    rows: &[LatentRow],
    skipped: &mut Vec<String>,
) -> Result<Option<EffectsSummary>> {
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
    let inputs = Inputs {
        models: &models,
        layer: pair.layer,
        crosscoder: &context.crosscoder,
        rows,
        dialogues: &dialogues,
    };
    effects(&inputs, options, context.progress).map(Some)
}
