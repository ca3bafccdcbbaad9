//! Scores of prompts with known truth, and what is written of them into the study.

use std::ops::Range;
use std::path::Path;

use api::{ConceptScore, ConceptTruth, GroundTruth, LatentTruth};
use candle_core::Tensor;
use crosscoder::Crosscoder;
use rayon::prelude::*;
use store::manifest::Manifest;
use store::{Store, Writer};

use crate::analyse::chunk_tokens;
use crate::collect::paired;
use crate::study::{Pair, dictionary};
use crate::{DeviceChoice, Error, Progress, Result};

/// Prompts whose residuals are computed side by side.
const TOGETHER: usize = 64;

/// Largest v of every latent over a span of each prompt: [prompts][latents].
///
/// `prompts` are token ids with BOS; `spans` say which positions count, one range per prompt.
///
/// # Errors
/// A study whose models or dictionary are missing or broken, ids outside the vocabulary, a span that is empty or outside its prompt.
pub fn score_prompts(
    study: &Path,
    slug: &str,
    prompts: &[Vec<u32>],
    spans: &[Range<usize>],
    device: DeviceChoice,
    progress: &dyn Progress,
) -> Result<Vec<Vec<f32>>> {
    if prompts.len() != spans.len() {
        return Err(Error::Mismatch(format!(
            "there are {} prompts and {} spans; give one span per prompt",
            prompts.len(),
            spans.len()
        )));
    }
    for (number, (prompt, span)) in prompts.iter().zip(spans).enumerate() {
        if span.is_empty() || span.end > prompt.len() {
            return Err(Error::Mismatch(format!(
                "prompt {number} has {} tokens, its span is {}..{}; a span is not empty and lies inside its prompt",
                prompt.len(),
                span.start,
                span.end
            )));
        }
    }
    let (manifest, folder) = dictionary(study, slug)?;
    let device = device.open()?;
    let pair = Pair::of(study, &manifest)?;
    let crosscoder = Crosscoder::load(&folder, &device)?;
    pair.check_width(slug, &crosscoder)?;
    let models = pair.load(&device, progress)?;
    progress.start("score", "prompts", prompts.len() as u64);
    let mut scores = Vec::with_capacity(prompts.len());
    for (prompts, spans) in prompts.chunks(TOGETHER).zip(spans.chunks(TOGETHER)) {
        let residuals: Vec<Vec<f32>> = prompts
            .par_iter()
            .map(|ids| paired(&models, pair.layer, ids))
            .collect::<Result<_>>()?;
        for (rows, span) in residuals.iter().zip(spans) {
            scores.push(largest(&crosscoder, rows, span)?);
        }
        progress.advance(scores.len() as u64);
    }
    progress.finish();
    Ok(scores)
}

/// Largest v of every latent over the span of one prompt's residuals [T, 2, D].
fn largest(crosscoder: &Crosscoder, rows: &[f32], span: &Range<usize>) -> Result<Vec<f32>> {
    let (width, latents) = (crosscoder.activation_dim(), crosscoder.dict_size());
    let row = 2 * width;
    let rows = rows
        .get(span.start * row..span.end * row)
        .unwrap_or_default();
    let mut largest = vec![0f32; latents];
    for chunk in rows.chunks(chunk_tokens(latents) * row) {
        let x = Tensor::from_slice(
            chunk,
            (chunk.len() / row.max(1), 2, width),
            crosscoder.device(),
        )?;
        for active in crosscoder.codes(&x)?.all() {
            if let Some(most) = largest.get_mut(active.id as usize) {
                *most = most.max(active.v);
            }
        }
    }
    Ok(largest)
}

/// Writes ground truth, the scores of its latents and labels computed from them beside an analysed dictionary's rows.
///
/// # Errors
/// A dictionary that is not analysed, a latent that does not exist, a database that cannot be written.
pub fn write_truth(study: &Path, truth: &GroundTruth, labels: &[(u32, String)]) -> Result<()> {
    let slug = &truth.dictionary;
    let latents = open_store(study)?.rows(slug)?.len();
    let scores: Vec<ConceptScore> = truth.concepts.iter().flat_map(concept_scores).collect();
    let named = scores.iter().map(|score| score.latent);
    if let Some(id) = named
        .chain(labels.iter().map(|label| label.0))
        .find(|&id| id as usize >= latents)
    {
        return Err(Error::Store(store::Error::UnknownLatent {
            dictionary: slug.clone(),
            id: u64::from(id),
            latents,
        }));
    }
    let writer = Writer::amend(&study.join(store::DATABASE), slug)?;
    writer.set_concepts(&scores)?;
    writer.set_labels(labels)?;
    writer.set_truth(truth)?;
    writer.finish()?;
    Ok(())
}

/// The best latents of a concept as the pages of latents show them, each once.
fn concept_scores(truth: &ConceptTruth) -> Vec<ConceptScore> {
    let mut best: Vec<&LatentTruth> = truth.above_cut.iter().chain(&truth.any_class).collect();
    best.dedup_by_key(|best| best.latent);
    let score = |best: &LatentTruth| ConceptScore {
        concept: truth.concept.clone(),
        against: truth.against.clone(),
        latent: best.latent,
        class: best.class,
        delta_norm: best.delta_norm,
        auroc: best.auroc,
        positives: truth.positives,
        negatives: truth.negatives,
    };
    best.into_iter().map(score).collect()
}

/// The ground truth of a dictionary, if its study holds any.
///
/// # Errors
/// No such dictionary, or a damaged database.
pub fn read_truth(study: &Path, slug: &str) -> Result<Option<GroundTruth>> {
    match open_store(study)?.truth(slug) {
        Ok(truth) => Ok(Some(truth)),
        Err(store::Error::NoTruth { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens a study's database, by the cuts of its manifest.
///
/// # Errors
/// No study, or nothing analysed yet.
pub fn open_store(study: &Path) -> Result<Store> {
    let manifest = Manifest::read(study)?;
    let path = study.join(store::DATABASE);
    if !path.exists() {
        return Err(Error::Mismatch(format!(
            "{} is not there; run `stereoscope analyse {} --dictionary SLUG` first",
            path.display(),
            study.display()
        )));
    }
    Ok(Store::open(&path, &manifest.classes)?)
}
