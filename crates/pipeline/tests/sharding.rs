//! An analysis in parts gives what one run gives.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::fs;
use std::path::PathBuf;

use api::LatentRow;
use common::{Study, close, collected, everything, shards};
use diffing::TemplateLatent;
use pipeline::{
    AnalyseOptions, AnalyseSummary, DeviceChoice, EffectOptions, ShardOf, Silent, Step, Store,
    analyse, merge_analyses, open_store,
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
    let name = format!("part-{index}-of-{count}.bin");
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

/// The steps that start from merged numbers, with pairs of correlated latents that a small sample named.
fn later(study: &Study, shard: Option<(usize, usize)>) -> AnalyseOptions {
    AnalyseOptions {
        steps: vec![Step::Examples, Step::Correlated, Step::Effects],
        ..sampled(study, shard)
    }
}

/// All steps, with a sample that does not hold every token.
fn sampled(study: &Study, shard: Option<(usize, usize)>) -> AnalyseOptions {
    AnalyseOptions {
        correlated_sample: 2000,
        effects: EffectOptions {
            effective: Some(100),
            most: 10,
            seeds: 2,
            ..EffectOptions::default()
        },
        ..options(study, shard)
    }
}

#[test]
fn examples_correlations_and_effects_in_parts_are_those_of_one_run() {
    let study = collected();
    analyse(&sampled(&study, None), &Silent).unwrap();
    let expected = open_store(&study.path).unwrap();
    let mut results = Vec::new();
    for order in [[2, 0, 1], [1, 2, 0]] {
        fs::remove_file(study.path.join("study.duckdb")).unwrap();
        for index in order {
            analyse(&sampled(&study, Some((index, 3))), &Silent).unwrap();
        }
        let next = &merge(&study).unwrap()[0].next;
        assert!(
            next[0].contains("--steps correlated")
                && next[1].contains("--steps examples,verification,joint,effects"),
            "{next:?}"
        );
        for index in order {
            let skipped = analyse(&later(&study, Some((index, 3))), &Silent)
                .unwrap()
                .skipped;
            assert!(skipped.is_empty(), "{skipped:?}");
        }
        let summary = merge(&study).unwrap().remove(0);
        assert_eq!(summary.next.len(), 1, "nothing is left to do");
        let left = fs::read_dir(study.path.join("analysis/batchtopk")).unwrap();
        assert_eq!(left.count(), 0, "merged parts are done with");
        let store = open_store(&study.path).unwrap();
        same_later_steps(&store, &expected);
        results.push(everything(&store));
    }
    assert!(
        results[0] == results[1],
        "the order of writing changes bits"
    );
}

/// Examples and counts are the same, means and intervals to rounding.
fn same_later_steps(store: &Store, expected: &Store) {
    let slug = "batchtopk";
    let (mut examples, mut partners) = (0, 0);
    for row in expected.rows(slug).unwrap() {
        let [found, one] = [store, expected].map(|store| {
            let page = store.examples(slug, row.id, None, None, Some(200));
            page.unwrap()
        });
        assert_eq!(found, one, "latent {}", row.id);
        examples += found.total;
        let [found, one] = [store, expected].map(|store| store.latent(slug, row.id).unwrap());
        assert_eq!(found.groups, one.groups);
        assert_eq!(found.correlated.len(), one.correlated.len());
        for (found, one) in found.correlated.iter().zip(&one.correlated) {
            assert_eq!((found.id, found.together), (one.id, one.together));
            close(
                &[found.correlation],
                &[one.correlation],
                1e-9,
                "correlation",
            );
            partners += 1;
        }
        let [found, one] =
            [store, expected].map(|store| store.template_latent(slug, row.id).unwrap());
        let counts = |latent: &TemplateLatent| -> Vec<(u8, u64, f32)> {
            let parts = latent.parts();
            parts.map(|(part, s)| (part, s.count, s.max)).collect()
        };
        assert_eq!(counts(&found), counts(&one));
        let sums = |latent: &TemplateLatent| -> Vec<f64> {
            latent.parts().map(|(_, sums)| sums.sum).collect()
        };
        // Means are stored in f32.
        close(&sums(&found), &sums(&one), 1e-6, "sums");
    }
    assert!(examples > 1000 && partners > 100, "{examples} {partners}");
    assert_eq!(
        store.template_tokens(slug).unwrap(),
        expected.template_tokens(slug).unwrap()
    );
    let [found, one] = [store, expected].map(|store| store.effects(slug).unwrap());
    assert_eq!(
        (found.dialogues, &found.source, found.candidates),
        (one.dialogues, &one.source, one.candidates)
    );
    assert_eq!(found.setups.len(), 15);
    for (found, one) in found.setups.iter().zip(&one.setups) {
        assert_eq!((&found.name, found.sets), (&one.name, one.sets));
        for (found, one) in found.measures.iter().zip(&one.measures) {
            assert_eq!(
                (found.scope, found.metric, found.count),
                (one.scope, one.metric, one.count)
            );
            let numbers = |m: &api::CausalMeasure| [m.mean, m.half_width.unwrap()];
            let (found, one) = (numbers(found), numbers(one));
            close(&found, &one, 1e-9, "effect");
        }
    }
}

#[test]
fn parts_that_start_from_other_numbers_are_named() {
    let study = collected();
    analyse(&sampled(&study, None), &Silent).unwrap();
    let later = |index| AnalyseOptions {
        steps: vec![Step::Examples],
        ..sampled(&study, Some((index, 2)))
    };
    analyse(&later(0), &Silent).unwrap();
    analyse(&later(1), &Silent).unwrap();
    let scaled = AnalyseOptions {
        steps: vec![Step::Scaling],
        jump_threshold: Some(0.5),
        ..options(&study, None)
    };
    analyse(&scaled, &Silent).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(message.contains("numbers in study.duckdb"), "{message}");
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
        message.contains("part-1-of-2.bin") && message.contains("--steps"),
        "{message}"
    );

    part(&study, 1, 2);
    let path = file(&study, 1, 2);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(
        message.contains("part-1-of-2.bin") && message.contains("--shard 1/2"),
        "{message}"
    );

    fs::copy(file(&study, 0, 2), &path).unwrap();
    let message = merge(&study).unwrap_err();
    assert!(
        message.contains("part-1-of-2.bin") && message.contains("shard 0/2"),
        "{message}"
    );

    fs::write(&path, bytes).unwrap();
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
