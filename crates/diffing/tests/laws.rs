//! Laws and small exact cases of the method.
#![allow(clippy::unwrap_used)] // a failed test is a panic

use api::{Class, ClassCuts, Verdict};
use diffing::{
    Decoder, Error, ScalingSums, auroc, class, cosine, delta_norm, kl, log_softmax, norm, nu,
    verdict,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{found} is not {expected}"
    );
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(1e-12..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[test]
fn delta_norm_has_the_papers_direction() {
    assert_eq!(delta_norm(0.0, 2.0), Some(1.0));
    assert_eq!(delta_norm(2.0, 0.0), Some(0.0));
    assert_eq!(delta_norm(3.0, 3.0), Some(0.5));
    assert_eq!(delta_norm(0.0, 0.0), None);
    assert_eq!(delta_norm(f32::NAN, 1.0), None);
    // The authors' files hold 1 less this.
    let (d0, d1) = (norm(&[1.0, 0.0]), norm(&[0.0, 3.0]));
    close(delta_norm(d0, d1).unwrap(), 1.0 - 1.0 / 6.0, 1e-12);
    let (d0, d1) = (norm(&[0.0, 2.0]), norm(&[4.0, 0.0]));
    close(delta_norm(d0, d1).unwrap(), 0.75, 1e-12);
}

#[test]
fn norms_and_cosines() {
    assert_eq!(norm(&[3.0, 4.0]), 5.0);
    assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), Some(0.0));
    assert_eq!(cosine(&[2.0, 2.0], &[1.0, 1.0]), Some(1.0));
    assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), None);
    let long: Vec<f32> = (0..19).map(|i| i as f32).collect();
    close(
        diffing::dot(&long, &long),
        (0..19).map(|i| f64::from(i * i)).sum(),
        0.0,
    );
}

#[test]
fn classes_are_closed_intervals() {
    let cuts = ClassCuts::default();
    for (delta, expected) in [
        (Some(0.9), Class::ChatOnly),
        (Some(0.9 - 1e-9), Class::Other),
        (Some(0.1), Class::BaseOnly),
        (Some(0.1 + 1e-9), Class::Other),
        (Some(0.4), Class::Shared),
        (Some(0.6), Class::Shared),
        (Some(0.6 + 1e-9), Class::Other),
        (None, Class::Other),
    ] {
        assert_eq!(class(delta, &cuts), expected, "{delta:?}");
    }
    let wide = ClassCuts {
        chat_only: 0.75,
        ..cuts
    };
    assert_eq!(class(Some(0.75), &wide), Class::ChatOnly);
}

#[test]
fn verdicts_follow_both_ratios() {
    let chat = |epsilon, r| verdict(Class::ChatOnly, epsilon, r);
    for (epsilon, r, expected) in [
        (0.19, 0.49, Verdict::ChatSpecific),
        (0.2, 0.49, Verdict::CompleteShrinkage),
        (0.19, 0.5, Verdict::LatentDecoupling),
        (0.2, 0.5, Verdict::Both),
        (-0.1, 2.0, Verdict::LatentDecoupling),
        (-0.11, 0.1, Verdict::Unreliable),
        (0.1, 2.01, Verdict::Unreliable),
        (f64::NAN, 0.1, Verdict::Unreliable),
    ] {
        assert_eq!(
            chat(Some(epsilon), Some(r)),
            Some(expected),
            "{epsilon} {r}"
        );
    }
    assert_eq!(chat(None, Some(0.1)), Some(Verdict::Unreliable));
    assert_eq!(verdict(Class::Shared, Some(0.1), Some(0.1)), None);
    assert_eq!(nu(Some(1.0), Some(0.0)), None);
    assert_eq!(nu(None, Some(1.0)), None);
    close(nu(Some(0.5), Some(2.0)).unwrap(), 0.25, 0.0);
}

/// β of the activation targets for base rows `y_base` and chat rows `y_chat` and one latent.
fn activation_betas(d: &[f32], f: &[f32], y_base: &[[f32; 2]], y_chat: &[[f32; 2]]) -> api::Betas {
    let zero = [0f32; 2];
    let decoder = Decoder::new([d, d], [&zero, &zero]).unwrap();
    let mut sums = ScalingSums::new(1);
    for ((f, base), chat) in f.iter().zip(y_base).zip(y_chat) {
        let active = if *f == 0.0 { vec![] } else { vec![(0, *f)] };
        sums.add_token([base, chat], [&zero, &zero], &active, &decoder)
            .unwrap();
    }
    sums.betas(&decoder).unwrap()[0]
}

