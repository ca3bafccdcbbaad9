//! How well one number tells two groups apart.

/// Area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.
/// `None` if a group is empty or a score is NaN.
pub fn auroc(positives: &[f32], negatives: &[f32]) -> Option<f64> {
    if positives.is_empty() || negatives.is_empty() {
        return None;
    }
    let mut scores: Vec<(f32, bool)> = positives
        .iter()
        .map(|&s| (s, true))
        .chain(negatives.iter().map(|&s| (s, false)))
        .collect();
    if scores.iter().any(|(s, _)| s.is_nan()) {
        return None;
    }
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0.0f64, 0.0f64);
    for ties in scores.chunk_by(|a, b| a.0 == b.0) {
        let positive = ties.iter().filter(|(_, p)| *p).count() as f64;
        let negative = ties.len() as f64 - positive;
        wins += positive * (below + 0.5 * negative);
        below += negative;
    }
    Some(wins / (positives.len() as f64 * negatives.len() as f64))
}
