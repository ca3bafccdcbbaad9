//! The planted part and the errors before and after against direct computation.

use diffing::{SCALING_TARGETS, ScalingBuckets, ScalingToken, bucket_edges};

use crate::common::close;
use crate::planted::{LATENTS, Planted, TARGET, by_target};

#[test]
fn a_planted_part_is_found_in_the_base_error() {
    let planted = Planted::new(5, 1000);
    let betas = planted.sums().betas(&planted.decoder()).unwrap();
    close(
        betas[TARGET].beta_error_base.unwrap(),
        10.0,
        1e-3,
        "base error",
    );
    // Everything that the reconstruction holds along the target is its own part.
    close(
        betas[TARGET].beta_reconstruction_base.unwrap(),
        1.0,
        1e-3,
        "reconstruction",
    );
    close(
        betas[TARGET].beta_activation_base.unwrap(),
        10.0,
        1e-3,
        "activation",
    );
}

#[test]
fn errors_before_and_after_are_those_of_a_direct_computation() {
    let planted = Planted::new(6, 300);
    let sums = planted.sums();
    let decoder = planted.decoder();
    let betas = sums.betas(&decoder).unwrap();
    let fits = sums.fits(&decoder).unwrap();
    for j in [0, TARGET, 100, LATENTS - 1] {
        let (direct, count) = planted.direct(j, &by_target(&betas[j]), 0.0, f64::INFINITY);
        assert_eq!(sums.active(j as u32), count);
        for (t, fit) in fits[j].iter().enumerate() {
            assert_eq!(fit.target, SCALING_TARGETS[t]);
            for m in 0..2 {
                let ([before, after], what) = (direct[t], format!("latent {j} {}", fit.target));
                close(fit.before[m], before[m], 1e-5 * before[m], &what);
                close(fit.after[m], after[m], 1e-5 * before[m], &what);
            }
        }
    }
    for fit in fits.iter().flatten() {
        for m in 0..2 {
            assert!(fit.after[m] <= fit.before[m], "{fit:?}");
            assert!(fit.after[m] >= 0.0);
        }
    }
    // Any other coefficient fits worse.
    let mut other = betas.clone();
    other[TARGET].beta_error_base = Some(9.0);
    let worse = &sums.fits_of(&other, &decoder).unwrap()[TARGET][3];
    assert!(worse.after[0] > fits[TARGET][3].after[0]);
}

#[test]
fn errors_by_relative_activation_are_those_of_a_direct_computation() {
    let planted = Planted::new(7, 300);
    let decoder = planted.decoder();
    let betas = planted.sums().betas(&decoder).unwrap();
    let maxima = planted.maxima();
    for (noise, expected) in [(false, 3), (true, 4)] {
        let edges = bucket_edges(3, noise);
        assert_eq!(edges.len(), expected + 1);
        let new = || ScalingBuckets::new(maxima.clone(), edges.clone());
        let mut halves = [new(), new()];
        for (i, token) in planted.tokens.iter().enumerate() {
            let error = [0, 1].map(|m| -> Vec<f32> {
                let pairs = token.x[m].iter().zip(&token.x_hat[m]);
                pairs.map(|(x, h)| x - h).collect()
            });
            let x: [&[f32]; 2] = [&token.x[0], &token.x[1]];
            let token_of = ScalingToken::new(x, [&error[0], &error[1]], &decoder).unwrap();
            halves[i % 2]
                .add(&token_of, &token.active, &decoder)
                .unwrap();
        }
        let [mut buckets, other] = halves;
        buckets.merge(&other).unwrap();
        let fits = buckets.fits(&betas, &decoder).unwrap();
        assert_eq!(fits.len(), expected);
        let mut counted = 0;
        for j in [TARGET, 77] {
            for (b, fits) in fits.iter().enumerate() {
                let max = f64::from(maxima[j]);
                let (from, to) = (edges[b] * max, edges[b + 1] * max);
                let (direct, count) = planted.direct(j, &by_target(&betas[j]), from, to);
                assert_eq!(buckets.active(j as u32)[b], count, "latent {j} bucket {b}");
                counted += count;
                for (t, fit) in fits[j].iter().enumerate() {
                    for m in 0..2 {
                        let ([before, after], what) = (direct[t], format!("{j} {b} {t}"));
                        close(fit.before[m], before[m], 1e-5 * before[m], &what);
                        close(fit.after[m], after[m], 1e-5 * before[m], &what);
                    }
                }
            }
        }
        let sums = planted.sums();
        assert_eq!(counted, sums.active(TARGET as u32) + sums.active(77));
    }
    let one = ScalingBuckets::new(vec![1.0], bucket_edges(3, false));
    let mut other = ScalingBuckets::new(vec![1.0], bucket_edges(2, false));
    assert!(other.merge(&one).is_err());
}
