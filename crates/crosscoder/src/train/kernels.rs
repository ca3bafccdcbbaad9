//! Vector loops of the training step. Every sum has a fixed order, so results depend neither on the number of threads nor on the
//! processor's vectors.

/// Runs loops with the processor's wide vectors. Multiplication and addition stay apart, so no bit changes.
#[inline(always)]
pub(super) fn vectorised<R>(run: impl FnOnce() -> R) -> R {
    matrix::widest(
        #[inline(always)]
        |_| run(),
    )
}

/// Independent partial sums of an inner product: enough for the processor's pipelines.
const LANES: usize = 32;

/// Inner product.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + rest
}

/// out += c·row
#[inline(always)]
pub(super) fn add_scaled(out: &mut [f32], c: f32, row: &[f32]) {
    for (o, x) in out.iter_mut().zip(row) {
        *o += c * x;
    }
}

/// sums += row and squares += row², in f64.
#[inline(always)]
pub(super) fn add_moments(sums: &mut [f64], squares: &mut [f64], row: &[f32]) {
    for ((sum, square), &x) in sums.iter_mut().zip(squares).zip(row) {
        let x = f64::from(x);
        *sum += x;
        *square += x * x;
    }
}

/// out = c·row
#[inline(always)]
pub(super) fn set_scaled(out: &mut [f32], c: f32, row: &[f32]) {
    for (o, x) in out.iter_mut().zip(row) {
        *o = c * x;
    }
}

/// sums += row, in f64.
#[inline(always)]
pub(super) fn add_to(sums: &mut [f64], row: &[f32]) {
    for (sum, &x) in sums.iter_mut().zip(row) {
        *sum += f64::from(x);
    }
}

/// Turns pre-activations without bias into codes, and adds up sums, maxima and numbers of positive codes, all by latent.
#[inline(always)]
pub(super) fn rectify(
    pre: &mut [f32],
    bias: &[f32],
    sums: &mut [f32],
    largest: &mut [f32],
    active: &mut [u32],
) {
    let sides = sums.iter_mut().zip(largest).zip(active);
    for ((p, b), ((sum, most), n)) in pre.iter_mut().zip(bias).zip(sides) {
        let x = *p + b;
        let f = if x > 0.0 { x } else { 0.0 };
        *p = f;
        *sum += f;
        *most = if f > *most { f } else { *most };
        *n += u32::from(x > 0.0);
    }
}

/// Turns gradients by f into gradients by the pre-activation: adds the penalty where f is positive, 0 elsewhere, and adds up both by
/// latent.
#[inline(always)]
pub(super) fn gate_gradient(df: &mut [f32], f: &[f32], penalty: &[f32], sums: &mut [f32]) {
    for (((d, f), p), sum) in df.iter_mut().zip(f).zip(penalty).zip(sums) {
        let g = if *f > 0.0 { *d + p } else { 0.0 };
        *d = g;
        *sum += g;
    }
}

/// Numbers of one Adam step that are the same for every parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdamStep {
    /// Factor of every gradient: the clip.
    pub(super) gradient: f32,
    /// lr/(1 − β₁ᵗ)
    pub(super) rate: f32,
    /// 1/√(1 − β₂ᵗ)
    pub(super) root: f32,
}

/// Decay of the first moment.
pub(super) const BETA1: f32 = 0.9;
/// Decay of the second moment.
pub(super) const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// One Adam update in a single pass: moments and parameters, from unclipped gradients.
#[inline(always)]
pub(super) fn adam(
    parameters: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradients: &[f32],
    step: AdamStep,
) {
    for (((p, m), v), &g) in parameters.iter_mut().zip(first).zip(second).zip(gradients) {
        let g = g * step.gradient;
        *m = BETA1 * *m + (1.0 - BETA1) * g;
        *v = BETA2 * *v + (1.0 - BETA2) * (g * g);
        *p -= step.rate * *m / (v.sqrt() * step.root + EPSILON);
    }
}

/// [`adam`] where every gradient is 0.
#[inline(always)]
pub(super) fn adam_without_gradient(
    parameters: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    step: AdamStep,
) {
    for ((p, m), v) in parameters.iter_mut().zip(first).zip(second) {
        *m *= BETA1;
        *v *= BETA2;
        *p -= step.rate * *m / (v.sqrt() * step.root + EPSILON);
    }
}
