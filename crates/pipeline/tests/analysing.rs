//! `analyse` against a plain reading of shards and dictionary.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

mod common;

use std::collections::{BTreeMap, HashSet};

use api::{Betas, LatentRow, TokenKind};
use candle_core::{Device, Tensor};
use common::{
    Study, WIDTH, close, collect_options, collected, dense, expected, fixtures, load,
    reference_corpus, sequences, study,
};
use pipeline::{
    AnalyseOptions, AnalyseSummary, CollectOptions, DeviceChoice, Manifest, Silent, Step, analyse,
    collect, open_store,
};

fn options(study: &Study, dictionary: &str) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: dictionary.into(),
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

fn run(study: &Study, dictionary: &str) -> AnalyseSummary {
    analyse(&options(study, dictionary), &Silent).unwrap()
}

fn known(values: impl Iterator<Item = Option<f64>>) -> Vec<f64> {
    values.map(|value| value.unwrap_or(f64::NAN)).collect()
}

fn betas(rows: &[LatentRow], target: &str) -> Vec<f64> {
    let get = |b: &Betas| match target {
        "activation_base" => b.beta_activation_base,
        "activation_chat" => b.beta_activation_chat,
        "activation_no_bias_base" => b.beta_activation_no_bias_base,
        "activation_no_bias_chat" => b.beta_activation_no_bias_chat,
        "reconstruction_base" => b.beta_reconstruction_base,
        "reconstruction_chat" => b.beta_reconstruction_chat,
        "error_base" => b.beta_error_base,
        "error_chat" => b.beta_error_chat,
        other => panic!("{other}"),
    };
    known(rows.iter().map(|row| get(&row.betas)))
}

#[test]
fn coefficients_are_the_references() {
    let study = study();
    let corpus = reference_corpus(study.path.parent().unwrap());
    let options = CollectOptions {
        corpora: vec![corpus],
        ..collect_options(&study)
    };
    collect(&options, &Silent).unwrap();
    let expected = expected();
    for kind in ["l1", "batchtopk"] {
        run(&study, kind);
        let store = open_store(&study.path).unwrap();
        let rows = store.rows(kind).unwrap();
        let delta = known(rows.iter().map(|row| row.delta_norm));
        close(
            &delta,
            &expected[&format!("{kind}.delta_norm")],
            1e-5,
            "delta_norm",
        );
        for target in [
            "activation",
            "activation_no_bias",
            "reconstruction",
            "error",
        ] {
            for model in ["base", "chat"] {
                let name = format!("{target}_{model}");
                let reference = &expected[&format!("{kind}.beta_{name}")];
                close(&betas(rows, &name), reference, 1e-4, &name);
            }
        }
    }
}