#[test]
fn e2_beta_of_two_exact_cases() {
    let (d, f) = ([3.0, 4.0], [1.0, 0.0, 2.0]);
    let base = [[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]];
    let chat = [[3.0, 4.0], [9.0, 9.0], [6.0, 8.0]];
    let betas = activation_betas(&d, &f, &base, &chat);
    close(betas.beta_activation_chat.unwrap(), 1.0, 1e-12);
    close(betas.beta_activation_base.unwrap(), 0.328, 1e-12);
    let ratio = nu(betas.beta_activation_base, betas.beta_activation_chat);
    close(ratio.unwrap(), 0.328, 1e-12);
}

#[test]
fn e3_perfect_reconstruction_leaves_the_latents_own_part() {
    let (d_base, d_chat, zero) = ([1.0, 2.0], [3.0, 4.0], [0f32; 2]);
    let decoder = Decoder::new([&d_base, &d_chat], [&zero, &zero]).unwrap();
    let mut sums = ScalingSums::new(1);
    let x = [[1.0, -2.0], [0.5, 4.0]];
    sums.add_token([&x[0], &x[1]], [&x[0], &x[1]], &[(0, 1.5)], &decoder)
        .unwrap();
    let betas = sums.betas(&decoder).unwrap()[0];
    assert_eq!(betas.beta_error_chat, Some(1.0));
    close(betas.beta_error_base.unwrap(), 11.0 / 25.0, 1e-15);
}

#[test]
fn silent_latents_and_zero_rows_have_no_beta() {
    let (rows, zero) = ([0.0, 0.0, 1.0, 0.0], [0f32; 2]);
    let decoder = Decoder::new([&rows, &rows], [&zero, &zero]).unwrap();
    let mut sums = ScalingSums::new(2);
    let x = [1.0f32, 1.0];
    sums.add_token([&x, &x], [&x, &x], &[(0, 1.0)], &decoder)
        .unwrap();
    let betas = sums.betas(&decoder).unwrap();
    assert_eq!(betas, vec![api::Betas::default(); 2]);
}

#[test]
fn scaling_refuses_what_does_not_fit() {
    let (rows, zero) = ([1.0, 0.0], [0f32; 2]);
    let decoder = Decoder::new([&rows, &rows], [&zero, &zero]).unwrap();
    let mut sums = ScalingSums::new(1);
    let (x, short) = ([1.0f32, 1.0], [1.0f32]);
    let unknown = sums.add_token([&x, &x], [&x, &x], &[(1, 1.0)], &decoder);
    assert_eq!(unknown, Err(Error::UnknownLatent { id: 1, latents: 1 }));
    assert!(
        sums.add_token([&x, &short], [&x, &x], &[], &decoder)
            .is_err()
    );
    assert!(sums.merge(&ScalingSums::new(2)).is_err());
    assert_eq!(sums, ScalingSums::new(1));
    assert!(Decoder::new([&rows, &rows], [&zero, &short]).is_err());
}

/// Orthonormal directions by Gram and Schmidt, the first `wanted` of dimension `dim`.
fn orthonormal(rng: &mut ChaCha8Rng, wanted: usize, dim: usize) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    while basis.len() < wanted {
        let mut v: Vec<f64> = (0..dim).map(|_| normal(rng)).collect();
        for b in &basis {
            let along: f64 = v.iter().zip(b).map(|(x, y)| x * y).sum();
            v.iter_mut().zip(b).for_each(|(x, y)| *x -= along * y);
        }
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        basis.push(v.into_iter().map(|x| x / length).collect());
    }
    basis
}

#[test]
fn t1_planted_coefficients_are_recovered() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for (dim, latents, tokens) in [(10, 2, 100), (100, 2, 1000), (100, 10, 1000)] {
        let basis = orthonormal(&mut rng, latents, dim);
        let lengths: Vec<f64> = (0..latents).map(|_| normal(&mut rng)).collect();
        let truth: Vec<f64> = (0..latents).map(|_| 5.0 * normal(&mut rng)).collect();
        let rows: Vec<f32> = basis
            .iter()
            .zip(&lengths)
            .flat_map(|(b, l)| b.iter().map(move |x| (x * l) as f32))
            .collect();
        let zero = vec![0f32; dim];
        let decoder = Decoder::new([&rows, &rows], [&zero, &zero]).unwrap();
        let mut sums = ScalingSums::new(latents);
        for _ in 0..tokens {
            let mut y: Vec<f64> = (0..dim).map(|_| normal(&mut rng)).collect();
            for b in &basis {
                let along: f64 = y.iter().zip(b).map(|(x, y)| x * y).sum();
                y.iter_mut().zip(b).for_each(|(x, y)| *x -= along * y);
            }
            let mut active = Vec::new();
            for (j, b) in basis.iter().enumerate() {
                if rng.random::<f64>() < 0.1 {
                    let f = (10.0 * normal(&mut rng).exp()) as f32;
                    active.push((j as u32, f));
                    let c = truth[j] * f64::from(f) * lengths[j];
                    y.iter_mut().zip(b).for_each(|(x, d)| *x += c * d);
                }
            }
            let y: Vec<f32> = y.into_iter().map(|x| x as f32).collect();
            sums.add_token([&y, &y], [&zero, &zero], &active, &decoder)
                .unwrap();
        }
        for (betas, truth) in sums.betas(&decoder).unwrap().iter().zip(&truth) {
            let found = betas.beta_activation_base.unwrap();
            close(found, *truth, 1e-5 + 1e-5 * truth.abs());
        }
    }
}

