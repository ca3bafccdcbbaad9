//! Statistics by corpus and role, and by place in the chat template: against a dense reading, in parts, and through a file.
#![allow(clippy::unwrap_used)] // a failed test is a panic

use api::TokenKind::{self, Bos, Content, Template};
use diffing::{
    LatentStatistics, Place, ROLES, Speaker, TEMPLATE_BUCKETS, TemplateGroup, TemplateLatent,
    TemplateStatistics, TemplateSums, template_bucket,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LATENTS: usize = 12;

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
        "{found} is not {expected}"
    );
}

fn place(corpus: usize, kind: TokenKind, speaker: Speaker) -> Place {
    Place {
        corpus,
        kind,
        speaker,
    }
}

/// One sequence: its corpus, what its tokens are, who speaks them, and v of every token and latent.
struct Sequence {
    corpus: usize,
    kinds: Vec<TokenKind>,
    speakers: Vec<Speaker>,
    dense: Vec<Vec<f32>>,
}

impl Sequence {
    /// (latent, position, v) of what is active.
    fn sparse(&self) -> Vec<(u32, u32, f32)> {
        let tokens = (0u32..).zip(&self.dense);
        tokens
            .flat_map(|(t, row)| (0u32..).zip(row).map(move |(j, &v)| (j, t, v)))
            .filter(|a| a.2 > 0.0)
            .collect()
    }
}

/// Chats of two turns in corpus 1, plain texts in corpus 0.
fn sequences(count: usize, seed: u64) -> Vec<Sequence> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|i| {
            let chat = i % 2 == 1;
            let mut tokens = vec![(Bos, Speaker::None)];
            if chat {
                for speaker in [Speaker::User, Speaker::Assistant, Speaker::User] {
                    tokens.extend([(Template, Speaker::None); 3]);
                    let words = rng.random_range(0..5);
                    tokens.extend(std::iter::repeat_n((Content, speaker), words));
                    // The end of the assistant's turn is its own, the line's end is not.
                    let end = match speaker {
                        Speaker::Assistant => Speaker::Assistant,
                        _ => Speaker::None,
                    };
                    tokens.extend([(Template, end), (Template, Speaker::None)]);
                }
            } else {
                tokens.extend([(Content, Speaker::None); 9]);
            }
            let dense = tokens
                .iter()
                .map(|_| {
                    (0..LATENTS)
                        .map(|j| {
                            // Latent 0 is dead; some values lie below the least that counts for templates.
                            let fires = j > 0 && rng.random_bool(0.4);
                            let tiny = rng.random_bool(0.1);
                            let v: f32 = rng.random_range(0.01..10.0);
                            match (fires, tiny) {
                                (false, _) => 0.0,
                                (true, true) => 5e-4,
                                (true, false) => v,
                            }
                        })
                        .collect()
                })
                .collect();
            let (kinds, speakers) = tokens.into_iter().unzip();
            Sequence {
                corpus: usize::from(chat),
                kinds,
                speakers,
                dense,
            }
        })
        .collect()
}

fn count(statistics: &mut LatentStatistics, sequence: &Sequence) {
    for (t, row) in sequence.dense.iter().enumerate() {
        let active = (0u32..).zip(row.iter().copied()).filter(|a| a.1 > 0.0);
        let place = place(sequence.corpus, sequence.kinds[t], sequence.speakers[t]);
        statistics.add_token(place, active).unwrap();
    }
}