#[test]
fn numbers_equal_diffing_applied_to_the_shards() {
    let study = collected();
    for kind in ["l1", "batchtopk"] {
        let summary = run(&study, kind);
        assert!(summary.skipped.is_empty(), "{:?}", summary.skipped);
        let store = open_store(&study.path).unwrap();
        let rows = store.rows(kind).unwrap();
        let crosscoder = load(kind);
        let decoder = crosscoder.decoder().unwrap();
        let latents = crosscoder.dict_size();
        let mut sums = diffing::ScalingSums::new(latents);
        let (mut tokens, mut active, mut template) =
            (0u64, vec![0u64; latents], vec![0u64; latents]);
        let (mut not_bos, mut max) = (vec![0u64; latents], vec![0f32; latents]);
        let mut total = vec![0f64; latents];
        for sequence in sequences(&study.path) {
            let values = dense(&crosscoder, &sequence.activations);
            let count = sequence.tokens.len();
            let x =
                Tensor::from_slice(&sequence.activations, (count, 2, WIDTH), &Device::Cpu).unwrap();
            let f = crosscoder.encode(&x).unwrap();
            let x_hat: Vec<f32> = crosscoder
                .decode_normalized(&f)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            let inputs: Vec<f32> = crosscoder
                .normalize(&x)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            let codes: Vec<Vec<f32>> = f.to_vec2().unwrap();
            for t in 0..count {
                tokens += 1;
                let at = |rows: &'_ [f32], m: usize| {
                    rows[(2 * t + m) * WIDTH..(2 * t + m + 1) * WIDTH].to_vec()
                };
                let (x, h) = (
                    [at(&inputs, 0), at(&inputs, 1)],
                    [at(&x_hat, 0), at(&x_hat, 1)],
                );
                let firing: Vec<(u32, f32)> = (0u32..)
                    .zip(codes[t].iter().copied())
                    .filter(|(_, f)| *f > 0.0)
                    .collect();
                sums.add_token([&x[0], &x[1]], [&h[0], &h[1]], &firing, &decoder)
                    .unwrap();
                for (j, &v) in values[t].iter().enumerate().filter(|(_, v)| **v > 0.0) {
                    active[j] += 1;
                    template[j] += u64::from(sequence.kinds[t] == 1);
                    not_bos[j] += u64::from(sequence.kinds[t] != 0);
                    max[j] = max[j].max(v);
                    total[j] += f64::from(v);
                }
            }
        }
        assert_eq!(summary.tokens, Some(tokens));
        let direct = sums.betas(&decoder).unwrap();
        let direct: Vec<LatentRow> = rows
            .iter()
            .zip(direct)
            .map(|(row, betas)| LatentRow {
                betas,
                ..row.clone()
            })
            .collect();
        for target in [
            "activation",
            "activation_no_bias",
            "reconstruction",
            "error",
        ] {
            for model in ["base", "chat"] {
                let name = format!("{target}_{model}");
                close(&betas(rows, &name), &betas(&direct, &name), 1e-5, &name);
            }
        }
        for (j, row) in rows.iter().enumerate() {
            let id = j as u32;
            assert_eq!(row.id, id);
            assert_eq!(row.active_tokens, Some(active[j]), "latent {j}");
            assert_eq!(row.tokens, Some(tokens));
            assert_eq!(row.dead, Some(active[j] == 0));
            assert_eq!(row.frequency, Some(active[j] as f64 / tokens as f64));
            let share = (not_bos[j] > 0).then(|| template[j] as f64 / not_bos[j] as f64);
            assert_eq!(row.template_share, share);
            close(
                &[row.max_activation.unwrap()],
                &[f64::from(max[j])],
                1e-5,
                "max",
            );
            let mean = (active[j] > 0).then(|| total[j] / active[j] as f64);
            assert_eq!(row.mean_activation.is_some(), mean.is_some());
            if let (Some(found), Some(mean)) = (row.mean_activation, mean) {
                close(&[found], &[mean], 1e-5, "mean");
            }
            let norms = [0, 1].map(|m| diffing::norm(&crosscoder.decoder_row(m, id)));
            assert_eq!(row.delta_norm, diffing::delta_norm(norms[0], norms[1]));
            assert_eq!([row.norm_base, row.norm_chat], norms.map(f64::from));
            assert_eq!(
                row.decoder_cosine,
                diffing::cosine(
                    &crosscoder.decoder_row(0, id),
                    &crosscoder.decoder_row(1, id)
                )
            );
            assert_eq!(
                row.nu_epsilon,
                diffing::nu(row.betas.beta_error_base, row.betas.beta_error_chat)
            );
            assert_eq!(
                row.verdict,
                diffing::verdict(row.class, row.nu_epsilon, row.nu_r)
            );
            let counted: u64 = store
                .latent(kind, id)
                .unwrap()
                .histogram
                .map_or(0, |h| h.counts.iter().sum());
            assert_eq!(counted, active[j], "histogram of latent {j}");
        }
    }
}

