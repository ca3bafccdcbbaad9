//! Small exact cases, random directions, and ratios over groups.

use api::{Class, ClassCuts, LatentRow};
use diffing::{
    Baseline, Decoder, ScalingSums, ScalingToken, compared, compared_shared, cosine, norm,
    scaling_group,
};

use crate::common::close;
use crate::planted::{DIM, Planted, TARGET};

#[test]
fn e3_the_error_coefficient_is_one_and_what_the_error_adds() {
    // d_chat = (3, 4), d_base = (1, 2); two tokens with f = 1 and 2 and known errors.
    let (d_base, d_chat, zero) = ([1f32, 2.0], [3f32, 4.0], [0f32; 2]);
    let decoder = Decoder::new([&d_base, &d_chat], [&zero, &zero]).unwrap();
    let mut sums = ScalingSums::new(1);
    let errors = [[[0.5f32, 0.0], [1.0, 0.0]], [[0.0, 0.25], [0.0, -1.0]]];
    let x = [7f32, -3.0];
    for ([base, chat], f) in errors.iter().zip([1f32, 2.0]) {
        let token = ScalingToken::new([&x, &x], [base, chat], &decoder).unwrap();
        sums.add(&token, &[(0, f)], &decoder).unwrap();
    }
    let betas = sums.betas(&decoder).unwrap()[0];
    // Σ f⟨d, ε⟩ is 1·3 + 2·(−4) for chat, 1·1.5 + 2·1 for base; ‖d‖²Σf² = 125.
    close(
        betas.beta_error_chat.unwrap(),
        1.0 - 5.0 / 125.0,
        1e-12,
        "chat",
    );
    close(
        betas.beta_error_base.unwrap(),
        11.0 / 25.0 + 3.5 / 125.0,
        1e-12,
        "base",
    );
    // ‖ε + f·d_base‖² of the two tokens: (1.5, 2) and (2, 4.25).
    let fit = &sums.fits(&decoder).unwrap()[0][3];
    close(fit.before[0], f64::midpoint(6.25, 22.0625), 1e-12, "before");
}

#[test]
fn silent_latents_have_no_fit_and_zero_rows_change_nothing() {
    let (rows, zero) = ([0f32, 0.0, 1.0, 0.0], [0f32; 2]);
    let decoder = Decoder::new([&rows, &rows], [&zero, &zero]).unwrap();
    let mut sums = ScalingSums::new(2);
    let x = [1f32, 1.0];
    sums.add_token([&x, &x], [&x, &x], &[(0, 1.0)], &decoder)
        .unwrap();
    let fits = sums.fits(&decoder).unwrap();
    assert_eq!(fits[0].len(), 4);
    assert!(fits[0].iter().all(|fit| fit.before == fit.after));
    assert!(fits[1].is_empty());
    let json = serde_json::to_string(&sums).unwrap();
    assert_eq!(serde_json::from_str::<ScalingSums>(&json).unwrap(), sums);
}

