//! Sets of latents for causal experiments, and the sums of their effects.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

use api::{CausalMetric, CausalScope, Class, LatentRow};
use diffing::{
    Effect, EffectSums, Prediction, Reference, average_ranks, chat_latents, halves_by_delta_norm,
    halves_by_scaling, kl, log_softmax, rankable,
};

fn row(id: u32, delta: f64, epsilon: f64, r: f64) -> LatentRow {
    let known = |x: f64| (!x.is_nan()).then_some(x);
    let delta_norm = known(delta);
    LatentRow {
        id,
        class: diffing::class(delta_norm, &api::ClassCuts::default()),
        dead: Some(false),
        label: None,
        verdict: None,
        delta_norm,
        norm_base: 1.0,
        norm_chat: 1.0,
        decoder_cosine: None,
        nu_epsilon: known(epsilon),
        nu_r: known(r),
        betas: api::Betas::default(),
        frequency: None,
        active_tokens: None,
        tokens: None,
        max_activation: None,
        mean_activation: None,
        template_share: None,
    }
}

/// Latents 0 to 9; those of Δ_norm at least 0.9 are chat-only.
fn rows() -> Vec<LatentRow> {
    let mut rows = vec![
        row(0, 0.95, 0.1, 0.4),
        row(1, 0.99, 0.5, 0.1),
        row(2, 0.95, 0.1, 0.2),
        row(3, 0.50, 0.0, 0.0),
        row(4, 0.91, 0.9, 0.9),
        row(5, 1.00, f64::NAN, 0.1),
        row(6, 0.97, 2.5, 0.1),
        row(7, 0.93, -0.1, 2.0),
        row(8, 0.98, 0.2, 0.2),
        row(9, f64::NAN, 0.1, 0.1),
    ];
    rows[8].dead = Some(true);
    rows
}

#[test]
fn candidates_are_chat_only_alive_and_reliable() {
    let rows = rows();
    let chat = chat_latents(&rows, None);
    assert_eq!(chat, [0, 1, 2, 4, 5, 6, 7, 8]);
    assert!(
        chat.iter()
            .all(|&id| rows[id as usize].class == Class::ChatOnly)
    );
    // Bounds of the reliable interval are in, beyond them and unknown is out.
    assert_eq!(rankable(&rows, &chat), [0, 1, 2, 4, 7]);
    // The effective list goes by Δ_norm alone: 5, 1, 8, 6, then 0 before its equal 2.
    assert_eq!(chat_latents(&rows, Some(5)), [0, 1, 5, 6, 8]);
    assert_eq!(chat_latents(&rows, Some(100)).len(), 9);
}

#[test]
fn halves_take_ties_by_id_and_never_overlap() {
    let rows = rows();
    let ids = rankable(&rows, &chat_latents(&rows, None));
    // By falling Δ_norm: 1, 0 = 2, 7, 4; five make two halves of two, and the middle one is in neither.
    assert_eq!(halves_by_delta_norm(&rows, &ids), [vec![0, 1], vec![4, 7]]);
    // Ranks of ν^ε over 0, 1, 2, 4, 7: 2.5, 4, 2.5, 5, 1; of ν^r: 3, 1, 2, 4, 5. Sums: 5.5, 5, 4.5, 9, 6.
    assert_eq!(halves_by_scaling(&rows, &ids), [vec![1, 2], vec![4, 7]]);
    let equal: Vec<LatentRow> = (0..4).map(|id| row(id, 0.95, 0.1, 0.1)).collect();
    let ids = [0, 1, 2, 3];
    for halves in [
        halves_by_delta_norm(&equal, &ids),
        halves_by_scaling(&equal, &ids),
    ] {
        assert_eq!(halves, [vec![0, 1], vec![2, 3]]);
    }
    for few in [&ids[..0], &ids[..1]] {
        assert!(halves_by_delta_norm(&equal, few).iter().all(Vec::is_empty));
    }
}

#[test]
fn equal_values_share_the_average_rank() {
    assert_eq!(
        average_ranks(&[0.3, 0.1, 0.3, 0.2, 0.3]),
        [4.0, 1.0, 4.0, 2.0, 4.0]
    );
    assert_eq!(average_ranks(&[-0.0, 0.0]), [1.5, 1.5]);
    assert_eq!(average_ranks(&[f64::NAN, 5.0]), [2.0, 1.0]);
    assert!(average_ranks(&[]).is_empty());
}

