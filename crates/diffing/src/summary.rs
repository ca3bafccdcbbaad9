//! Latent Scaling's ratios over a group of latents.

use api::{RatioSummary, ScalingGroup};

use crate::classes::RELIABLE;
use crate::histogram::histogram;

/// Quantiles told of every ratio.
const QUANTILES: [f64; 5] = [0.025, 0.25, 0.5, 0.75, 0.975];
/// Bins of a ratio's histogram: 0.05 wide.
const BINS: usize = 42;

/// A group's reliable ratios: those of the latents whose ν^ε and ν^r are both known and inside −0.1…2. `ratios` holds both for every
/// latent of the group.
pub fn scaling_group(name: &str, ratios: &[[Option<f64>; 2]]) -> ScalingGroup {
    let reliable: Vec<[f64; 2]> = ratios
        .iter()
        .filter_map(|&[epsilon, r]| Some([epsilon?, r?]))
        .filter(|pair| pair.iter().all(|ratio| RELIABLE.contains(ratio)))
        .collect();
    let summary = |which: usize| {
        let mut values: Vec<f64> = reliable.iter().map(|pair| pair[which]).collect();
        values.sort_unstable_by(f64::total_cmp);
        RatioSummary {
            quantiles: QUANTILES
                .iter()
                .filter_map(|&q| quantile(&values, q))
                .collect(),
            histogram: histogram(values, *RELIABLE.start(), *RELIABLE.end(), BINS),
        }
    };
    ScalingGroup {
        name: name.into(),
        latents: ratios.len() as u64,
        reliable: reliable.len() as u64,
        nu_epsilon: summary(0),
        nu_r: summary(1),
    }
}

/// Quantile of sorted values, by linear interpolation; `None` of none.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q * sorted.len().checked_sub(1)? as f64;
    let below = sorted.get(place.floor() as usize)?;
    let above = sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}
