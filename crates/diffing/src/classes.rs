//! Classes by Δ_norm and verdicts by Latent Scaling.

use api::{Betas, Class, ClassCuts, Verdict};

/// Largest ν^ε of a chat-specific latent, exclusive (paper, section on Latent Scaling).
const NU_EPSILON_CUT: f64 = 0.2;
/// Largest ν^r of a chat-specific latent, exclusive.
const NU_R_CUT: f64 = 0.5;
/// Ratios outside this closed interval say nothing: their denominator is tiny or negative.
pub(crate) const RELIABLE: std::ops::RangeInclusive<f64> = -0.1..=2.0;

/// Class of a latent by its Δ_norm. Intervals are closed; a latent without Δ_norm is `other`.
pub fn class(delta: Option<f64>, cuts: &ClassCuts) -> Class {
    match delta {
        Some(d) if d >= cuts.chat_only => Class::ChatOnly,
        Some(d) if d <= cuts.base_only => Class::BaseOnly,
        Some(d) if d >= cuts.shared_from && d <= cuts.shared_to => Class::Shared,
        _ => Class::Other,
    }
}

/// Latent Scaling ratio ν = β_base / β_chat: 0 is chat-specific, 1 equally present in both models.
/// `None` where a coefficient is unknown or the quotient is not a finite number.
pub fn nu(beta_base: Option<f64>, beta_chat: Option<f64>) -> Option<f64> {
    let ratio = beta_base? / beta_chat?;
    ratio.is_finite().then_some(ratio)
}

/// ν^ε (error) and ν^r (reconstruction) of a latent's coefficients.
pub fn ratios(betas: &Betas) -> [Option<f64>; 2] {
    [
        nu(betas.beta_error_base, betas.beta_error_chat),
        nu(
            betas.beta_reconstruction_base,
            betas.beta_reconstruction_chat,
        ),
    ]
}

/// What Latent Scaling says of a latent, once it ran; `None` for latents that are not chat-only.
pub fn verdict(class: Class, nu_epsilon: Option<f64>, nu_r: Option<f64>) -> Option<Verdict> {
    if class != Class::ChatOnly {
        return None;
    }
    let (Some(epsilon), Some(r)) = (nu_epsilon, nu_r) else {
        return Some(Verdict::Unreliable);
    };
    if !RELIABLE.contains(&epsilon) || !RELIABLE.contains(&r) {
        return Some(Verdict::Unreliable);
    }
    Some(match (epsilon < NU_EPSILON_CUT, r < NU_R_CUT) {
        (true, true) => Verdict::ChatSpecific,
        (false, true) => Verdict::CompleteShrinkage,
        (true, false) => Verdict::LatentDecoupling,
        (false, false) => Verdict::Both,
    })
}