fn effect(x: f64) -> Effect {
    Effect {
        kl_from_chat: x,
        kl_from_base: 2.0 * x,
        loss: x + 1.0,
        loss_to_chat: x * x,
    }
}

fn sums(values: &[(f64, bool)]) -> EffectSums {
    let mut sums = EffectSums::default();
    for &(x, first) in values {
        sums.add(&effect(x), first).unwrap();
    }
    sums
}

#[test]
fn measures_are_means_with_unbiased_variance_and_intervals() {
    let sums = sums(&[(1.0, true), (2.0, false), (6.0, true)]);
    let measures = sums.measures();
    assert_eq!(measures.len(), 12);
    let find = |scope, metric| {
        let mut found = measures
            .iter()
            .filter(|m| m.scope == scope && m.metric == metric);
        found.next().unwrap()
    };
    let all = find(CausalScope::All, CausalMetric::KlFromChat);
    assert_eq!((all.mean, all.count), (3.0, 3));
    assert!((all.variance.unwrap() - 7.0).abs() < 1e-12);
    assert!((all.half_width.unwrap() - 1.96 * (7.0f64 / 3.0).sqrt()).abs() < 1e-12);
    let first = find(CausalScope::First, CausalMetric::KlFromBase);
    assert_eq!((first.mean, first.count), (7.0, 2));
    let rest = find(CausalScope::Rest, CausalMetric::LossToChat);
    assert_eq!((rest.mean, rest.count), (4.0, 1));
    assert_eq!((rest.variance, rest.half_width), (None, None));
    assert!(EffectSums::default().measures().is_empty());
}

#[test]
fn merged_parts_are_one_run_and_survive_json() {
    let values: Vec<(f64, bool)> = (0..50)
        .map(|i| (f64::from(i * 37 % 50) / 7.0, i % 3 == 0))
        .collect();
    let whole = sums(&values).measures();
    let mut merged = EffectSums::default();
    for part in values.chunks(7).rev() {
        let json = serde_json::to_string(&sums(part)).unwrap();
        merged.merge(&serde_json::from_str(&json).unwrap()).unwrap();
    }
    for (one, other) in whole.iter().zip(merged.measures()) {
        assert_eq!(one.count, other.count);
        assert!((one.mean - other.mean).abs() < 1e-12);
        assert!((one.variance.unwrap() - other.variance.unwrap()).abs() < 1e-9);
    }
}

#[test]
fn pooled_sets_have_the_variance_within_and_between() {
    let sets = [[1.0, 3.0], [5.0, 9.0], [0.0, 0.5]];
    let mut pooled = EffectSums::default();
    for set in sets {
        pooled.merge(&sums(&set.map(|x| (x, true)))).unwrap();
    }
    let all: Vec<f64> = sets.concat();
    let mean = all.iter().sum::<f64>() / 6.0;
    let within: f64 = sets
        .iter()
        .map(|set| {
            let own = f64::midpoint(set[0], set[1]);
            set.iter().map(|x| (x - own).powi(2)).sum::<f64>()
        })
        .sum();
    let between: f64 = sets
        .iter()
        .map(|set| 2.0 * (f64::midpoint(set[0], set[1]) - mean).powi(2))
        .sum();
    let measure = pooled.measures()[0].clone();
    assert!((measure.mean - mean).abs() < 1e-12);
    assert!((measure.variance.unwrap() - (within + between) / 5.0).abs() < 1e-12);
}

#[test]
fn a_prepared_reference_gives_the_same_divergence() {
    let p: Vec<f32> = (0..300).map(|i| ((i * 31 % 97) as f32) / 9.0).collect();
    let q: Vec<f32> = (0..300).map(|i| ((i * 17 % 89) as f32) / 9.0).collect();
    let reference = Reference::new(&p);
    let prediction = Prediction::new(&q);
    assert_eq!(reference.kl(&prediction), kl(&p, &q));
    assert_eq!(reference.kl(&Prediction::new(&p)), 0.0);
    assert!(kl(&p, &q) > 0.0);
    let logs = log_softmax(&q);
    assert!((prediction.loss(5) + logs[5]).abs() < 1e-12);
    assert!(prediction.loss(300).is_nan());
    assert!(reference.kl(&Prediction::new(&q[1..])).is_nan());
    assert_eq!(Reference::new(&[0.5, 2.0, 2.0]).best(), 1);
}