#[test]
fn t6_examples_fill_their_quotas_with_what_the_shards_say() {
    let study = collected();
    run(&study, "batchtopk");
    let store = open_store(&study.path).unwrap();
    let crosscoder = load("batchtopk");
    let rows = store.rows("batchtopk").unwrap();
    let sequences = sequences(&study.path);
    let values: Vec<Vec<Vec<f32>>> = sequences
        .iter()
        .map(|s| dense(&crosscoder, &s.activations))
        .collect();
    let mut rich = 0;
    for row in rows {
        let j = row.id as usize;
        let largest = row.max_activation.unwrap() as f32;
        let mut distinct: BTreeMap<usize, HashSet<&[u32]>> = BTreeMap::new();
        let mut all: BTreeMap<usize, u64> = BTreeMap::new();
        for (sequence, values) in sequences.iter().zip(&values) {
            let max = values.iter().map(|v| v[j]).fold(0.0, f32::max);
            // Rounding of the last bit would decide at a threshold; the maximum itself lies on one.
            if max > 0.0 {
                let group = diffing::quantile_group(max.min(largest), largest);
                distinct.entry(group).or_default().insert(&sequence.tokens);
                *all.entry(group).or_default() += 1;
            }
        }
        let detail = store.latent("batchtopk", row.id).unwrap();
        let firing: usize = distinct.values().map(HashSet::len).sum();
        let stored: u64 = detail.groups.iter().map(|group| group.examples).sum();
        assert!(
            stored as usize >= firing.min(20),
            "latent {j}: {stored} of {firing}"
        );
        rich += usize::from(firing >= 20);
        for group in &detail.groups {
            let number = group.group as usize;
            assert_eq!(
                group.examples as usize,
                distinct[&number].len().min(20),
                "latent {j}, group {number}"
            );
            assert_eq!(group.sequences, all[&number]);
        }
        let page = store
            .examples("batchtopk", row.id, None, None, Some(200))
            .unwrap();
        assert_eq!(page.total, stored);
        assert!(page.examples.is_sorted_by(|a, b| a.max >= b.max));
        for example in &page.examples {
            let sequence = &sequences[example.sequence as usize];
            let ids: Vec<u32> = example.tokens.iter().map(|token| token.id).collect();
            assert_eq!(ids, sequence.tokens);
            assert_eq!(example.tokens[0].kind, TokenKind::Bos);
            assert!(example.tokens.iter().all(|token| !token.text.is_empty()));
            let expected: Vec<f64> = values[example.sequence as usize]
                .iter()
                .map(|v| f64::from(v[j]))
                .collect();
            let found: Vec<f64> = example.values.iter().map(|&v| f64::from(v)).collect();
            close(&found, &expected, 1e-5, "example");
            assert!(example.source.starts_with("corpus.jsonl"));
        }
    }
    assert!(rich > 10, "only {rich} latents fire in 20 sequences");
}

#[test]
fn lenses_and_neighbours_equal_a_direct_computation() {
    let study = collected();
    run(&study, "l1");
    let store = open_store(&study.path).unwrap();
    let crosscoder = load("l1");
    let chat = gemma::Checkpoint::open(fixtures().join("chat"))
        .unwrap()
        .load(&Device::Cpu, candle_core::DType::F32, &mut |_| {})
        .unwrap();
    let latents = crosscoder.dict_size() as u32;
    for id in [0, 17, latents - 1] {
        let detail = store.latent("l1", id).unwrap();
        let effects = chat
            .unembed_direction(&crosscoder.residual_row(1, id))
            .unwrap();
        let lens = detail.lens_chat.unwrap();
        assert_eq!((lens.top.len(), lens.bottom.len()), (10, 10));
        let mut sorted = effects.clone();
        sorted.sort_by(f32::total_cmp);
        let top: Vec<f64> = lens.top.iter().map(|token| token.value).collect();
        let bottom: Vec<f64> = lens.bottom.iter().map(|token| token.value).collect();
        let largest: Vec<f64> = sorted
            .iter()
            .rev()
            .take(10)
            .map(|&x| f64::from(x))
            .collect();
        let smallest: Vec<f64> = sorted.iter().take(10).map(|&x| f64::from(x)).collect();
        close(&top, &largest, 1e-6, "top");
        close(&bottom, &smallest, 1e-6, "bottom");
        for token in lens.top.iter().chain(&lens.bottom) {
            let effect = f64::from(effects[token.id as usize]);
            assert!((effect - token.value).abs() <= 1e-5 * (1.0 + effect.abs()));
            assert!(!token.text.is_empty());
        }
        let base = detail.lens_base.unwrap();
        assert_ne!(base, lens);

        let mut cosines: Vec<(u32, f64)> = (0..latents)
            .filter(|&other| other != id)
            .filter_map(|other| {
                let row = |id| crosscoder.decoder_row(1, id);
                Some((other, diffing::cosine(&row(id), &row(other))?))
            })
            .collect();
        cosines.sort_by(|a, b| b.1.total_cmp(&a.1));
        let found: Vec<(u32, f64)> = detail.neighbours.iter().map(|n| (n.id, n.cosine)).collect();
        let stored: Vec<(u32, f64)> = cosines[..10]
            .iter()
            .map(|&(other, cosine)| (other, f64::from(cosine as f32)))
            .collect();
        assert_eq!(found, stored);
    }
}