#[test]
fn a_few_tokens_count_as_by_hand() {
    let tokens: [(Place, &[(u32, f32)]); 4] = [
        (place(0, Bos, Speaker::None), &[(0, 8.0)]),
        (
            place(0, Template, Speaker::Assistant),
            &[(0, 2.0), (1, 1.0)],
        ),
        (place(1, Content, Speaker::User), &[(0, 4.0), (1, 0.0)]),
        (place(1, Content, Speaker::None), &[]),
    ];
    let mut whole = LatentStatistics::new(3, 2);
    let (mut left, mut right) = (LatentStatistics::new(3, 2), LatentStatistics::new(3, 2));
    for (i, (place, active)) in tokens.into_iter().enumerate() {
        whole.add_token(place, active.iter().copied()).unwrap();
        let part = if i < 2 { &mut left } else { &mut right };
        part.add_token(place, active.iter().copied()).unwrap();
    }
    right.merge(&left).unwrap();
    assert_eq!(right, whole);
    let first = whole.summary(0).unwrap();
    assert_eq!((first.tokens, first.active_tokens), (4, 3));
    assert_eq!(first.frequency, Some(0.75));
    assert_eq!(first.max_activation, 8.0);
    close(first.mean_activation.unwrap(), 14.0 / 3.0, 1e-12);
    assert_eq!(first.template_share, Some(0.5));
    assert_eq!(whole.part_tokens(), [2, 2, 1, 1, 1, 0, 1]);
    let shares: Vec<_> = whole
        .shares(0)
        .iter()
        .map(|s| (s.active_tokens, s.max_activation, s.mean_activation))
        .collect();
    let none = (0, 0.0, None);
    assert_eq!(
        shares,
        [
            (2, 8.0, Some(5.0)),
            (1, 4.0, Some(4.0)),
            (1, 8.0, Some(8.0)),
            (1, 2.0, Some(2.0)),
            (1, 4.0, Some(4.0)),
            none,
            none
        ]
    );
    assert_eq!(whole.summary(1).unwrap().active_tokens, 1);
    let dead = whole.summary(2).unwrap();
    assert_eq!((dead.dead, dead.max_activation), (Some(true), 0.0));
    assert_eq!((dead.mean_activation, dead.template_share), (None, None));
    assert_eq!(whole.summary(3), None);
    assert!(whole.shares(3).is_empty());
    assert_eq!(whole.maxima(), [8.0, 1.0, 0.0]);
    assert_eq!(whole.histogram(0).unwrap().total(), 3);
    let none = LatentStatistics::new(1, 1).summary(0).unwrap();
    assert_eq!((none.dead, none.frequency), (None, None));
    let here = place(0, Content, Speaker::None);
    assert!(whole.add_token(here, [(3, 1.0)]).is_err());
    let elsewhere = place(2, Content, Speaker::None);
    let message = whole.add_token(elsewhere, []).unwrap_err().to_string();
    assert!(message.contains("corpus 2"), "{message}");
    assert!(whole.merge(&LatentStatistics::new(1, 2)).is_err());
    assert!(whole.merge(&LatentStatistics::new(3, 1)).is_err());
}

/// The largest v of latent j is where sequence, position and latent are largest.
#[test]
fn t4_maxima_from_sparse_codes_are_those_of_the_dense_pass() {
    let (samples, tokens, base) = (7usize, 5usize, 3.0f32);
    let value = |s: usize, t: usize, j: usize| s as f32 + t as f32 + j as f32 + base;
    let mut statistics = LatentStatistics::new(LATENTS, 1);
    let mut dense = vec![0f32; LATENTS];
    for s in 0..samples {
        for t in 0..tokens {
            let active = (0..LATENTS).map(|j| (j as u32, value(s, t, j)));
            for (max, (_, v)) in dense.iter_mut().zip(active.clone()) {
                *max = max.max(v);
            }
            statistics
                .add_token(place(0, Content, Speaker::None), active)
                .unwrap();
        }
    }
    assert_eq!(statistics.maxima(), dense);
    for (j, max) in statistics.maxima().into_iter().enumerate() {
        assert_eq!(max, (samples - 1 + tokens - 1 + j) as f32 + base);
    }
}

