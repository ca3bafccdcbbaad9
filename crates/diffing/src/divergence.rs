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
    if p_logits.len() != q_logits.len() {
        return f64::NAN;
    }
    let (p_total, q_total) = (log_sum_exp(p_logits), log_sum_exp(q_logits));
    let sum: f64 = p_logits
        .iter()
        .zip(q_logits)
        .map(|(&p, &q)| {
            let log_p = f64::from(p) - p_total;
            let probability = log_p.exp();
            if probability == 0.0 {
                0.0
            } else {
                probability * (log_p - (f64::from(q) - q_total))
            }
        })
        .sum();
    if sum < 0.0 { 0.0 } else { sum }
}
