//! Loops with the widest vectors that the processor has.

/// Runs a loop with the widest vectors, where it and all that it calls are inlined; it hears whether the processor multiplies and adds in
/// one step. Multiplications and additions stay apart, so its vectors change no bit.
#[inline(always)]
pub fn widest<R>(run: impl FnOnce(bool) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(widest) = pulp::x86::V4::try_new() {
            return pulp::Simd::vectorize(
                widest,
                #[inline(always)]
                || run(true),
            );
        }
        if let Some(wide) = pulp::x86::V3::try_new() {
            return pulp::Simd::vectorize(
                wide,
                #[inline(always)]
                || run(true),
            );
        }
    }
    run(false)
}

/// sum + a·b, rounded once where `FUSED`.
#[inline(always)]
pub(crate) fn add_product<const FUSED: bool>(sum: f32, a: f32, b: f32) -> f32 {
    if FUSED {
        a.mul_add(b, sum)
    } else {
        sum + a * b
    }
}