#[test]
fn every_division_adds_up_and_parts_give_one_run() {
    let all = sequences(40, 5);
    let new = || LatentStatistics::new(LATENTS, 2);
    let mut whole = new();
    let mut parts = [new(), new(), new()];
    for (i, sequence) in all.iter().enumerate() {
        count(&mut whole, sequence);
        count(&mut parts[i % 3], sequence);
    }
    let mut merged = new();
    for part in parts.iter().rev() {
        merged.merge(part).unwrap();
    }
    assert_eq!(merged.part_tokens(), whole.part_tokens());
    assert_eq!(merged.maxima(), whole.maxima());
    let json = serde_json::to_string(&whole).unwrap();
    let read: LatentStatistics = serde_json::from_str(&json).unwrap();
    assert_eq!(read.maxima(), whole.maxima());
    for latent in 0..LATENTS as u32 {
        let summary = whole.summary(latent).unwrap();
        let shares = whole.shares(latent);
        assert_eq!(shares.len(), 2 + ROLES.len());
        for division in [&shares[..2], &shares[2..]] {
            let active: u64 = division.iter().map(|s| s.active_tokens).sum();
            assert_eq!(active, summary.active_tokens);
            let max = division
                .iter()
                .map(|s| s.max_activation)
                .fold(0.0, f64::max);
            assert_eq!(max, summary.max_activation);
            let sum: f64 = division
                .iter()
                .map(|s| s.mean_activation.unwrap_or(0.0) * s.active_tokens as f64)
                .sum();
            let mean = summary.mean_activation.unwrap_or(0.0);
            close(sum, mean * summary.active_tokens as f64, 1e-12);
        }
        for (found, one) in merged.shares(latent).iter().zip(&shares) {
            assert_eq!(found.active_tokens, one.active_tokens);
            assert_eq!(found.max_activation, one.max_activation);
            close(
                found.mean_activation.unwrap_or(0.0),
                one.mean_activation.unwrap_or(0.0),
                1e-12,
            );
        }
        assert_eq!(merged.histogram(latent), whole.histogram(latent));
        assert_eq!(read.histogram(latent), whole.histogram(latent));
    }
    assert_eq!(whole.part_tokens()[..2].iter().sum::<u64>(), whole.tokens());
}

#[test]
fn buckets_are_closed_on_the_right() {
    // A power of two keeps the quotient exact; 0.1 and its kin are not, so the edges are met from f64.
    for (share, bucket) in [
        (0.05, 0),
        (0.25, 1),
        (0.5, 2),
        (0.75, 3),
        (1.0, 3),
        (1.5, 3),
    ] {
        assert_eq!(template_bucket(share * 8.0, 8.0), bucket, "{share}");
    }
    assert_eq!(
        template_bucket(0.4, 1.0),
        usize::from(f64::from(0.4f32) > 0.4) + 1
    );
}

/// Groups of a token by the original's masks over the whole sequence.
fn groups(sequence: &Sequence) -> Vec<Vec<TemplateGroup>> {
    let mut controls = 0;
    sequence
        .kinds
        .iter()
        .zip(&sequence.speakers)
        .map(|(kind, speaker)| {
            let mut groups = Vec::new();
            let control = *kind == Template;
            if control {
                controls += 1;
                groups.push(TemplateGroup::Control);
                groups.push(TemplateGroup::ControlAt(((controls - 1) % 10 + 1) as u8));
            } else if *kind != Bos {
                groups.push(TemplateGroup::NotControl);
            }
            if *speaker == Speaker::Assistant {
                groups.push(TemplateGroup::Assistant);
            } else if !control && *kind != Bos {
                groups.push(TemplateGroup::User);
            }
            if *kind == Bos {
                groups.push(TemplateGroup::Bos);
            }
            groups
        })
        .collect()
}

