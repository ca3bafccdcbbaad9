//! Divergence between next-token distributions.

/// Largest logit and the logarithm of the sum of exponentials, both in f64.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum();
    largest + sum.ln()
}

/// Natural logarithms of the softmax of logits, in f64.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let total = log_sum_exp(logits);
    logits.iter().map(|&z| f64::from(z) - total).collect()
}

/// KL(P ‖ Q) = Σ p·(log p − log q) in nats, of the distributions that two rows of logits give, in f64.
/// NaN if the rows differ in length or hold NaN; never below 0.
pub fn kl(p_logits: &[f32], q_logits: &[f32]) -> f64 {
    let total = log_sum_exp(p_logits);
    let terms = p_logits.iter().map(|&z| {
        let log_p = f64::from(z) - total;
        (log_p.exp(), log_p)
    });
    divergence(terms, &Prediction::new(q_logits))
}

/// Sum over (p, log p) of a reference distribution.
fn divergence(terms: impl ExactSizeIterator<Item = (f64, f64)>, q: &Prediction<'_>) -> f64 {
    if terms.len() != q.logits.len() {
        return f64::NAN;
    }
    let sum: f64 = terms
        .zip(q.logits)
        .map(|((p, log_p), &z)| {
            if p == 0.0 {
                0.0
            } else {
                p * (log_p - (f64::from(z) - q.total))
            }
        })
        .sum();
    if sum < 0.0 { 0.0 } else { sum }
}

/// A row of logits with the logarithm of its normaliser, found once for several questions.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    logits: &'a [f32],
    total: f64,
}

impl<'a> Prediction<'a> {
    /// Of logits [V].
    pub fn new(logits: &'a [f32]) -> Self {
        Self {
            logits,
            total: log_sum_exp(logits),
        }
    }

    /// Cross-entropy −log p of a token in nats; NaN outside the vocabulary.
    pub fn loss(&self, token: usize) -> f64 {
        self.logits
            .get(token)
            .map_or(f64::NAN, |&z| self.total - f64::from(z))
    }
}

/// A distribution that many others are compared with: its probabilities are computed once.
#[derive(Clone, Debug)]
pub struct Reference {
    /// p and log p of every token.
    terms: Vec<(f64, f64)>,
    best: usize,
}

impl Reference {
    /// Of logits [V].
    pub fn new(logits: &[f32]) -> Self {
        let mut best = 0;
        for (token, z) in logits.iter().enumerate() {
            if logits.get(best).is_some_and(|most| z > most) {
                best = token;
            }
        }
        Self {
            terms: log_softmax(logits)
                .into_iter()
                .map(|log_p| (log_p.exp(), log_p))
                .collect(),
            best,
        }
    }

    /// KL(self ‖ Q), the same number as [`kl`] gives.
    pub fn kl(&self, q: &Prediction<'_>) -> f64 {
        divergence(self.terms.iter().copied(), q)
    }

    /// The most probable token, the first of equal ones.
    pub fn best(&self) -> usize {
        self.best
    }
}
