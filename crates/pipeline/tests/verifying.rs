//! What starts from the numbers of a first pass: coefficients verified by strength, and latents that fire on the same tokens, against a
//! plain reading of the shards; whole, in parts, and after a kill.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{Class, JointActivity, LatentDetail, ScalingBucket};
use common::{Study, close, dense, every_token, load, sequences, with_chat_only};
use diffing::{JOINT_EDGES, Verification, bucket_edges};
use pipeline::{
    AnalyseOptions, DeviceChoice, Progress, ShardOf, Silent, Step, Store, analyse, merge_analyses,
    open_store,
};

const SLUG: &str = "l1";
const SECOND: [Step; 2] = [Step::Verification, Step::Joint];

fn options(study: &Study, steps: &[Step]) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: SLUG.into(),
        steps: steps.to_vec(),
        checkpoint_seconds: 0,
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

fn run(study: &Study, steps: &[Step]) -> Store {
    analyse(&options(study, steps), &Silent).unwrap();
    open_store(&study.path).unwrap()
}

fn details(store: &Store) -> Vec<LatentDetail> {
    let rows = store.rows(SLUG).unwrap().iter();
    rows.map(|row| store.latent(SLUG, row.id).unwrap())
        .collect()
}

fn same(found: &[ScalingBucket], expected: &[ScalingBucket], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.from, found.to), (expected.from, expected.to));
        assert_eq!(found.tokens, expected.tokens, "{what}");
        assert_eq!(found.fits.len(), expected.fits.len());
        for (found, expected) in found.fits.iter().zip(&expected.fits) {
            assert_eq!(found.fit.target, expected.fit.target);
            let scale = expected.fit.before;
            let near = |found: [f64; 2], expected: [f64; 2]| {
                for ((found, expected), scale) in found.iter().zip(expected).zip(scale) {
                    let off = (found - expected).abs();
                    assert!(off <= 1e-5 * scale, "{what}: {found} {expected}");
                }
            };
            near(found.fit.before, expected.fit.before);
            near(found.fit.after, expected.fit.after);
            for (found, expected) in [
                (found.before_std, expected.before_std),
                (found.after_std, expected.after_std),
            ] {
                assert_eq!(found.is_some(), expected.is_some(), "{what}");
                if let (Some(found), Some(expected)) = (found, expected) {
                    near(found, expected);
                }
            }
        }
    }
}

#[test]
fn coefficients_are_verified_by_strength_for_the_compared_latents() {
    let study = with_chat_only(SLUG);
    // What the step starts from, it brings along.
    let store = run(&study, &[Step::Verification]);
    let rows = store.rows(SLUG).unwrap();
    assert!(rows[0].max_activation.is_some());
    let chosen: BTreeSet<u32> = diffing::compared(rows).into_iter().collect();
    assert!(chosen.len() >= 10);
    let crosscoder = load(SLUG);
    let decoder = crosscoder.decoder().unwrap();
    let of = |noise: bool, ids: &BTreeSet<u32>| -> BTreeMap<u32, Vec<ScalingBucket>> {
        let known = rows.iter().filter(|row| ids.contains(&row.id));
        let known = known.map(|row| {
            let max = row.max_activation.unwrap() as f32;
            (row.id, &row.betas, max)
        });
        let verification = Verification::new(rows.len(), known, bucket_edges(3, noise));
        let mut sums = verification.sums();
        every_token(&study, &crosscoder, |token, active| {
            let active = active.iter().copied();
            verification
                .add(&mut sums, token, active, &decoder)
                .unwrap();
        });
        sums.buckets().collect()
    };
    let expected = of(false, &chosen);
    let mut tokens = 0;
    for detail in details(&store) {
        let id = detail.row.id;
        let fires = detail.row.active_tokens > Some(0);
        assert_eq!(
            !detail.verification.is_empty(),
            chosen.contains(&id) && fires,
            "latent {id}"
        );
        if let Some(expected) = expected.get(&id).filter(|_| fires) {
            same(&detail.verification, expected, &format!("latent {id}"));
            let counted: u64 = detail.verification.iter().map(|b| b.tokens).sum();
            assert_eq!(Some(counted), detail.row.active_tokens);
            tokens += counted;
        }
    }
    assert!(tokens > 1000, "{tokens}");

    // Chosen ids are added to what is there, with a bucket for noise where it is asked for.
    let other = rows
        .iter()
        .find(|row| !chosen.contains(&row.id) && row.active_tokens > Some(20));
    let other = other.unwrap().id;
    let some = AnalyseOptions {
        scaled: format!("{other}").parse().unwrap(),
        noise_bucket: true,
        ..options(&study, &[Step::Verification])
    };
    analyse(&some, &Silent).unwrap();
    let later = open_store(&study.path).unwrap();
    let expected = of(true, &BTreeSet::from([other]));
    let found = later.latent(SLUG, other).unwrap().verification;
    assert_eq!(found.len(), 4);
    same(&found, &expected[&other], "chosen");
    let first = *chosen.first().unwrap();
    assert_eq!(
        later.latent(SLUG, first).unwrap().verification,
        store.latent(SLUG, first).unwrap().verification
    );
}