#[test]
fn t5_template_statistics_are_those_of_a_dense_reading() {
    let all = sequences(30, 8);
    let mut maxima = vec![0f32; LATENTS];
    for row in all.iter().flat_map(|s| &s.dense) {
        for (max, v) in maxima.iter_mut().zip(row) {
            *max = max.max(*v);
        }
    }
    let new = || TemplateStatistics::new(maxima.clone());
    let mut whole = new();
    let mut parts = [new(), new(), new()];
    for (i, s) in all.iter().enumerate() {
        let active = s.sparse();
        whole.add_sequence(&s.kinds, &s.speakers, &active).unwrap();
        let part = &mut parts[i % 3];
        part.add_sequence(&s.kinds, &s.speakers, &active).unwrap();
    }
    let mut merged = new();
    for part in parts.iter().rev() {
        merged.merge(part).unwrap();
    }
    let json = serde_json::to_string(&whole).unwrap();
    let read: TemplateStatistics = serde_json::from_str(&json).unwrap();

    let chats: Vec<&Sequence> = all.iter().filter(|s| s.corpus == 1).collect();
    let mut fired = 0;
    for group in TemplateGroup::all() {
        let of_group: Vec<&Vec<f32>> = chats
            .iter()
            .flat_map(|s| s.dense.iter().zip(groups(s)))
            .filter(|(_, groups)| groups.contains(&group))
            .map(|(row, _)| row)
            .collect();
        assert_eq!(whole.tokens(group), of_group.len() as u64, "{group:?}");
        assert_eq!(merged.tokens(group), whole.tokens(group));
        for j in 0..LATENTS {
            let latent = whole.latent(j as u32).unwrap();
            let mut weighted = TemplateSums::default();
            for bucket in 0..TEMPLATE_BUCKETS {
                let values: Vec<f32> = of_group
                    .iter()
                    .map(|row| row[j])
                    .filter(|&v| v > 1e-3 && template_bucket(v, maxima[j]) == bucket)
                    .collect();
                let found = latent.sums(group, Some(bucket));
                assert_eq!(found.count, values.len() as u64, "{group:?} {j} {bucket}");
                assert_eq!(found.max, values.iter().copied().fold(0.0, f32::max));
                if let Some(mean) = found.mean() {
                    let expected: f64 = values.iter().map(|&v| f64::from(v)).sum();
                    close(mean, expected / values.len() as f64, 1e-5);
                }
                weighted.count += found.count;
                weighted.sum += found.mean().unwrap_or(0.0) * found.count as f64;
                weighted.max = weighted.max.max(found.max);
                let one = merged.latent(j as u32).unwrap().sums(group, Some(bucket));
                assert_eq!((one.count, one.max), (found.count, found.max));
                close(one.sum, found.sum, 1e-12);
                fired += found.count;
            }
            let all = latent.sums(group, None);
            assert_eq!((all.count, all.max), (weighted.count, weighted.max));
            close(all.sum, weighted.sum, 1e-9);
            let again = TemplateLatent::from_parts(latent.parts());
            assert_eq!(again.sums(group, None).count, all.count);
            let read = read.latent(j as u32).unwrap().sums(group, None);
            assert_eq!((read.count, read.max), (all.count, all.max));
            let tokens = whole.tokens(group) as f64;
            close(
                whole.frequency(j as u32, group).unwrap(),
                all.count as f64 / tokens,
                1e-12,
            );
        }
    }
    assert!(fired > 100, "{fired}");

    // Columns of the authors' tables that derive from others.
    let latent = whole.latent(3).unwrap();
    let counted = |group| latent.sums(group, None).count as f64;
    let (control, other) = (
        counted(TemplateGroup::Control),
        counted(TemplateGroup::NotControl),
    );
    let share = latent.share(TemplateGroup::Control).unwrap();
    close(share, control / (control + other), 1e-12);
    let mean = |group| latent.sums(group, None).mean().unwrap();
    close(
        latent.mean().unwrap(),
        mean(TemplateGroup::Control) * share + mean(TemplateGroup::NotControl) * (1.0 - share),
        1e-12,
    );
    close(
        latent.share(TemplateGroup::Bos).unwrap(),
        counted(TemplateGroup::Bos) / (control + other + counted(TemplateGroup::Bos)),
        1e-12,
    );
    let numbered: f64 = (1..=10)
        .map(|i| latent.share(TemplateGroup::ControlAt(i)).unwrap())
        .sum();
    close(numbered, 1.0, 1e-12);
    assert_eq!(whole.latent(0).unwrap().share(TemplateGroup::Bos), None);
    assert_eq!(whole.latent(0).unwrap().mean(), None);
}

#[test]
fn template_statistics_refuse_what_does_not_fit() {
    let mut statistics = TemplateStatistics::new(vec![1.0; 2]);
    let kinds = [Bos, Template];
    let speakers = [Speaker::None; 2];
    assert!(
        statistics
            .add_sequence(&kinds, &speakers[..1], &[])
            .is_err()
    );
    assert!(
        statistics
            .add_sequence(&kinds, &speakers, &[(2, 0, 1.0)])
            .is_err()
    );
    assert!(
        statistics
            .add_sequence(&kinds, &speakers, &[(1, 2, 1.0)])
            .is_err()
    );
    assert!(
        statistics
            .merge(&TemplateStatistics::new(vec![2.0; 2]))
            .is_err()
    );
    assert_eq!(statistics, TemplateStatistics::new(vec![1.0; 2]));
    assert_eq!(statistics.frequency(0, TemplateGroup::Bos), None);
    assert!(statistics.latent(2).is_none());
    let names: Vec<String> = TemplateGroup::all().map(TemplateGroup::name).collect();
    assert_eq!((names.len(), names[1].as_str()), (15, "ctrl_1"));
}