#[test]
fn the_error_target_keeps_the_latents_own_part() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (dim, latents, target) = (64, 256, 10usize);
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| normal(&mut rng) as f32).collect() };
    let mut rows = [draw(latents * dim), draw(latents * dim)];
    let chat_row = rows[1][target * dim..(target + 1) * dim].to_vec();
    rows[0][target * dim..(target + 1) * dim].copy_from_slice(&chat_row);
    let bias = [draw(dim), draw(dim)];
    let decoder = Decoder::new([&rows[0], &rows[1]], [&bias[0], &bias[1]]).unwrap();
    let mut sums = ScalingSums::new(latents);
    for _ in 0..300 {
        let f: Vec<f32> = draw(latents).into_iter().map(|z| z.max(0.0)).collect();
        let active: Vec<(u32, f32)> = (0u32..)
            .zip(f.iter().copied())
            .filter(|a| a.1 > 0.0)
            .collect();
        // Base holds ten times the latent's part, chat twice, and noise at right angles to it.
        let [(x_base, hat_base), (x_chat, hat_chat)] = [(0, 10.0), (1, 2.0)].map(|(m, times)| {
            let mut hat = bias[m].clone();
            for &(j, f) in &active {
                let row = decoder.row(m, j as usize);
                hat.iter_mut().zip(row).for_each(|(x, d)| *x += f * d);
            }
            let mut noise = draw(dim);
            let along = diffing::dot(&noise, &chat_row) / diffing::dot(&chat_row, &chat_row);
            let extra = (times - 1.0) * f64::from(f[target]);
            let parts = noise.iter_mut().zip(&chat_row).zip(&hat);
            for ((x, d), hat) in parts {
                *x = (f64::from(*x) + (extra - along) * f64::from(*d)) as f32 + hat;
            }
            (noise, hat)
        });
        sums.add_token(
            [&x_base, &x_chat],
            [&hat_base, &hat_chat],
            &active,
            &decoder,
        )
        .unwrap();
    }
    let betas = sums.betas(&decoder).unwrap()[target];
    close(betas.beta_error_base.unwrap(), 10.0, 1e-3);
    close(betas.beta_error_chat.unwrap(), 2.0, 1e-3);
    close(
        nu(betas.beta_error_base, betas.beta_error_chat).unwrap(),
        5.0,
        1e-3,
    );
}

#[test]
fn e7_divergence_of_a_distribution_from_itself_is_zero() {
    let p = [1.0f32, -3.0, 0.5, 20.0];
    let shifted = p.map(|x| x + 4.0);
    assert_eq!(kl(&p, &p), 0.0);
    close(kl(&p, &shifted), 0.0, 1e-12);
    let q = [0.0f32, 0.0, 0.0, 0.0];
    let expected: f64 = log_softmax(&p)
        .iter()
        .map(|l| l.exp() * (l + 4f64.ln()))
        .sum();
    close(kl(&p, &q), expected, 1e-12);
    close(log_softmax(&p).iter().map(|l| l.exp()).sum(), 1.0, 1e-12);
    assert!(kl(&p, &q[..3]).is_nan());
    // A token that P rules out does not count.
    assert_eq!(
        kl(&[0.0, f32::NEG_INFINITY], &[0.0, f32::NEG_INFINITY]),
        0.0
    );
}

#[test]
fn auroc_counts_ties_by_half() {
    assert_eq!(auroc(&[2.0, 3.0], &[0.0, 1.0]), Some(1.0));
    assert_eq!(auroc(&[0.0], &[1.0]), Some(0.0));
    assert_eq!(auroc(&[1.0, 1.0], &[1.0]), Some(0.5));
    assert_eq!(
        auroc(&[2.0, 1.0, 0.0], &[1.0, 0.0, 0.0, 3.0]),
        Some(6.5 / 12.0)
    );
    assert_eq!(auroc(&[0.0], &[-0.0]), Some(0.5));
    assert_eq!(auroc(&[], &[1.0]), None);
    assert_eq!(auroc(&[f32::NAN], &[1.0]), None);
}
