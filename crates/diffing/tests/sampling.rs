//! The choice of examples against a slow reading of the rule, at its edges, and with copies of texts.
#![allow(clippy::unwrap_used)] // a failed test is a panic

use std::collections::{BTreeMap, BTreeSet};

use diffing::{GROUPS, QuantileSampler, Sampled, quantile_group};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number, token ids, and (latent, position, v).
type Sequence = (u64, Vec<u32>, Vec<(u32, u32, f32)>);

/// Sequences of `latents` latents, many of them copies of earlier texts with their activations.
fn corpus(count: u64, latents: u32, seed: u64) -> (Vec<Sequence>, Vec<f32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut maxima = vec![0f32; latents as usize];
    let mut all: Vec<Sequence> = Vec::new();
    for number in 0..count {
        let copied = (number > 0 && rng.random_bool(0.4)).then(|| rng.random_range(0..number));
        let original = copied.and_then(|i| all.get(i as usize).cloned());
        let sequence = if let Some((_, tokens, active)) = original {
            (number, tokens, active)
        } else {
            let tokens = vec![2, rng.random(), rng.random()];
            let mut active = Vec::new();
            for position in 0..3 {
                for latent in 0..latents {
                    // Latent 1 is rare, the last one dead.
                    let chance = if latent == 1 { 0.02 } else { 0.3 };
                    if latent + 1 < latents && rng.random_bool(chance) {
                        active.push((latent, position, rng.random_range(0.1..4.0)));
                    }
                }
            }
            (number, tokens, active)
        };
        for &(latent, _, v) in &sequence.2 {
            let max = &mut maxima[latent as usize];
            *max = max.max(v);
        }
        all.push(sequence);
    }
    (all, maxima)
}

/// The rule without sampling: of every distinct text, the first sequence, in the group of its largest v.
fn slow(all: &[Sequence], latent: u32, max: f32) -> [Vec<Sampled>; GROUPS] {
    let mut seen = BTreeSet::new();
    let mut groups: [Vec<Sampled>; GROUPS] = Default::default();
    for (number, tokens, active) in all {
        if !seen.insert(tokens) {
            continue;
        }
        let mut own: BTreeMap<u32, f32> = BTreeMap::new();
        for &(_, position, v) in active.iter().filter(|a| a.0 == latent) {
            own.insert(position, v);
        }
        let largest = own.values().copied().fold(0.0, f32::max);
        if largest > 0.0 {
            groups[quantile_group(largest, max)].push(Sampled {
                sequence: *number,
                max: largest,
                activations: own.into_iter().collect(),
            });
        }
    }
    for group in &mut groups {
        group.sort_by(|a, b| b.max.total_cmp(&a.max).then(a.sequence.cmp(&b.sequence)));
    }
    groups
}

fn sampled(all: &[Sequence], maxima: &[f32], per_group: usize) -> QuantileSampler {
    let mut sampler = QuantileSampler::new(maxima.to_vec(), per_group, 5);
    for (number, tokens, active) in all {
        sampler.offer(*number, tokens, active).unwrap();
    }
    sampler
}

#[test]
fn t6_without_replacement_the_sample_is_every_distinct_text() {
    let (all, maxima) = corpus(400, 6, 1);
    let sampler = sampled(&all, &maxima, all.len());
    for (latent, &max) in (0u32..).zip(&maxima) {
        for (group, expected) in slow(&all, latent, max).iter().enumerate() {
            let found: Vec<Sampled> = sampler
                .examples(latent, group)
                .into_iter()
                .cloned()
                .collect();
            assert_eq!(&found, expected, "latent {latent}, group {group}");
        }
    }
}

#[test]
fn t6_a_small_sample_is_a_part_of_it_and_as_large_as_it_can_be() {
    let (all, maxima) = corpus(600, 6, 2);
    let sampler = sampled(&all, &maxima, 20);
    let mut fewer = 0;
    for (latent, &max) in (0u32..).zip(&maxima) {
        let whole = slow(&all, latent, max);
        let chosen = sampler.choice(latent, 5, 20);
        let distinct: usize = whole.iter().map(Vec::len).sum();
        let stored: usize = chosen.iter().map(Vec::len).sum();
        assert!(
            stored >= distinct.min(20),
            "latent {latent}: {stored} of {distinct}"
        );
        for (group, (chosen, whole)) in chosen.iter().zip(&whole).enumerate() {
            assert!(chosen.iter().all(|example| whole.contains(example)));
            assert!(chosen.len() >= whole.len().min(5));
            // Copies count among a group's sequences: there may be twenty of them and fewer texts.
            let copies = sampler.sequences(latent, group);
            assert!(copies >= whole.len() as u64);
            fewer += usize::from(copies >= 20 && whole.len() < 20);
        }
        assert!(sampler.kept().len() >= stored);
    }
    assert!(fewer > 0, "no group has copies that make the difference");
}

#[test]
fn t6_nothing_and_a_single_latent_are_sampled_too() {
    let empty = QuantileSampler::new(Vec::new(), 5, 0);
    assert!(empty.kept().is_empty() && empty.examples(0, 0).is_empty());
    assert!(empty.choice(0, 5, 5).iter().all(Vec::is_empty));

    let mut single = QuantileSampler::new(vec![2.0], 5, 0);
    single.offer(0, &[], &[]).unwrap();
    single.offer(1, &[7], &[(0, 0, 0.0)]).unwrap();
    assert!(single.kept().is_empty());
    single.offer(2, &[8], &[(0, 0, 2.0)]).unwrap();
    let found = single.examples(0, 4);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].sequence, found[0].max), (2, 2.0));

    // A latent whose largest v is unknown has everything above it.
    let mut unknown = QuantileSampler::new(vec![0.0], 5, 0);
    unknown.offer(0, &[8], &[(0, 0, 1.0)]).unwrap();
    assert_eq!(unknown.examples(0, GROUPS - 1).len(), 1);
}
