//! Latents that fire together: against a dense computation of every pair, in parts, and from a sample.
#![allow(clippy::unwrap_used)] // a failed test is a panic

use diffing::{CoFiring, PairSums, Partner, TokenSample};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LATENTS: usize = 30;
const TOKENS: usize = 3000;
const ENOUGH: usize = 1 << 20;

type Token = (u64, u32, Vec<(u32, f32)>);

/// Latents 3k, 3k+1 and 3k+2 follow one hidden cause, so that they fire together, less and less closely.
fn tokens() -> Vec<Token> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    (0..TOKENS)
        .map(|t| {
            let mut active = Vec::new();
            for cause in 0..LATENTS as u32 / 3 {
                if !rng.random_bool(0.05) {
                    continue;
                }
                for (step, chance) in [(0, 0.95), (1, 0.8), (2, 0.3)] {
                    if rng.random_bool(chance) {
                        active.push((3 * cause + step, rng.random_range(1.0..2.0)));
                    }
                }
            }
            ((t / 50) as u64, (t % 50) as u32, active)
        })
        .collect()
}

/// Every pair's correlation from dense columns, two passes.
fn dense(tokens: &[Token]) -> Vec<Vec<Partner>> {
    let n = tokens.len() as f64;
    let mut columns = vec![vec![0f64; tokens.len()]; LATENTS];
    for (t, (_, _, active)) in tokens.iter().enumerate() {
        for &(id, v) in active {
            columns[id as usize][t] = f64::from(v);
        }
    }
    for column in &mut columns {
        let mean = column.iter().sum::<f64>() / n;
        for v in column.iter_mut() {
            *v -= mean;
        }
    }
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    (0..LATENTS as u32)
        .map(|a| {
            let x = &columns[a as usize];
            let mut partners: Vec<Partner> = (0..LATENTS as u32)
                .filter(|&b| b != a)
                .map(|b| {
                    let y = &columns[b as usize];
                    let together = tokens
                        .iter()
                        .filter(|t| [a, b].iter().all(|id| t.2.iter().any(|x| x.0 == *id)))
                        .count() as u64;
                    Partner {
                        id: b,
                        correlation: product(x, y) / (product(x, x) * product(y, y)).sqrt(),
                        together,
                    }
                })
                .filter(|p| p.together >= 3 && p.correlation > 0.0)
                .collect();
            partners.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
            partners
        })
        .collect()
}

fn sample(tokens: &[Token], budget: usize) -> TokenSample {
    let mut sample = TokenSample::new(LATENTS, budget, 1);
    for (sequence, position, active) in tokens {
        sample.offer(*sequence, *position, active).unwrap();
    }
    sample
}

fn found(index: &CoFiring, wanted: usize) -> Vec<Vec<Partner>> {
    let mut scratch = index.scratch();
    (0..LATENTS as u32)
        .map(|id| index.partners(id, wanted, &mut scratch))
        .collect()
}

fn assert_same(found: &[Vec<Partner>], expected: &[Vec<Partner>], wanted: usize) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len().min(wanted));
        for (one, other) in found.iter().zip(expected) {
            assert_eq!((one.id, one.together), (other.id, other.together));
            assert!((one.correlation - other.correlation).abs() < 1e-9);
        }
    }
}

#[test]
fn a_whole_sample_and_sums_of_all_pairs_give_the_dense_correlations() {
    let tokens = tokens();
    let expected = dense(&tokens);
    let sample = sample(&tokens, ENOUGH);
    assert!(sample.is_complete());
    for wanted in [0, 2, LATENTS] {
        assert_same(&found(&sample.index(), wanted), &expected, wanted);
    }
    // Latents of one cause find each other.
    assert_eq!(expected[3][0].id, 4);

    let every = (0..LATENTS as u32).flat_map(|a| (0..LATENTS as u32).map(move |b| (a, b)));
    let mut sums = PairSums::new(LATENTS, every);
    for (_, _, active) in &tokens {
        sums.add_token(active).unwrap();
    }
    assert_same(&sums.partners(LATENTS), &expected, LATENTS);
}

#[test]
fn sums_over_parts_are_those_of_one_run() {
    let tokens = tokens();
    let pairs = [(0, 1), (4, 3), (1, 0), (7, 7), (5, 99)];
    let new = || PairSums::new(LATENTS, pairs);
    let mut whole = new();
    let mut parts = [new(), new(), new()];
    for (i, (_, _, active)) in tokens.iter().enumerate() {
        whole.add_token(active).unwrap();
        parts[i % 3].add_token(active).unwrap();
    }
    let mut merged = new();
    for part in parts.iter().rev() {
        let json = serde_json::to_string(part).unwrap();
        merged.merge(&serde_json::from_str(&json).unwrap()).unwrap();
    }
    let (one, other) = (whole.partners(5), merged.partners(5));
    assert_same(&one, &other, 5);
    let partners: Vec<usize> = one.iter().take(6).map(Vec::len).collect();
    assert_eq!(partners, [1, 1, 0, 1, 1, 0], "only the pairs asked for");
    assert!(merged.merge(&PairSums::new(LATENTS, [(0, 2)])).is_err());
    assert!(merged.add_token(&[(LATENTS as u32, 1.0)]).is_err());
}

#[test]
fn a_sample_stays_within_its_budget_and_does_not_depend_on_order_or_parts() {
    let tokens = tokens();
    let budget = 2000;
    let whole = sample(&tokens, budget);
    assert!(!whole.is_complete());
    let reversed: Vec<Token> = tokens.iter().rev().cloned().collect();
    assert_eq!(sample(&reversed, budget), whole);
    let (left, right) = tokens.split_at(700);
    let mut merged = sample(right, budget);
    let json = serde_json::to_string(&sample(left, budget)).unwrap();
    merged.merge(serde_json::from_str(&json).unwrap()).unwrap();
    assert_eq!(merged, whole);
    assert!(merged.merge(sample(&tokens, ENOUGH)).is_err());

    // A quarter of the tokens names the same strongest partner of nearly every latent.
    let expected = dense(&tokens);
    let right = found(&whole.index(), 1)
        .iter()
        .zip(&expected)
        .filter(|(found, expected)| found.first().map(|p| p.id) == expected.first().map(|p| p.id))
        .count();
    assert!(right >= LATENTS * 3 / 4, "{right} of {LATENTS}");
}

#[test]
fn nothing_and_dead_latents_have_no_partners() {
    let empty = TokenSample::new(3, 100, 0);
    assert!(empty.is_complete());
    assert!(found(&empty.index(), 5)[0].is_empty());
    let mut sample = TokenSample::new(3, 100, 0);
    for position in 0..5 {
        // Latent 1 is always on, so that it does not vary; latent 2 is dead.
        sample
            .offer(0, position, &[(0, position as f32), (1, 1.0), (2, 0.0)])
            .unwrap();
    }
    let index = sample.index();
    for latent in 0..4 {
        assert!(index.partners(latent, 5, &mut index.scratch()).is_empty());
    }
    assert!(sample.offer(0, 9, &[(3, 1.0)]).is_err());
}
