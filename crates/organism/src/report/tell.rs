//! How well latents tell the prompts of a contrast apart.

use std::cmp::Ordering;

use pipeline::{Class, LatentRow, LatentTruth, auroc};
use rayon::prelude::*;

use super::cases::Case;
use super::contrasts::Contrast;

/// AUROC from which a latent carries a concept's name.
const NAMED: f64 = 0.9;

/// Every latent's score on every case.
pub(super) struct Scored<'a> {
    pub(super) cases: &'a [Case],
    /// \[cases\]\[latents\]
    pub(super) scores: &'a [Vec<f32>],
    pub(super) rows: &'a [LatentRow],
}

impl Scored<'_> {
    /// A latent's scores on one half of these cases.
    pub(super) fn values(&self, places: &[usize], validation: bool, latent: u32) -> Vec<f32> {
        let half = places.iter().filter(|&&place| {
            self.cases
                .get(place)
                .is_some_and(|case| case.validation == validation)
        });
        half.filter_map(|&place| self.scores.get(place)?.get(latent as usize).copied())
            .collect()
    }

    /// How many of these cases belong to the reported half.
    pub(super) fn reported(&self, places: &[usize]) -> u64 {
        let half = places
            .iter()
            .filter(|&&place| self.cases.get(place).is_some_and(|case| !case.validation));
        half.count() as u64
    }

    /// Area under the ROC curve of a latent in one half.
    pub(super) fn auroc(&self, contrast: &Contrast, validation: bool, latent: u32) -> Option<f64> {
        auroc(
            &self.values(&contrast.positive, validation, latent),
            &self.values(&contrast.negative, validation, latent),
        )
    }

    /// These latents by their area on the validation half, the largest first, the lowest id among equals.
    pub(super) fn ranked(&self, contrast: &Contrast, latents: &[u32]) -> Vec<(u32, f64)> {
        let mut ranked: Vec<(u32, f64)> = latents
            .par_iter()
            .filter_map(|&latent| Some((latent, self.auroc(contrast, true, latent)?)))
            .collect();
        ranked.sort_by(|one, other| match other.1.total_cmp(&one.1) {
            Ordering::Equal => one.0.cmp(&other.0),
            order => order,
        });
        ranked
    }

    /// The latent with the largest area on the validation half, and what it does on the other.
    pub(super) fn best(
        &self,
        contrast: &Contrast,
        latents: &[u32],
        labels: &[(u32, String)],
    ) -> Option<LatentTruth> {
        let &(latent, auroc_validation) = self.ranked(contrast, latents).first()?;
        let row = self.rows.get(latent as usize)?;
        let half = |places: &[usize], validation| self.values(places, validation, latent);
        let threshold = threshold(
            &half(&contrast.positive, true),
            &half(&contrast.negative, true),
        );
        let reach = |places: &[usize]| {
            half(places, false)
                .into_iter()
                .filter(|score| *score >= threshold)
                .count() as f64
        };
        let (right, wrong) = (reach(&contrast.positive), reach(&contrast.negative));
        Some(LatentTruth {
            latent,
            class: row.class,
            delta_norm: row.delta_norm?,
            auroc_validation,
            auroc: self.auroc(contrast, false, latent)?,
            threshold: f64::from(threshold),
            precision: (right + wrong > 0.0).then(|| right / (right + wrong)),
            recall: right / (self.reported(&contrast.positive).max(1) as f64),
            label: labels
                .iter()
                .find(|(id, _)| *id == latent)
                .map(|(_, label)| label.clone()),
        })
    }

    /// Names for latents: of what a latent tells best on the validation half, where it does so on both halves.
    pub(super) fn labels(&self, contrasts: &[Contrast], latents: &[u32]) -> Vec<(u32, String)> {
        let name = |latent: u32| {
            let mut best: Option<(&Contrast, f64)> = None;
            for contrast in contrasts.iter().filter(|contrast| contrast.names) {
                let validation = self.auroc(contrast, true, latent)?;
                let rest = self.auroc(contrast, false, latent)?;
                if validation.min(rest) >= NAMED && best.is_none_or(|(_, most)| validation > most) {
                    best = Some((contrast, validation));
                }
            }
            best.map(|(contrast, _)| contrast.concept.to_owned())
        };
        latents
            .par_iter()
            .filter_map(|&latent| Some((latent, name(latent)?)))
            .collect()
    }
}

/// Latents that are not dead, and those of them that are chat-only.
pub(super) fn live(rows: &[LatentRow]) -> (Vec<u32>, Vec<u32>) {
    let live = rows.iter().filter(|row| row.dead != Some(true));
    let chat_only = live.clone().filter(|row| row.class == Class::ChatOnly);
    (
        live.map(|row| row.id).collect(),
        chat_only.map(|row| row.id).collect(),
    )
}

/// The score from which prompts count as ones with the concept so that F1 = 2·right / (2·right + wrong + missed) is largest; the highest
/// among equals, and above every score where there are no positives.
fn threshold(positives: &[f32], negatives: &[f32]) -> f32 {
    let marked = |scores: &[f32], is| scores.iter().map(|&score| (score, is)).collect::<Vec<_>>();
    let mut all = [marked(positives, true), marked(negatives, false)].concat();
    all.sort_by(|one, other| other.0.total_cmp(&one.0));
    let (mut right, mut counted) = (0usize, 0usize);
    let mut best = (0.0, f32::INFINITY);
    for group in all.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        right += group.iter().filter(|(_, is)| *is).count();
        counted += group.len();
        let f1 = 2.0 * right as f64 / (counted + positives.len()) as f64;
        if let Some((score, _)) = group.first()
            && f1 > best.0
        {
            best = (f1, *score);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::threshold;

    #[test]
    fn the_threshold_has_the_best_f1() {
        // From 3 on: 2 right, 0 wrong, 1 missed: F1 0.8. From 1 on: 3 right, 1 wrong: 0.857.
        assert_eq!(threshold(&[5.0, 3.0, 1.0], &[2.0, 0.0]), 1.0);
        // One more wrong from 1 on makes it 0.75.
        assert_eq!(threshold(&[5.0, 3.0, 1.0], &[2.0, 1.0, 0.0]), 3.0);
    }

    #[test]
    fn equal_scores_count_together() {
        // From 0 on everything counts: 2 right, 2 wrong, F1 0.667, as good as the one above alone.
        assert_eq!(threshold(&[4.0, 0.0], &[0.0, 0.0]), 4.0);
        assert_eq!(threshold(&[1.0, 1.0], &[1.0]), 1.0);
    }

    #[test]
    fn without_positives_nothing_counts() {
        assert_eq!(threshold(&[], &[1.0, 2.0]), f32::INFINITY);
    }
}
