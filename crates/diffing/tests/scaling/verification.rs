//! The planted part and the errors before and after against direct computation.

use api::Betas;
use diffing::{SCALING_TARGETS, ScalingToken, VERIFICATION_BUCKETS, Verification, bucket_edges};

use crate::common::close;
use crate::planted::{LATENTS, Planted, TARGET, by_target};

#[test]
fn t2_a_planted_part_is_found_in_the_base_error() {
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
fn t2_errors_before_and_after_are_those_of_a_direct_computation() {
    let planted = Planted::new(6, 300);
    let sums = planted.sums();
    let decoder = planted.decoder();
    let betas = sums.betas(&decoder).unwrap();
    let fits = sums.fits(&decoder).unwrap();
    for j in [0, TARGET, 100, LATENTS - 1] {
        let direct = planted.direct(j, &by_target(&betas[j]), 0.0, f64::INFINITY);
        assert_eq!(sums.active(j as u32), direct.count);
        for (t, fit) in fits[j].iter().enumerate() {
            assert_eq!(fit.target, SCALING_TARGETS[t]);
            for m in 0..2 {
                let ([before, after], what) =
                    (direct.mean[t], format!("latent {j} {}", fit.target));
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
fn t2_errors_by_relative_activation_are_those_of_a_direct_computation() {
    let planted = Planted::new(7, 300);
    let decoder = planted.decoder();
    let betas = planted.sums().betas(&decoder).unwrap();
    let maxima = planted.maxima();
    let chosen = [TARGET, 77];
    for (noise, expected) in [(false, 3), (true, 4)] {
        let edges = bucket_edges(VERIFICATION_BUCKETS, noise);
        assert_eq!(edges.len(), expected + 1);
        let of = |j: usize| (j as u32, &betas[j], maxima[j]);
        let verification = Verification::new(LATENTS, chosen.map(of), edges.clone());
        assert!(verification.has(77) && !verification.has(78) && !verification.has(9999));
        let mut halves = [verification.sums(), verification.sums()];
        for (i, token) in planted.tokens.iter().enumerate() {
            let error = [0, 1].map(|m| -> Vec<f32> {
                let pairs = token.x[m].iter().zip(&token.x_hat[m]);
                pairs.map(|(x, h)| x - h).collect()
            });
            let x: [&[f32]; 2] = [&token.x[0], &token.x[1]];
            let token_of = ScalingToken::new(x, [&error[0], &error[1]], &decoder).unwrap();
            let active = token.active.iter().map(|&(id, f)| (id, f, f));
            verification
                .add(&mut halves[i % 2], &token_of, active, &decoder)
                .unwrap();
        }
        let [mut sums, other] = halves;
        sums.merge(&other).unwrap();
        let found: Vec<_> = sums.buckets().collect();
        let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, chosen.map(|j| j as u32));
        let mut counted = 0;
        for (j, (_, buckets)) in chosen.into_iter().zip(&found) {
            assert_eq!(buckets.len(), expected);
            for (b, bucket) in buckets.iter().enumerate() {
                assert_eq!((bucket.from, bucket.to), (edges[b], edges[b + 1]));
                let max = f64::from(maxima[j]);
                let (from, to) = (bucket.from * max, bucket.to * max);
                let direct = planted.direct(j, &by_target(&betas[j]), from, to);
                assert_eq!(bucket.tokens, direct.count, "latent {j} bucket {b}");
                counted += direct.count;
                assert_eq!(bucket.fits.len(), if direct.count > 0 { 4 } else { 0 });
                for (t, fit) in bucket.fits.iter().enumerate() {
                    assert_eq!(fit.fit.target, SCALING_TARGETS[t]);
                    let stds = [fit.before_std, fit.after_std];
                    assert_eq!(stds.map(|std| std.is_some()), [direct.count > 1; 2]);
                    for (when, m) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let what = format!("{j} {b} {t} {when} {m}");
                        let scale = 1e-5 * direct.mean[t][0][m];
                        let mean = [fit.fit.before, fit.fit.after][when][m];
                        close(mean, direct.mean[t][when][m], scale, &what);
                        if let Some(std) = stds[when] {
                            close(std[m], direct.std[t][when][m], scale, &what);
                        }
                    }
                }
            }
        }
        let sums = planted.sums();
        assert_eq!(counted, sums.active(TARGET as u32) + sums.active(77));
    }
}

/// On the tokens of the fit β is the best there is, so over all buckets together the error falls; in one of them it may rise.
#[test]
fn buckets_together_are_the_tokens_of_the_fit() {
    let planted = Planted::new(8, 200);
    let decoder = planted.decoder();
    let sums = planted.sums();
    let betas = sums.betas(&decoder).unwrap();
    let fits = sums.fits(&decoder).unwrap();
    let maxima = planted.maxima();
    let all = (0..LATENTS).map(|j| (j as u32, &betas[j], maxima[j]));
    let verification = Verification::new(LATENTS, all, bucket_edges(VERIFICATION_BUCKETS, true));
    let mut buckets = verification.sums();
    for token in &planted.tokens {
        let error = [0, 1].map(|m| -> Vec<f32> {
            let pairs = token.x[m].iter().zip(&token.x_hat[m]);
            pairs.map(|(x, h)| x - h).collect()
        });
        let x: [&[f32]; 2] = [&token.x[0], &token.x[1]];
        let token_of = ScalingToken::new(x, [&error[0], &error[1]], &decoder).unwrap();
        let active = token.active.iter().map(|&(id, f)| (id, f, f));
        verification
            .add(&mut buckets, &token_of, active, &decoder)
            .unwrap();
    }
    for (id, buckets) in buckets.buckets() {
        let whole = &fits[id as usize];
        let tokens: u64 = buckets.iter().map(|bucket| bucket.tokens).sum();
        assert_eq!(tokens, sums.active(id));
        for (t, whole) in whole.iter().enumerate() {
            for m in 0..2 {
                let total = |when: usize| -> f64 {
                    let full = buckets.iter().filter(|bucket| bucket.tokens > 0);
                    full.map(|bucket| {
                        let fit = &bucket.fits[t].fit;
                        [fit.before, fit.after][when][m] * bucket.tokens as f64
                    })
                    .sum::<f64>()
                        / tokens as f64
                };
                let (before, after) = (total(0), total(1));
                close(before, whole.before[m], 1e-9 * whole.before[m], "before");
                close(after, whole.after[m], 1e-6 * whole.before[m], "after");
                assert!(
                    after <= before * (1.0 + 1e-9),
                    "latent {id}: {before} {after}"
                );
            }
        }
    }
}

#[test]
fn a_latent_on_two_tokens_by_hand() {
    // d_chat = (3, 4), d_base = (0, 5), no bias; f = 1, 2 with maximum 2, so in the middle and the strongest third.
    let (base, chat, bias) = ([0.0, 5.0], [3.0, 4.0], [0.0, 0.0]);
    let decoder = diffing::Decoder::new([&base, &chat], [&bias, &bias]).unwrap();
    let betas = Betas {
        beta_error_base: Some(0.5),
        ..Betas::default()
    };
    let edges = bucket_edges(VERIFICATION_BUCKETS, false);
    let verification = Verification::new(1, [(0, &betas, 2.0)], edges);
    let mut sums = verification.sums();
    // Base: ε = (3, −1), so y = ε + f·d_base = (3, 4) and y − 0.5·f·d_chat = (1.5, 2) at f = 1; (3, 9) and (0, 5) at f = 2.
    for f in [1.0f32, 2.0] {
        let (x, error) = ([3.0, 5.0 * f - 1.0], [3.0, -1.0]);
        let token = ScalingToken::new([&x, &x], [&error, &bias], &decoder).unwrap();
        verification
            .add(&mut sums, &token, [(0, f, f)], &decoder)
            .unwrap();
    }
    let (_, buckets) = sums.buckets().next().unwrap();
    let tokens: Vec<u64> = buckets.iter().map(|bucket| bucket.tokens).collect();
    assert_eq!(tokens, [0, 1, 1]);
    let error = |b: usize| &buckets[b].fits[3].fit;
    assert_eq!((error(1).before[0], error(1).after[0]), (25.0, 6.25));
    assert_eq!((error(2).before[0], error(2).after[0]), (90.0, 25.0));
    assert_eq!(buckets[1].fits[3].after_std, None);
}

#[test]
fn verifications_of_different_setups_do_not_mix() {
    let betas = Betas::default();
    let of = |ids: &[u32], noise| {
        let chosen = ids.iter().map(|&id| (id, &betas, 1.0));
        Verification::new(3, chosen, bucket_edges(3, noise)).sums()
    };
    let mut sums = of(&[0, 2], false);
    assert!(sums.merge(&of(&[0, 2], false)).is_ok());
    assert!(sums.merge(&of(&[0, 1], false)).is_err());
    assert!(sums.merge(&of(&[0, 2], true)).is_err());
    // A latent outside the dictionary is no place to count.
    assert_eq!(of(&[0, 7], false).buckets().count(), 1);
}