#[test]
fn steps_without_data_are_skipped() {
    let study = study();
    let summary = run(&study, "batchtopk");
    assert_eq!(summary.skipped.len(), 1);
    assert!(
        summary.skipped[0].contains("stereoscope collect"),
        "{}",
        summary.skipped[0]
    );
    let store = open_store(&study.path).unwrap();
    let detail = store.latent("batchtopk", 3).unwrap();
    assert!(detail.row.dead.is_none() && detail.histogram.is_none() && detail.groups.is_empty());
    assert!(detail.lens_chat.is_some() && detail.neighbours.len() == 10);
    assert!(
        store
            .dictionary("batchtopk")
            .unwrap()
            .counts
            .verdicts
            .is_empty()
    );

    let mut manifest = Manifest::read(&study.path).unwrap();
    manifest.base = None;
    manifest.chat = None;
    manifest.write(&study.path).unwrap();
    let summary = run(&study, "l1");
    assert!(
        summary
            .skipped
            .iter()
            .any(|s| s.contains("names no models")),
        "{:?}",
        summary.skipped
    );
    let store = open_store(&study.path).unwrap();
    assert!(store.latent("l1", 3).unwrap().lens_chat.is_none());
    assert!(
        store.latent("batchtopk", 3).unwrap().lens_chat.is_some(),
        "other rows stay"
    );
}

#[test]
fn single_steps_leave_the_others() {
    let study = collected();
    let only = |steps: &[Step]| {
        let options = AnalyseOptions {
            steps: steps.to_vec(),
            ..options(&study, "batchtopk")
        };
        analyse(&options, &Silent).unwrap();
    };
    only(&[Step::Neighbours]);
    let row =
        |id: u32| open_store(&study.path).unwrap().rows("batchtopk").unwrap()[id as usize].clone();
    assert!(row(5).dead.is_none() && row(5).betas == Betas::default());
    only(&[Step::Scaling]);
    assert!(row(5).dead.is_none() && row(5).betas != Betas::default());
    only(&[Step::Examples]);
    let scaled = row(5);
    assert!(scaled.dead.is_some() && scaled.betas != Betas::default());
    only(&[Step::LogitLens]);
    assert_eq!(row(5), scaled);
    let store = open_store(&study.path).unwrap();
    let detail = store.latent("batchtopk", 5).unwrap();
    assert!(detail.lens_base.is_some() && detail.histogram.is_some());
    assert_eq!(detail.neighbours.len(), 10);
    let examples = store
        .examples("batchtopk", 5, None, None, None)
        .unwrap()
        .examples;
    assert!(
        examples
            .iter()
            .flat_map(|e| &e.tokens)
            .all(|token| !token.text.is_empty())
    );

    run(&study, "batchtopk");
    assert_eq!(row(5), scaled);
}
