//! Options and neighbours of Latent Scaling, by its definitions over the shards.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use api::Class;
use candle_core::Device;
use common::{Study, close, collected, every_token, fixtures};
use crosscoder::Crosscoder;
use diffing::{Baseline, ScalingSums};
use pipeline::{AnalyseOptions, DeviceChoice, Silent, Step, analyse, open_store};

const SLUG: &str = "l1";

fn run(study: &Study, steps: &[Step], jump_threshold: Option<f32>) -> Result<(), String> {
    let options = AnalyseOptions {
        study: study.path.clone(),
        dictionary: SLUG.into(),
        steps: steps.to_vec(),
        jump_threshold,
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    };
    let done = analyse(&options, &Silent);
    done.map(|_| ()).map_err(|error| error.to_string())
}

fn crosscoder() -> Crosscoder {
    let folder = fixtures().join(format!("crosscoder-{SLUG}"));
    Crosscoder::load(folder, &Device::Cpu).unwrap()
}

#[test]
fn a_jump_threshold_leaves_out_weak_activations() {
    let study = collected();
    let refused = run(&study, &[Step::Scaling], Some(0.4)).unwrap_err();
    assert!(refused.contains("--steps statistics"), "{refused}");
    run(&study, &[Step::Statistics], None).unwrap();
    let refused = run(&study, &[Step::Scaling], Some(1.5)).unwrap_err();
    assert!(refused.contains("1.5"), "{refused}");
    run(&study, &[Step::Scaling], Some(0.4)).unwrap();

    let store = open_store(&study.path).unwrap();
    let rows = store.rows(SLUG).unwrap();
    let crosscoder = crosscoder();
    let decoder = crosscoder.decoder().unwrap();
    let mut sums = ScalingSums::new(rows.len());
    let mut left_out = 0;
    every_token(&study, &crosscoder, |token, active| {
        let strong = |id: u32, v: f32| v >= 0.4 * rows[id as usize].max_activation.unwrap() as f32;
        let kept: Vec<(u32, f32)> = active
            .iter()
            .filter(|(id, _, v)| strong(*id, *v))
            .map(|&(id, f, _)| (id, f))
            .collect();
        left_out += active.len() - kept.len();
        sums.add(token, &kept, &decoder).unwrap();
    });
    assert!(left_out > 100, "{left_out}");
    let betas = sums.betas(&decoder).unwrap();
    let of = |get: &dyn Fn(&api::Betas) -> Option<f64>| -> [Vec<f64>; 2] {
        let number = |betas: &api::Betas| get(betas).unwrap_or(f64::NAN);
        let found = rows.iter().map(|row| number(&row.betas)).collect();
        [found, betas.iter().map(number).collect()]
    };
    for (what, [found, expected]) in [
        ("error", of(&|b| b.beta_error_base)),
        ("reconstruction", of(&|b| b.beta_reconstruction_chat)),
    ] {
        close(&found, &expected, 1e-5, what);
    }
    assert_eq!(
        store.dictionary(SLUG).unwrap().meta["scaling_jump_threshold"],
        "0.4"
    );
}

