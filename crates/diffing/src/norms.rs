//! Norms, cosines and the decoder norm difference.

/// Inner product, accumulated in f64. The longer slice's surplus is ignored.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0f64; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let paired = a_chunks.len().min(b_chunks.len()) * LANES;
    for (x, y) in a_chunks.zip(b_chunks) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f64::from(x) * f64::from(y);
        }
    }
    let rest: f64 = a
        .iter()
        .zip(b)
        .skip(paired)
        .map(|(&x, &y)| f64::from(x) * f64::from(y))
        .sum();
    lanes.iter().sum::<f64>() + rest
}

/// Euclidean norm of a row, accumulated in f64 and rounded to f32 once.
pub fn norm(row: &[f32]) -> f32 {
    dot(row, row).sqrt() as f32
}

/// Cosine of two rows; `None` if one of them is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    (lengths > 0.0).then(|| (dot(a, b) / lengths).clamp(-1.0, 1.0))
}

/// Decoder norm difference Δ_norm = ½·(1 + (n_chat − n_base)/max(n_chat, n_base)) in the paper's direction: 1 is chat-only,
/// 0 base-only, ½ equally long. `None` if both norms are 0 or one is not a number.
pub fn delta_norm(norm_base: f32, norm_chat: f32) -> Option<f64> {
    let (base, chat) = (f64::from(norm_base), f64::from(norm_chat));
    let delta = 0.5 * (1.0 + (chat - base) / chat.max(base));
    delta.is_finite().then_some(delta)
}
