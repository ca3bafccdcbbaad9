//! Whatever is gathered over tokens: streamed, merged, written to a file and read again.
#![allow(clippy::unwrap_used)] // a failed test is a panic

use diffing::{LogHistogram, Moments, QuantileSampler, histogram, quantile_group};
use rand::seq::SliceRandom;
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
fn t3_moments_stream_and_merge() {
    let mut small = Moments::new(3);
    assert!(small.std().iter().all(|s| s.is_nan()));
    small.add(&[1.0, 2.0, 3.0]).unwrap();
    assert!(small.std().iter().all(|s| s.is_nan()));
    small.add(&[2.0, 4.0, 6.0]).unwrap();
    for (found, times) in small.std().iter().zip([1.0, 2.0, 3.0]) {
        close(*found, times * std::f64::consts::FRAC_1_SQRT_2, 1e-12);
    }
    assert!(small.add(&[1.0]).is_err());

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let rows: Vec<[f32; 2]> = (0..1000)
        .map(|_| [normal(&mut rng) as f32 + 100.0, normal(&mut rng) as f32])
        .collect();
    let (mut whole, mut left, mut right) = (Moments::new(2), Moments::new(2), Moments::new(2));
    for (i, row) in rows.iter().enumerate() {
        whole.add(row).unwrap();
        if i < 300 { &mut left } else { &mut right }
            .add(row)
            .unwrap();
    }
    left.merge(&right).unwrap();
    left.merge(&Moments::new(2)).unwrap();
    assert_eq!(left.count(), 1000);
    for d in 0..2 {
        let column = || rows.iter().map(|r| f64::from(r[d]));
        let mean = column().sum::<f64>() / 1000.0;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / 999.0;
        for m in [&whole, &left] {
            close(m.mean()[d], mean, 1e-7 + 1e-6 * mean.abs());
            close(m.std()[d], variance.sqrt(), 1e-6);
            close(m.population_std()[d], (variance * 0.999).sqrt(), 1e-6);
        }
    }
}

/// As f16 would hold it: 11 significant bits.
fn halved(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & !0x1fff)
}

#[test]
fn t3_moments_of_half_precision_rows_merge_in_any_order() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let rows: Vec<[f32; 2]> = (0..600)
        .map(|_| {
            [
                halved(normal(&mut rng) as f32 * 30.0),
                halved(normal(&mut rng) as f32),
            ]
        })
        .collect();
    let of = |rows: &[[f32; 2]]| {
        let mut moments = Moments::new(2);
        for row in rows {
            moments.add(row).unwrap();
        }
        moments
    };
    let whole = of(&rows);
    let mut parts: Vec<Moments> = rows.chunks(130).map(of).collect();
    for _ in 0..5 {
        parts.shuffle(&mut rng);
        let mut all = Moments::new(2);
        for part in &parts {
            all.merge(part).unwrap();
        }
        assert_eq!(all.count(), whole.count());
        for d in 0..2 {
            let (mean, std) = (whole.mean()[d], whole.std()[d]);
            close(all.mean()[d], mean, 1e-7 + 1e-6 * mean.abs());
            close(all.std()[d], std, 1e-7 + 1e-6 * std);
        }
    }
    let mut same = whole.clone();
    same.merge(&Moments::new(2)).unwrap();
    assert_eq!(same, whole, "nothing changes no bit");
    let mut taken = Moments::new(2);
    taken.merge(&whole).unwrap();
    assert_eq!(taken, whole);
}