#[test]
fn a_chosen_set_gets_the_ratios_of_a_full_run_and_leaves_others_alone() {
    let scale = |study: &Study, scaled: &str| {
        let options = AnalyseOptions {
            study: study.path.clone(),
            dictionary: SLUG.into(),
            steps: vec![Step::Scaling],
            scaled: scaled.parse()?,
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        };
        let done = analyse(&options, &Silent);
        done.map_err(|error| error.to_string())
    };
    let found = |study: &Study| {
        let store = open_store(&study.path).unwrap();
        let rows: Vec<_> = store.rows(SLUG).unwrap().to_vec();
        let fits: Vec<_> = rows
            .iter()
            .map(|row| store.latent(SLUG, row.id).unwrap().fits)
            .collect();
        (rows, fits)
    };
    let whole = common::with_chat_only(SLUG);
    scale(&whole, "all").unwrap();
    let (rows, fits) = found(&whole);
    assert!(fits.iter().any(|fits| !fits.is_empty()));
    let judged: Vec<usize> = (0..rows.len())
        .filter(|&id| rows[id].verdict.is_some())
        .collect();
    let chat_only = rows.iter().filter(|row| row.class == Class::ChatOnly);
    assert!(judged.len() >= 10 && chat_only.count() == judged.len());

    let some = common::with_chat_only(SLUG);
    for (more, chosen) in [
        (judged[0], vec![judged[0]]),
        (judged[4], vec![judged[0], judged[4]]),
    ] {
        scale(&some, &format!("{more}")).unwrap();
        let (few, few_fits) = found(&some);
        for (id, row) in few.iter().enumerate() {
            if chosen.contains(&id) {
                assert_eq!((row, &few_fits[id]), (&rows[id], &fits[id]));
            } else {
                assert_eq!((row.nu_epsilon, row.nu_r), (None, None));
                assert_eq!(row.verdict, None, "nothing is known of it, good or bad");
                assert!(few_fits[id].is_empty());
            }
        }
        let store = open_store(&some.path).unwrap();
        let verdicts = store.dictionary(SLUG).unwrap().counts.verdicts;
        assert_eq!(
            verdicts.iter().map(|v| v.1).sum::<u64>(),
            chosen.len() as u64
        );
    }
    scale(&some, "all").unwrap();
    scale(&some, "5").unwrap();
    assert_eq!(found(&some), (rows, fits));

    let refused = scale(&some, "5,100000").unwrap_err();
    assert!(refused.contains("100000"), "{refused}");
    let refused = scale(&some, "some").unwrap_err();
    assert!(refused.contains("compared"), "{refused}");
}

#[test]
fn baselines_are_the_same_codes_along_other_directions() {
    let study = common::with_chat_only(SLUG);
    run(&study, &[Step::Scaling, Step::Baselines], None).unwrap();

    let store = open_store(&study.path).unwrap();
    let summary = store.scaling(SLUG).unwrap();
    let rows = store.rows(SLUG).unwrap();
    let chat_only = rows
        .iter()
        .filter(|row| row.class == Class::ChatOnly)
        .count() as u64;
    let ids = diffing::compared(rows);
    assert!(chat_only >= 10 && ids.len() as u64 > chat_only);
    let crosscoder = crosscoder();
    let decoder = crosscoder.decoder().unwrap();
    let makers = [Baseline::random_directions, Baseline::random_latents];
    for (make, group) in makers.iter().zip(&summary.groups[2..]) {
        let baseline = make(&ids, &decoder, 0);
        let mut sums = baseline.sums();
        every_token(&study, &crosscoder, |token, active| {
            let active: Vec<(u32, f32)> = active.iter().map(|&(id, f, _)| (id, f)).collect();
            baseline.add(&mut sums, token, &active).unwrap();
        });
        let ratios: Vec<_> = baseline
            .ratios(&sums)
            .unwrap()
            .into_iter()
            .map(|r| r.1)
            .collect();
        let expected = diffing::scaling_group(&group.name, &ratios);
        assert_eq!(group.latents, ids.len() as u64);
        assert_eq!(group.reliable, expected.reliable);
        close(
            &group.nu_epsilon.quantiles,
            &expected.nu_epsilon.quantiles,
            1e-6,
            "epsilon",
        );
        close(&group.nu_r.quantiles, &expected.nu_r.quantiles, 1e-6, "r");
    }
    let names: Vec<&str> = summary.groups.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(
        names,
        ["chat_only", "shared", "random_direction", "random_latent"]
    );
    assert_eq!(summary.groups[0].latents, chat_only);
    assert!(summary.tokens.unwrap() > 0);

    // Another run of scaling alone keeps the baselines; the fits are the sums' own.
    run(&study, &[Step::Scaling], None).unwrap();
    let store = open_store(&study.path).unwrap();
    assert_eq!(store.scaling(SLUG).unwrap(), summary);
    let mut sums = ScalingSums::new(rows.len());
    every_token(&study, &crosscoder, |token, active| {
        let active: Vec<(u32, f32)> = active.iter().map(|&(id, f, _)| (id, f)).collect();
        sums.add(token, &active, &decoder).unwrap();
    });
    let fits = sums.fits(&decoder).unwrap();
    for (id, expected) in (0u32..).zip(&fits).step_by(17) {
        let found = store.latent(SLUG, id).unwrap().fits;
        assert_eq!(found.len(), expected.len(), "latent {id}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.target, expected.target);
            close(&found.before, &expected.before, 1e-6, "before");
            close(&found.after, &expected.after, 1e-6, "after");
            assert!((0..2).all(|m| found.after[m] <= found.before[m]));
        }
    }
}
