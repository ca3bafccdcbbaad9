//! Puts what was found out into the study's database.

use std::collections::BTreeSet;
use std::path::Path;

use api::{ScalingFit, TrainingSummary};
use store::{Store, Writer};

use super::findings::{Findings, Known};
use super::second::Second;
use super::{
    AnalyseOptions, AnalyseSummary, Context, ScaledLatents, Step, correlated, examples, lens,
    matches, neighbours, parts, scaling, scan,
};
use crate::Result;
use crate::files::read_json;
use crate::train::{SUMMARY, curves};

/// Writes the dictionary's rows: those of the steps, and what earlier steps found out about the same.
pub(super) fn write(
    context: &Context<'_>,
    steps: &BTreeSet<Step>,
    findings: Findings,
    mut skipped: Vec<String>,
) -> Result<AnalyseSummary> {
    let options = context.options;
    let database = context.database();
    let earlier = context.earlier.as_ref();
    let sums = findings.sums.unwrap_or_default();
    let Known { rows, fits, scaled } = Known::of(context, Some(&sums))?;
    let effects = findings
        .effects
        .map(|measured| measured.summary(&rows, &options.effects))
        .transpose()?;
    let mut next = Vec::new();
    let matched = if steps.contains(&Step::Matches) {
        Some(matches::matches(context, steps, &mut skipped)?)
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
    if let Some(fits) = fits {
        write_fits(options, &fits, &writer)?;
        writer.set_scaling(sums.tokens, &scaled)?;
    }
    if let Some(sums) = &sums.baselines {
        writer.set_baselines(scaling::baseline_rows(context, sums)?)?;
        writer.set_meta("baselines_seed", &options.seed.to_string())?;
    }
    if steps.contains(&Step::Neighbours) {
        writer.set_neighbours(neighbours::nearest(context)?)?;
        writer.set_twins(neighbours::twins(context, &rows)?)?;
    }
    if let Some(matched) = matched {
        writer.set_matches(&matched)?;
    }
    if steps.contains(&Step::LogitLens) {
        writer.set_lenses(lens::lenses(context, &mut tokens)?)?;
    }
    let mut partners = findings.partners;
    if let Some(gathered) = findings.gathered {
        if let Some(correlated) = gathered.correlated {
            partners = correlated.partners(context)?;
            if partners.is_none() {
                next.push(parts::command(options, &[Step::Correlated]));
            }
        }
        if let Some(chosen) = gathered.chosen {
            examples::write(context, chosen, &writer, &mut tokens)?;
        }
    }
    if let Some(partners) = partners {
        writer.set_correlated(partners)?;
    }
    if let Some(second) = &findings.second {
        write_second(options, second, &writer)?;
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
    if steps.contains(&Step::Correlated) && next.is_empty() {
        correlated::forget_pairs(context)?;
    }

    next.push(format!("stereoscope serve {}", options.study.display()));
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
        next,
    })
}

fn write_fits(
    options: &AnalyseOptions,
    fits: &[(u32, Vec<ScalingFit>)],
    writer: &Writer,
) -> Result<()> {
    if options.scaled == ScaledLatents::All {
        writer.set_scaling_fits(fits.iter().cloned())?;
    } else {
        writer.amend_scaling_fits(fits)?;
    }
    let jump = options.jump_threshold.unwrap_or(0.0);
    Ok(writer.set_meta("scaling_jump_threshold", &jump.to_string())?)
}

fn write_second(options: &AnalyseOptions, second: &Second, writer: &Writer) -> Result<()> {
    if let Some(sums) = &second.verification {
        if let ScaledLatents::Ids(_) = options.scaled {
            writer.amend_verification(&sums.buckets().collect::<Vec<_>>())?;
        } else {
            writer.set_verification(sums.buckets())?;
        }
    }
    if let Some(sums) = &second.joint {
        writer.set_joints(sums.histograms())?;
    }
    Ok(())
}

fn training(folder: &Path) -> Result<Option<TrainingSummary>> {
    let path = folder.join(SUMMARY);
    if !path.exists() {
        return Ok(None);
    }
    read_json(&path, "delete it, or train the dictionary anew").map(Some)
}