/// Joint counts over all tokens by the definitions.
fn by_hand(values: &[Vec<f32>], this: usize, other: usize, scales: [f32; 2]) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; 5]; 5];
    for row in values {
        let bucket = |v: f32, scale: f32| {
            let share = f64::from(v) / f64::from(scale);
            JOINT_EDGES.iter().filter(|edge| share > **edge).count()
        };
        counts[bucket(row[this], scales[0])][bucket(row[other], scales[1])] += 1;
    }
    counts
}

#[test]
fn chat_only_latents_have_a_joint_histogram_with_the_one_that_fires_with_them() {
    let study = with_chat_only(SLUG);
    // Partners of the same run, then those that it left in the database.
    let store = run(&study, &[Step::Correlated, Step::Joint]);
    let first = details(&store);
    drop(store);
    let store = run(&study, &[Step::Joint]);
    assert_eq!(details(&store), first);
    let crosscoder = load(SLUG);
    let values: Vec<Vec<f32>> = sequences(&study.path)
        .iter()
        .flat_map(|sequence| dense(&crosscoder, &sequence.activations))
        .collect();
    let mut compared = 0;
    for detail in &first {
        let chat_only = detail.row.class == Class::ChatOnly;
        let pairs = detail.correlated.iter().enumerate();
        for (rank, partner) in pairs {
            let Some(joint) = &partner.joint else {
                assert!(rank > 0 || !chat_only, "latent {}", detail.row.id);
                continue;
            };
            let [this, other] = [detail.row.id, partner.id].map(|id| id as usize);
            let max = |id: usize| first[id].row.max_activation.unwrap() as f32;
            let larger = max(this).max(max(other));
            let JointActivity {
                edges,
                by_pair,
                by_own,
            } = joint;
            assert_eq!(edges, &JOINT_EDGES);
            assert_eq!(by_pair.counts, by_hand(&values, this, other, [larger; 2]));
            let own = by_hand(&values, this, other, [max(this), max(other)]);
            assert_eq!(by_own.counts, own);
            let sum = |rows: &[usize], columns: &[usize]| -> u64 {
                let cells = rows
                    .iter()
                    .flat_map(|&r| columns.iter().map(move |&c| (r, c)));
                cells.map(|(r, c)| own[r][c]).sum()
            };
            let (low, high, all) = ([0, 1], [3, 4], [0, 1, 2, 3, 4]);
            let apart = sum(&high, &low) + sum(&low, &high);
            let either = sum(&high, &all) + sum(&all, &high) - sum(&high, &high);
            let divergence = apart as f64 / (either as f64 + 1e-10);
            assert!((by_own.divergence - divergence).abs() < 1e-12);
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}

/// Dies at its n-th step of the second pass.
struct Killer(AtomicUsize);

impl Progress for Killer {
    fn start(&self, step: &str, _: &str, _: u64) {
        assert_eq!(step, "second-scan");
    }
    fn advance(&self, _: u64) {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) > 1, "killed");
    }
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, _: &str) {}
}

#[test]
fn parts_and_a_killed_run_give_what_one_run_gives() {
    let study = with_chat_only(SLUG);
    let before = [Step::Scaling, Step::Statistics, Step::Correlated];
    drop(run(&study, &before));
    let kept = fs::read(study.path.join("study.duckdb")).unwrap();
    let whole = details(&run(&study, &SECOND));
    assert!(whole.iter().any(|detail| !detail.verification.is_empty()));

    fs::write(study.path.join("study.duckdb"), &kept).unwrap();
    let killed = options(&study, &SECOND);
    let killer = Killer(AtomicUsize::new(3));
    assert!(catch_unwind(AssertUnwindSafe(|| analyse(&killed, &killer))).is_err());
    assert_eq!(details(&run(&study, &SECOND)), whole, "bits differ");

    fs::write(study.path.join("study.duckdb"), &kept).unwrap();
    for index in [2, 0, 1] {
        let part = AnalyseOptions {
            shard: Some(ShardOf::new(index, 3).unwrap()),
            ..options(&study, &SECOND)
        };
        assert!(analyse(&part, &Silent).unwrap().skipped.is_empty());
    }
    merge_analyses(&study.path, DeviceChoice::Cpu, &Silent).unwrap();
    let merged = details(&open_store(&study.path).unwrap());
    for (found, one) in merged.iter().zip(&whole) {
        same(&found.verification, &one.verification, "parts");
        assert_eq!(found.correlated, one.correlated);
        close(
            &[found.row.nu_r.unwrap_or(f64::NAN)],
            &[one.row.nu_r.unwrap_or(f64::NAN)],
            0.0,
            "rows",
        );
    }
}

#[test]
fn in_parts_the_first_pass_comes_first() {
    let study = with_chat_only(SLUG);
    let part = AnalyseOptions {
        shard: Some(ShardOf::new(0, 2).unwrap()),
        ..options(&study, &SECOND)
    };
    let skipped = analyse(&part, &Silent).unwrap().skipped;
    assert!(
        skipped
            .iter()
            .any(|s| s.contains("--steps verification,joint")),
        "{skipped:?}"
    );
}
