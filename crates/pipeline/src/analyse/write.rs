//! Puts what was found out into the study's database.

use std::collections::BTreeSet;
use std::path::Path;

use api::TrainingSummary;
use store::{Store, Writer};

use super::scan::Sums;
use super::{
    AnalyseSummary, Context, ScaledLatents, Step, causal, correlated, examples, lens, neighbours,
    scaling, scan, weights,
};
use crate::Result;
use crate::files::read_json;
use crate::train::{SUMMARY, curves};

/// Writes the dictionary's rows: those of the steps, and what earlier steps found out about the same.
pub(super) fn write(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    sums: Option<Sums>,
    mut skipped: Vec<String>,
) -> Result<AnalyseSummary> {
    let options = context.options;
    let database = context.database();
    let mut rows = weights::rows(&context.crosscoder, &context.manifest.classes);
    let earlier = context.earlier.as_ref();
    if let Some(earlier) = earlier {
        weights::carry_over(&mut rows, &earlier.rows);
    }
    let sums = sums.unwrap_or_default();
    let found = match &sums.scaling {
        Some(sums) => Some(scaling::fill(context, &mut rows, sums)?),
        None => None,
    };
    if let Some(statistics) = &sums.statistics {
        scan::fill_statistics(&mut rows, statistics);
    }
    if earlier.is_none_or(|earlier| earlier.scaling.is_none()) {
        let scaled: BTreeSet<u32> = found.iter().flatten().map(|(id, _)| *id).collect();
        for row in rows.iter_mut().filter(|row| !scaled.contains(&row.id)) {
            row.verdict = None;
        }
    }

    let effects = if steps.contains(&Step::Effects) {
        causal::run(context, &rows, &mut skipped)?
    } else {
        None
    };

    let writer = match earlier {
        Some(_) => Writer::amend(&database, &options.dictionary)?,
        None => Writer::replace(&database, &options.dictionary)?,
    };
    for (key, value) in &context.facts {
        writer.set_meta(key, value)?;
    }
    writer.set_meta("skipped", &skipped.join("\n"))?;
    writer.set_meta(
        "command",
        &format!(
            "stereoscope analyse STUDY --dictionary {}",
            options.dictionary
        ),
    )?;
    if let Some(training) = training(&context.folder)? {
        writer.set_training(&training)?;
    }
    if let Some(curves) = curves(&context.folder)? {
        writer.set_curves(&curves)?;
    }
    let mut tokens = BTreeSet::new();
    if let Some(statistics) = &sums.statistics {
        writer.set_histograms(scan::histograms(statistics))?;
        writer.set_shares(&scan::parts(context, statistics), scan::shares(statistics))?;
    }
    if let Some(fits) = found {
        if options.scaled == ScaledLatents::All {
            writer.set_scaling_fits(fits)?;
        } else {
            writer.amend_scaling_fits(&fits)?;
        }
        writer.set_scaling_tokens(sums.tokens)?;
        let jump = options.jump_threshold.unwrap_or(0.0);
        writer.set_meta("scaling_jump_threshold", &jump.to_string())?;
    }
    if let Some(sums) = &sums.baselines {
        writer.set_baselines(scaling::baseline_rows(context, sums)?)?;
        writer.set_meta("baselines_seed", &options.seed.to_string())?;
    }
    if steps.contains(&Step::Neighbours) {
        writer.set_neighbours(neighbours::nearest(context)?)?;
        writer.set_twins(neighbours::twins(context, &rows)?)?;
    }
    if steps.contains(&Step::LogitLens) {
        writer.set_lenses(lens::lenses(context, &mut tokens)?)?;
    }
    if let Some(mut gathered) = examples::gather(context, steps, &rows)? {
        if let Some(sample) = gathered.sample.take() {
            writer.set_correlated(correlated::partners(context, sample)?)?;
        }
        examples::write(context, gathered, &writer, &mut tokens)?;
    }
    if let Some(found) = &effects {
        writer.set_effects(&found.effects)?;
    }
    writer.set_latents(&rows)?;
    if let Some(pair) = &context.pair {
        if let Some(earlier) = earlier {
            tokens.extend(&earlier.tokens);
        }
        let text = |id: u32| (id, pair.tokenizer.text(id));
        writer.set_tokens(tokens.into_iter().map(text))?;
    }
    writer.finish()?;

    let facts =
        Store::open(&database, &context.manifest.classes)?.dictionary(&options.dictionary)?;
    Ok(AnalyseSummary {
        dictionary: options.dictionary.clone(),
        shard: None,
        latents: facts.latents,
        tokens: facts.tokens,
        counts: facts.counts,
        effects,
        skipped,
        next: vec![format!("stereoscope serve {}", options.study.display())],
    })
}

fn training(folder: &Path) -> Result<Option<TrainingSummary>> {
    let path = folder.join(SUMMARY);
    if !path.exists() {
        return Ok(None);
    }
    read_json(&path, "delete it, or train the dictionary anew").map(Some)
}
