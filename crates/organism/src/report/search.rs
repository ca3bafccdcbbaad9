//! Choosing sets of latents: those that move answers, and random ones to hold them against.

use std::cmp::Ordering;

use rand::Rng;
use rand::seq::IndexedRandom;
use rayon::prelude::*;

use crate::error::Result;

/// Latents that go on after the first round.
const KEPT: usize = 16;
/// What another latent must gain to be taken.
const LEAST_GAIN: f64 = 0.01;
/// How much larger or smaller the maximum of a control may be.
const SIMILAR: f32 = 2.0;

/// Latents chosen one after the other, each the one that helps most; ends with `most`, or when none helps any more. `merit` judges a set.
pub(super) fn forward(
    candidates: &[u32],
    most: usize,
    merit: impl Fn(&[u32]) -> Result<f64> + Sync,
) -> Result<Vec<u32>> {
    let mut set = Vec::new();
    let mut reached = merit(&set)?;
    let mut left = candidates.to_vec();
    while set.len() < most {
        let mut tried: Vec<(u32, f64)> = left
            .par_iter()
            .map(|&latent| Ok((latent, merit(&[set.as_slice(), &[latent]].concat())?)))
            .collect::<Result<_>>()?;
        tried.sort_by(|one, other| match other.1.total_cmp(&one.1) {
            Ordering::Equal => one.0.cmp(&other.0),
            order => order,
        });
        tried.truncate(KEPT);
        match tried.first() {
            Some(&(latent, found)) if found >= reached + LEAST_GAIN => {
                set.push(latent);
                reached = found;
            }
            _ => break,
        }
        left = tried.iter().skip(1).map(|(latent, _)| *latent).collect();
    }
    Ok(set)
}

/// As many others, each with a maximum at most twice as large or small as the latent's it stands for; where `pool` has none, the one
/// with the nearest. `maximum` says a latent's. Fewer only where the pool is used up.
pub(super) fn control(
    set: &[u32],
    pool: &[u32],
    maximum: impl Fn(u32) -> f32,
    random: &mut impl Rng,
) -> Vec<u32> {
    let mut drawn: Vec<u32> = Vec::new();
    for &latent in set {
        let free: Vec<(u32, f32)> = pool
            .iter()
            .filter(|other| !drawn.contains(other) && !set.contains(other))
            .map(|&other| (other, (maximum(other) / maximum(latent)).ln().abs()))
            .collect();
        let similar: Vec<u32> = free
            .iter()
            .filter(|(_, distance)| *distance <= SIMILAR.ln())
            .map(|(other, _)| *other)
            .collect();
        let nearest = free.iter().min_by(|one, other| one.1.total_cmp(&other.1));
        drawn.extend(similar.choose(random).or(nearest.map(|(other, _)| other)));
    }
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn forward_takes_what_helps_and_stops() {
        // 3 alone is best, 5 adds to it, 4 is worth nothing beside 3, 6 does harm.
        let merit = |set: &[u32]| {
            let has = |latent| f64::from(u8::from(set.contains(&latent)));
            Ok(0.5 * has(3) + 0.4 * has(4) * (1.0 - has(3)) + 0.2 * has(5) - has(6))
        };
        let found = forward(&[6, 5, 4, 3], 9, merit).expect("a set");
        assert_eq!(found, [3, 5]);
        assert_eq!(forward(&[3, 4, 5], 1, merit).expect("a set"), [3]);
        assert!(forward(&[], 3, merit).expect("a set").is_empty());
    }

    #[test]
    fn a_control_has_other_latents_of_similar_maximum() {
        // Maxima 1, 2, 4, … of latents 0, 1, 2, …
        let maximum = |latent: u32| 2f32.powi(latent as i32);
        let pool: Vec<u32> = (0..10).collect();
        for draw in 0..50 {
            let found = control(&[4, 8], &pool, maximum, &mut stream(0, "control", draw));
            assert_eq!(found.len(), 2);
            assert!(
                [3, 5].contains(&found[0]) && [7, 9].contains(&found[1]),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_control_takes_the_nearest_where_none_is_similar() {
        let maximum = |latent: u32| [8.0, 1.0, 100.0][latent as usize];
        let random = &mut stream(0, "control", 0);
        assert_eq!(control(&[0], &[0, 1, 2], maximum, random), [1]);
        assert!(control(&[0], &[0], maximum, random).is_empty());
    }
}
