//! An analysis in parts gives what one run gives.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;
use std::path::PathBuf;

use api::LatentRow;
use common::{Study, close, collected, shards};
use pipeline::{
    AnalyseOptions, AnalyseSummary, DeviceChoice, ShardOf, Silent, Step, analyse, merge_analyses,
    open_store,
};

fn options(study: &Study, shard: Option<(usize, usize)>) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: "batchtopk".into(),
        shard: shard.map(|(index, count)| ShardOf::new(index, count).unwrap()),
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

fn part(study: &Study, index: usize, count: usize) -> AnalyseSummary {
    analyse(&options(study, Some((index, count))), &Silent).unwrap()
}

fn merge(study: &Study) -> Result<Vec<AnalyseSummary>, String> {
    merge_analyses(&study.path, DeviceChoice::Cpu, &Silent).map_err(|error| error.to_string())
}

fn file(study: &Study, index: usize, count: usize) -> PathBuf {
    let name = format!("part-{index}-of-{count}.json");
    study.path.join("analysis/batchtopk").join(name)
}

fn rows(study: &Study) -> Vec<LatentRow> {
    let store = open_store(&study.path).unwrap();
    store.rows("batchtopk").unwrap().to_vec()
}

fn column(rows: &[LatentRow], of: fn(&LatentRow) -> Option<f64>) -> Vec<f64> {
    rows.iter().map(|row| of(row).unwrap_or(f64::NAN)).collect()
}

#[test]
fn parts_in_any_order_give_one_runs_numbers() {
    let study = collected();
    assert!(
        shards(&study.path).len() >= 3,
        "too few shards to share out"
    );
    let whole = analyse(&options(&study, None), &Silent).unwrap();
    let expected = rows(&study);
    let store = open_store(&study.path).unwrap();
    let scaling = store.scaling("batchtopk").unwrap();
    let fits = store.latent("batchtopk", 5).unwrap().fits;
    let histogram = store.latent("batchtopk", 5).unwrap().histogram;
    drop(store);
    let first_of = |order: [usize; 3]| {
        fs::remove_file(study.path.join("study.duckdb")).unwrap();
        for index in order {
            let summary = part(&study, index, 3);
            assert!(summary.skipped[0].contains("--steps examples"));
            assert!(!study.path.join("study.duckdb").exists());
        }
        let summaries = merge(&study).unwrap();
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].tokens, whole.tokens);
        assert_eq!(summaries[0].counts, whole.counts);
        assert!(!file(&study, 0, 3).exists(), "merged parts are done with");
        rows(&study)
    };
    let found = first_of([2, 0, 1]);
    for (row, one) in found.iter().zip(&expected) {
        assert_eq!(row.active_tokens, one.active_tokens);
        assert_eq!(row.tokens, one.tokens);
        assert_eq!(row.frequency, one.frequency);
        assert_eq!(row.max_activation, one.max_activation);
        assert_eq!(row.template_share, one.template_share);
        assert_eq!((row.class, row.verdict), (one.class, one.verdict));
    }
    let columns: [fn(&LatentRow) -> Option<f64>; 11] = [
        |row| row.mean_activation,
        |row| row.nu_epsilon,
        |row| row.nu_r,
        |row| row.betas.beta_activation_base,
        |row| row.betas.beta_activation_chat,
        |row| row.betas.beta_activation_no_bias_base,
        |row| row.betas.beta_activation_no_bias_chat,
        |row| row.betas.beta_reconstruction_base,
        |row| row.betas.beta_reconstruction_chat,
        |row| row.betas.beta_error_base,
        |row| row.betas.beta_error_chat,
    ];
    for (i, of) in columns.into_iter().enumerate() {
        let what = format!("column {i}");
        close(&column(&found, of), &column(&expected, of), 1e-9, &what);
    }
    let store = open_store(&study.path).unwrap();
    let detail = store.latent("batchtopk", 5).unwrap();
    assert_eq!(detail.histogram, histogram);
    assert_eq!(detail.neighbours.len(), 10);
    assert!(detail.lens_chat.is_some());
    for (fit, one) in detail.fits.iter().zip(&fits) {
        assert_eq!(fit.target, one.target);
        close(&fit.before, &one.before, 1e-9, "before");
        close(&fit.after, &one.after, 1e-9, "after");
    }
    let groups = store.scaling("batchtopk").unwrap().groups;
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(
        names,
        ["chat_only", "shared", "random_direction", "random_latent"]
    );
    for (group, one) in groups.iter().zip(&scaling.groups) {
        assert_eq!(group.latents, one.latents);
        assert_eq!(group.reliable, one.reliable);
        let (found, expected) = (&group.nu_epsilon.quantiles, &one.nu_epsilon.quantiles);
        close(found, expected, 1e-9, "quantiles");
    }
    drop(store);
    // Another order of writing changes no bit.
    assert_eq!(first_of([1, 2, 0]), found);
}

#[test]
fn a_finished_part_stays_and_an_unfinished_merge_leaves_the_study() {
    let study = collected();
    part(&study, 0, 2);
    let written = fs::metadata(file(&study, 0, 2))
        .unwrap()
        .modified()
        .unwrap();
    part(&study, 0, 2);
    let again = fs::metadata(file(&study, 0, 2))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(written, again, "the part was made twice");
    let message = merge(&study).unwrap_err();
    assert!(
        message.contains("1 of 2") && message.contains("--shard 1/2"),
        "{message}"
    );
    assert!(!study.path.join("study.duckdb").exists());
    assert!(file(&study, 0, 2).exists());
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let study = collected();
    part(&study, 0, 2);
    let other = AnalyseOptions {
        steps: vec![Step::Statistics],
        ..options(&study, Some((1, 2)))
    };
    analyse(&other, &Silent).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(
        message.contains("part-1-of-2.json") && message.contains("--steps"),
        "{message}"
    );

    part(&study, 1, 2);
    let path = file(&study, 1, 2);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(
        message.contains("part-1-of-2.json") && message.contains("--shard 1/2"),
        "{message}"
    );

    fs::copy(file(&study, 0, 2), &path).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(
        message.contains("part-1-of-2.json") && message.contains("shard 0/2"),
        "{message}"
    );

    fs::write(&path, text).unwrap();
    fs::copy(&path, file(&study, 2, 3)).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(message.contains("another division"), "{message}");
    fs::remove_file(file(&study, 2, 3)).unwrap();
    assert_eq!(merge(&study).unwrap().len(), 1);
    assert!(merge(&study).unwrap().is_empty(), "nothing left to merge");

    let lens = AnalyseOptions {
        steps: vec![Step::LogitLens],
        ..options(&study, Some((1, 2)))
    };
    let message = analyse(&lens, &Silent).unwrap_err().to_string();
    assert!(message.contains("without --shard"), "{message}");
}