#[test]
fn baselines_keep_lengths_and_codes_and_follow_their_seed() {
    let planted = Planted::new(8, 50);
    let decoder = planted.decoder();
    let ids = [3, TARGET as u32, 200];
    for make in [Baseline::random_directions, Baseline::random_latents] {
        let baseline = make(&ids, &decoder, 1);
        let replaced = baseline.decoder().unwrap();
        let same = make(&ids[1..2], &decoder, 1);
        let other = make(&ids, &decoder, 2);
        for (place, &id) in ids.iter().enumerate() {
            let (own, row) = (decoder.chat(id as usize), replaced.chat(place));
            close(f64::from(norm(row)), f64::from(norm(own)), 1e-4, "length");
            assert!(cosine(own, row).unwrap().abs() < 0.9, "its own direction");
            assert_eq!(replaced.base(place), decoder.base(id as usize));
            assert_ne!(row, other.decoder().unwrap().chat(place));
        }
        // A latent's direction does not depend on the others.
        assert_eq!(same.decoder().unwrap().chat(0), replaced.chat(1));

        let mut sums = baseline.sums();
        let mut direct = ScalingSums::new(ids.len());
        for token in &planted.tokens {
            let error = [0, 1].map(|m| -> Vec<f32> {
                let pairs = token.x[m].iter().zip(&token.x_hat[m]);
                pairs.map(|(x, h)| x - h).collect()
            });
            let x: [&[f32]; 2] = [&token.x[0], &token.x[1]];
            let of = ScalingToken::new(x, [&error[0], &error[1]], &decoder).unwrap();
            baseline.add(&mut sums, &of, &token.active).unwrap();
            let inside: Vec<(u32, f32)> = token
                .active
                .iter()
                .filter_map(|a| Some((ids.iter().position(|id| *id == a.0)? as u32, a.1)))
                .collect();
            direct.add(&of, &inside, &replaced).unwrap();
        }
        assert_eq!(sums, direct);
        let ratios = baseline.ratios(&sums).unwrap();
        assert_eq!(ratios.len(), 3);
        let betas = direct.betas(&replaced).unwrap();
        assert_eq!(ratios[1], (TARGET as u32, diffing::ratios(&betas[1])));
    }
    let gaussian = Baseline::random_directions(&(0..200).collect::<Vec<_>>(), &decoder, 3);
    let gaussian = gaussian.decoder().unwrap();
    let unit: Vec<f64> = (0..200)
        .flat_map(|j| {
            let row = gaussian.chat(j);
            let scale = (DIM as f64).sqrt() / f64::from(norm(row));
            row.iter().map(move |x| f64::from(*x) * scale)
        })
        .collect();
    let mean = unit.iter().sum::<f64>() / unit.len() as f64;
    let fourth = unit.iter().map(|x| x.powi(4)).sum::<f64>() / unit.len() as f64;
    close(mean, 0.0, 0.05, "mean");
    close(fourth, 3.0, 0.3, "fourth moment of a normal number");
}

#[test]
fn chat_only_latents_are_compared_with_as_many_shared_ones() {
    let cuts = ClassCuts::default();
    let rows: Vec<LatentRow> = (0..100)
        .map(|id| {
            let base = if id < 10 { 0.0 } else { 1.0 };
            diffing::weight_row(id, [base, 1.0], [&[base], &[1.0]], &cuts)
        })
        .collect();
    let shared = compared_shared(&rows);
    assert_eq!(shared.len(), 10);
    assert!(
        shared.is_sorted()
            && shared
                .iter()
                .all(|&id| rows[id as usize].class == Class::Shared)
    );
    assert!(
        shared.last().unwrap() - shared[0] > 30,
        "not the first ones: {shared:?}"
    );
    let all = compared(&rows);
    assert_eq!(all.len(), 20);
    assert!(all.is_sorted() && all.starts_with(&[0, 1, 2]));
    // All, where there are fewer.
    assert_eq!(compared_shared(&rows[..15]), [10, 11, 12, 13, 14]);
}

#[test]
fn a_group_tells_of_its_reliable_ratios() {
    let known = |epsilon: f64, r: f64| [Some(epsilon), Some(r)];
    let mut ratios: Vec<[Option<f64>; 2]> =
        (0..=4).map(|i| known(f64::from(i) / 4.0, 0.5)).collect();
    ratios.extend([
        known(2.01, 0.5),
        known(0.5, -0.11),
        [None, Some(0.5)],
        [Some(0.5), None],
    ]);
    let group = scaling_group("some", &ratios);
    assert_eq!(
        (group.name.as_str(), group.latents, group.reliable),
        ("some", 9, 5)
    );
    for (found, expected) in group
        .nu_epsilon
        .quantiles
        .iter()
        .zip([0.025, 0.25, 0.5, 0.75, 0.975])
    {
        close(*found, expected, 1e-12, "quantile");
    }
    let histogram = &group.nu_epsilon.histogram;
    assert_eq!(histogram.counts.len(), 42);
    assert_eq!((histogram.edges[0], histogram.edges[42]), (-0.1, 2.0));
    assert_eq!(histogram.counts.iter().sum::<u64>(), 5);
    let empty = scaling_group("none", &[]);
    assert!(empty.nu_r.quantiles.is_empty() && empty.reliable == 0);
}