#[test]
fn linear_histogram_closes_its_last_bin() {
    let h = histogram([0.0, 0.1, 0.5, 1.0, -0.1, 1.1, f64::NAN], 0.0, 1.0, 10);
    assert_eq!(h.edges.len(), 11);
    assert_eq!(h.counts, [1, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
    for i in 0..100 {
        let edge = f64::from(i) / 100.0;
        let h = histogram([edge], 0.0, 1.0, 100);
        let bin = h.counts.iter().position(|&n| n == 1).unwrap();
        assert!(h.edges[bin] <= edge && edge < h.edges[bin + 1], "{edge}");
    }
}

#[test]
fn log_histogram_bins_every_scale_and_merges() {
    let values = [1e-30f32, 0.5, 0.5624, 0.5626, 1.0, 7.9, 8.0, 3e30];
    let mut whole = LogHistogram::default();
    let (mut left, mut right) = (LogHistogram::default(), LogHistogram::default());
    for (i, v) in values.into_iter().enumerate() {
        whole.add(v);
        if i % 2 == 0 { &mut left } else { &mut right }.add(v);
    }
    right.merge(&left);
    assert_eq!(right, whole);
    assert!(whole.bins().all(|(_, count)| count > 0));
    let mut bins: Vec<(u16, u64)> = whole.bins().collect();
    bins.reverse();
    assert_eq!(LogHistogram::from_bins(bins), whole);
    for v in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        whole.add(v);
    }
    assert_eq!(whole.total(), values.len() as u64);
    let mut narrow = LogHistogram::default();
    for v in [0.5, 0.5624, 0.5626, 1.0] {
        narrow.add(v);
    }
    let h = narrow.to_histogram();
    assert_eq!(h.edges.first(), Some(&0.5));
    assert_eq!(h.edges.last(), Some(&1.125));
    assert_eq!(h.counts, [2, 1, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(
        LogHistogram::default().to_histogram(),
        api::Histogram::default()
    );
}

#[test]
fn groups_count_thresholds_strictly_below() {
    for (value, group) in [
        (0.1, 0),
        (0.25, 0),
        (0.26, 1),
        (0.5, 1),
        (0.75, 2),
        (0.95, 3),
        (0.96, 4),
        (1.0, 4),
        (1.01, 5),
    ] {
        // A maximum of 1 scaled by a power of two keeps the thresholds exact.
        assert_eq!(quantile_group(value * 8.0, 8.0), group, "{value}");
    }
}

/// Number, token ids, and (latent, position, v).
type Sequence = (u64, Vec<u32>, Vec<(u32, u32, f32)>);

/// Sequences 0..n with one latent whose largest v rises; every fifth is a copy of the one before.
fn sequences(n: u64) -> Vec<Sequence> {
    (0..n)
        .map(|i| {
            let content = if i % 5 == 4 { i - 1 } else { i };
            let v = 1.0 + (content * 37 % n) as f32;
            let tokens = vec![2, content as u32, 7];
            (i, tokens, vec![(0, 2, v), (0, 1, v / 2.0), (1, 0, 1.0)])
        })
        .collect()
}

/// Everything that a sampler shows.
fn shown(s: &QuantileSampler) -> Vec<(u64, Vec<diffing::Sampled>)> {
    (0..2)
        .flat_map(|latent| (0..diffing::GROUPS).map(move |group| (latent, group)))
        .map(|(latent, group)| {
            let examples = s.examples(latent, group).into_iter().cloned().collect();
            (s.sequences(latent, group), examples)
        })
        .collect()
}

#[test]
fn sampling_is_order_free_and_merges_to_one_run() {
    let n = 400;
    let maxima = vec![n as f32, 1.0];
    let new = || QuantileSampler::new(maxima.clone(), 10, 3);
    let all = sequences(n);
    let mut whole = new();
    for (i, tokens, activations) in &all {
        whole.offer(*i, tokens, activations).unwrap();
    }
    let groups = shown(&whole);
    assert_eq!(groups.iter().take(6).map(|g| g.0).sum::<u64>(), n);
    for (sequences, examples) in &groups {
        assert_eq!(examples.len() as u64, (*sequences).min(10));
        assert!(examples.is_sorted_by(|a, b| a.max >= b.max));
        assert!(examples.iter().all(|e| e.sequence % 5 != 4), "a copy");
    }
    let kept = &groups[2].1[0];
    assert_eq!(kept.activations, [(1, kept.max / 2.0), (2, kept.max)]);

    let mut shuffled = all.clone();
    shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(9));
    let mut other = new();
    for (i, tokens, activations) in &shuffled {
        other.offer(*i, tokens, activations).unwrap();
    }
    assert_eq!(shown(&other), groups);

    // Copies fall into different shards.
    let mut shards = [new(), new(), new()];
    for (i, tokens, activations) in &all {
        shards[(*i % 3) as usize]
            .offer(*i, tokens, activations)
            .unwrap();
    }
    let [first, second, third] = shards;
    for order in [[&first, &second, &third], [&third, &first, &second]] {
        let mut merged = new();
        for shard in order {
            merged.merge(shard.clone()).unwrap();
        }
        assert_eq!(shown(&merged), groups);
    }

    let mut reseeded = QuantileSampler::new(maxima.clone(), 10, 4);
    for (i, tokens, activations) in &all {
        reseeded.offer(*i, tokens, activations).unwrap();
    }
    assert_ne!(shown(&reseeded), groups);
    assert!(whole.merge(reseeded).is_err());
    assert!(whole.offer(n, &[1], &[(2, 0, 1.0)]).is_err());
}

#[test]
fn sampling_bounds_are_the_groups() {
    let sampler = QuantileSampler::new(vec![8.0], 1, 0);
    assert_eq!(sampler.bounds(0, 0), (0.0, 2.0));
    assert_eq!(sampler.bounds(0, 2), (4.0, 6.0));
    assert_eq!(sampler.bounds(0, 5), (8.0, f64::INFINITY));
    assert!(sampler.examples(0, 2).is_empty());
    assert!(sampler.examples(1, 9).is_empty());
}

#[test]
fn a_choice_takes_a_few_of_every_group_and_tops_up_where_there_are_more() {
    // Two sequences at the top, thirty at the bottom.
    let mut sampler = QuantileSampler::new(vec![8.0], 20, 1);
    for sequence in 0..32u32 {
        let v = if sequence < 2 { 8.0 } else { 1.0 };
        sampler
            .offer(u64::from(sequence), &[1, sequence], &[(0, 0, v)])
            .unwrap();
    }
    let sizes = |per_group, least| sampler.choice(0, per_group, least).map(|group| group.len());
    assert_eq!(sizes(5, 0), [5, 0, 0, 0, 2, 0]);
    assert_eq!(sizes(5, 20), [18, 0, 0, 0, 2, 0]);
    assert_eq!(sizes(20, 20), [20, 0, 0, 0, 2, 0]);
    assert_eq!(sizes(1, 3), [1, 0, 0, 0, 2, 0]);
    assert_eq!(sizes(0, 100), [20, 0, 0, 0, 2, 0]);
}
