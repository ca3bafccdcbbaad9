//! Activity by corpus and role and in chats, twins, and latents that fire together, against a plain reading of shards and dictionary.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::collections::HashMap;
use std::fs;

use api::{ActivityShare, Class};
use candle_core::{Device, Tensor};
use common::{
    Sequence, Study, collect_options, collected, dense, fixtures, load, sequences, study,
};
use diffing::{TemplateGroup, template_bucket};
use pipeline::{
    AnalyseOptions, CollectOptions, DeviceChoice, DictionaryRef, Manifest, Silent, Step, analyse,
    collect, open_store,
};

fn run(study: &Study, dictionary: &str, steps: &[Step]) {
    let options = AnalyseOptions {
        study: study.path.clone(),
        dictionary: dictionary.into(),
        steps: steps.to_vec(),
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    };
    analyse(&options, &Silent).unwrap();
}

/// A study of two corpora: dialogues and texts, and texts alone.
fn two_corpora() -> Study {
    let study = study();
    let other = study.path.parent().unwrap().join("other.jsonl");
    let texts = (0..40).map(|i| format!("{{\"text\": \"Lima {i} is in Peru, {i} times.\"}}\n"));
    fs::write(&other, texts.collect::<String>()).unwrap();
    let options = CollectOptions {
        corpora: vec![study.corpus.clone(), other],
        ..collect_options(&study)
    };
    collect(&options, &Silent).unwrap();
    study
}

const BOS: u8 = 0;
const TEMPLATE: u8 = 1;
const ASSISTANT: u8 = 2;

/// Parts that a token belongs to, by the bytes of its shard.
fn parts(sequence: &Sequence, t: usize) -> [(&'static str, String); 2] {
    let source = sequence.origin["source"].as_str().unwrap();
    let corpus = if source.starts_with("other") {
        "other.jsonl"
    } else {
        "corpus.jsonl"
    };
    let role = match (sequence.kinds[t], sequence.roles[t]) {
        (BOS, _) => "bos",
        (TEMPLATE, _) => "template",
        (_, 1) => "user",
        (_, ASSISTANT) => "assistant",
        _ => "text",
    };
    [("corpus", corpus.into()), ("role", role.into())]
}

/// Tokens of a part of the corpus, and (active tokens, largest v, sum of v) of every latent there.
type Part = (u64, Vec<(u64, f32, f64)>);

#[test]
fn shares_add_up_and_are_those_of_the_shards() {
    let study = two_corpora();
    run(&study, "batchtopk", &[Step::Statistics]);
    let store = open_store(&study.path).unwrap();
    let crosscoder = load("batchtopk");
    let latents = crosscoder.dict_size();
    let mut expected: HashMap<(&str, String), Part> = HashMap::new();
    for sequence in &sequences(&study.path) {
        for (t, row) in dense(&crosscoder, &sequence.activations).iter().enumerate() {
            for part in parts(sequence, t) {
                let (tokens, cells) = expected
                    .entry(part)
                    .or_insert_with(|| (0, vec![(0, 0.0, 0.0); latents]));
                *tokens += 1;
                for (cell, &v) in cells.iter_mut().zip(row).filter(|(_, v)| **v > 0.0) {
                    *cell = (cell.0 + 1, cell.1.max(v), cell.2 + f64::from(v));
                }
            }
        }
    }
    assert_eq!(expected.len(), 2 + 5, "every role and corpus has tokens");
    let mut fired = 0;
    for row in store.rows("batchtopk").unwrap() {
        let detail = store.latent("batchtopk", row.id).unwrap();
        let names: Vec<&str> = detail.shares.iter().map(|s| s.part.as_str()).collect();
        assert_eq!(
            names,
            [
                "corpus.jsonl",
                "other.jsonl",
                "bos",
                "template",
                "user",
                "assistant",
                "text"
            ]
        );
        for share in &detail.shares {
            let by = if share.by == "corpus" {
                "corpus"
            } else {
                "role"
            };
            let (tokens, cells) = &expected[&(by, share.part.clone())];
            let (active, max, sum) = cells[row.id as usize];
            assert_eq!((share.tokens, share.active_tokens), (*tokens, active));
            assert!((share.max_activation - f64::from(max)).abs() <= 1e-5 * f64::from(max));
            assert_eq!(share.mean_activation.is_some(), active > 0);
            if let Some(mean) = share.mean_activation {
                assert!((mean - sum / active as f64).abs() <= 1e-5 * mean);
            }
            fired += active;
        }
        for by in ["corpus", "role"] {
            let of: Vec<&ActivityShare> = detail.shares.iter().filter(|s| s.by == by).collect();
            assert_eq!(
                of.iter().map(|s| s.tokens).sum::<u64>(),
                row.tokens.unwrap()
            );
            let active: u64 = of.iter().map(|s| s.active_tokens).sum();
            assert_eq!(Some(active), row.active_tokens);
            let max = of.iter().map(|s| s.max_activation).fold(0.0, f64::max);
            assert_eq!(Some(max), row.max_activation);
            let sums = of
                .iter()
                .map(|s| s.mean_activation.unwrap_or(0.0) * s.active_tokens as f64);
            let whole = row.mean_activation.unwrap_or(0.0) * active as f64;
            assert!((sums.sum::<f64>() - whole).abs() <= 1e-6 * whole);
        }
    }
    assert!(fired > 1000, "{fired}");
}

#[test]
fn template_statistics_are_those_of_the_chats() {
    let study = collected();
    run(&study, "batchtopk", &[Step::Examples]);
    let store = open_store(&study.path).unwrap();
    let crosscoder = load("batchtopk");
    let rows = store.rows("batchtopk").unwrap();
    let mut tokens: HashMap<String, u64> = HashMap::new();
    // (latent, group, bucket) to count and largest v.
    let mut expected: HashMap<(u32, String, usize), (u64, f32)> = HashMap::new();
    for sequence in &sequences(&study.path) {
        if !sequence.kinds.iter().take(2).any(|&kind| kind == TEMPLATE) {
            continue;
        }
        let mut controls = 0;
        for (t, values) in dense(&crosscoder, &sequence.activations).iter().enumerate() {
            let (kind, assistant) = (sequence.kinds[t], sequence.roles[t] == ASSISTANT);
            let mut groups = Vec::new();
            if kind == TEMPLATE {
                groups.extend([
                    TemplateGroup::Control,
                    TemplateGroup::ControlAt(controls % 10 + 1),
                ]);
                controls += 1;
            } else if kind == BOS {
                groups.push(TemplateGroup::Bos);
            } else {
                groups.push(TemplateGroup::NotControl);
                if !assistant {
                    groups.push(TemplateGroup::User);
                }
            }
            if assistant {
                groups.push(TemplateGroup::Assistant);
            }
            for group in groups {
                *tokens.entry(group.name()).or_default() += 1;
                for (row, &v) in rows.iter().zip(values).filter(|(_, v)| **v > 1e-3) {
                    let bucket = template_bucket(v, row.max_activation.unwrap() as f32);
                    let cell = expected.entry((row.id, group.name(), bucket)).or_default();
                    *cell = (cell.0 + 1, cell.1.max(v));
                }
            }
        }
    }
    assert!(tokens["assistant"] > 0 && tokens["ctrl_10"] > 0 && tokens["user"] > 0);
    assert_eq!(store.template_tokens("batchtopk").unwrap(), tokens);
    let mut compared = 0;
    for row in rows {
        let found = store.template_latent("batchtopk", row.id).unwrap();
        for group in TemplateGroup::all() {
            for bucket in 0..4 {
                let key = (row.id, group.name(), bucket);
                let (count, max) = expected.get(&key).copied().unwrap_or_default();
                let sums = found.sums(group, Some(bucket));
                assert_eq!(sums.count, count, "{key:?}");
                assert!((sums.max - max).abs() <= 1e-5 * max);
                compared += usize::from(count > 0);
            }
        }
        let shown = store.latent("batchtopk", row.id).unwrap().template;
        assert_eq!(shown.len(), 15);
        for (shown, group) in shown.iter().zip(TemplateGroup::all()) {
            assert_eq!(shown.group, group.name());
            assert_eq!(shown.tokens, tokens[&shown.group]);
            let counts: Vec<u64> = shown.buckets.iter().map(|b| b.active_tokens).collect();
            let of = |bucket| expected.get(&(row.id, group.name(), bucket));
            let direct: Vec<(u64, f32)> =
                (0..4).map(|b| of(b).copied().unwrap_or_default()).collect();
            assert_eq!(counts, direct.iter().map(|cell| cell.0).collect::<Vec<_>>());
            let active: u64 = counts.iter().sum();
            assert_eq!(shown.active_tokens, active);
            assert_eq!(shown.frequency, Some(active as f64 / shown.tokens as f64));
            let max = f64::from(direct.iter().map(|cell| cell.1).fold(0.0, f32::max));
            assert!((shown.max_activation - max).abs() <= 1e-5 * max);
            assert_eq!(shown.mean_activation.is_some(), active > 0);
        }
        for parts in [["ctrl", "non_ctrl"], ["assistant", "user"]] {
            let of = parts.map(|name| shown.iter().find(|s| s.group == name).unwrap());
            let active = of[0].active_tokens + of[1].active_tokens;
            let [one, other] = of.map(|s| s.share);
            assert_eq!((one.is_some(), other.is_some()), (active > 0, active > 0));
            if let (Some(one), Some(other)) = (one, other) {
                assert!((one + other - 1.0).abs() < 1e-12);
                assert_eq!(one, of[0].active_tokens as f64 / active as f64);
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn correlated_latents_are_those_of_the_dense_codes() {
    let study = collected();
    run(&study, "batchtopk", &[Step::Correlated]);
    let store = open_store(&study.path).unwrap();
    let crosscoder = load("batchtopk");
    let values: Vec<Vec<f32>> = sequences(&study.path)
        .iter()
        .flat_map(|sequence| dense(&crosscoder, &sequence.activations))
        .collect();
    let n = values.len() as f64;
    let latents = crosscoder.dict_size();
    let centred: Vec<Vec<f64>> = (0..latents)
        .map(|j| {
            let column: Vec<f64> = values.iter().map(|row| f64::from(row[j])).collect();
            let mean = column.iter().sum::<f64>() / n;
            column.into_iter().map(|v| v - mean).collect()
        })
        .collect();
    let product = |a: usize, b: usize| -> f64 {
        centred[a].iter().zip(&centred[b]).map(|(x, y)| x * y).sum()
    };
    let mut named = 0;
    for j in (0..latents).step_by(7) {
        let mut expected: Vec<(usize, f64, u64)> = (0..latents)
            .filter(|&other| other != j)
            .map(|other| {
                let together = values
                    .iter()
                    .filter(|v| v[j] > 0.0 && v[other] > 0.0)
                    .count();
                let spread = (product(j, j) * product(other, other)).sqrt();
                (other, product(j, other) / spread, together as u64)
            })
            .filter(|(_, correlation, together)| *correlation > 0.0 && *together >= 3)
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        expected.truncate(10);
        let found = store.latent("batchtopk", j as u32).unwrap().correlated;
        assert_eq!(found.len(), expected.len(), "latent {j}");
        for (found, (id, correlation, together)) in found.iter().zip(expected) {
            assert_eq!((found.id as usize, found.together), (id, together));
            assert!((found.correlation - correlation).abs() < 1e-5);
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

/// A copy of the reference dictionary in which latents 3 and 4 are chat-only, 10 and 11 base-only, and 3 is the twin of 10.
fn with_twins(study: &Study) {
    let folder = study.path.parent().unwrap().join("twins");
    fs::create_dir_all(&folder).unwrap();
    let source = fixtures().join("crosscoder-l1");
    for name in ["config.json", "trainer_config.json"] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let file = source.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let mut rows: Vec<Vec<Vec<f32>>> = tensors["decoder.weight"].to_vec3().unwrap();
    rows[1][3] = rows[0][10].iter().map(|x| 2.0 * x).collect();
    for (model, latent) in [(0, 3), (0, 4), (1, 10), (1, 11)] {
        rows[model][latent].iter_mut().for_each(|x| *x *= 0.001);
    }
    tensors.insert(
        "decoder.weight".into(),
        Tensor::new(rows, &Device::Cpu).unwrap(),
    );
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    let mut manifest = Manifest::read(&study.path).unwrap();
    let like = manifest.dictionaries[0].clone();
    manifest.dictionaries.push(DictionaryRef {
        slug: "twins".into(),
        path: Some(folder),
        ..like
    });
    manifest.write(&study.path).unwrap();
}

#[test]
fn twins_find_each_other() {
    let study = study();
    with_twins(&study);
    run(&study, "twins", &[Step::Neighbours]);
    let store = open_store(&study.path).unwrap();
    let twins = |id: u32| store.latent("twins", id).unwrap().twins;
    let (chat, base) = (twins(3), twins(10));
    assert_eq!((chat.len(), base.len()), (1, 1));
    let near = |twins: &[api::Twin]| (twins[0].near.id, twins[0].near.class);
    assert_eq!(near(&chat), (10, Class::BaseOnly));
    assert_eq!(near(&base), (3, Class::ChatOnly));
    let cosine = chat[0].near.cosine;
    assert!(cosine > 0.999 && cosine == base[0].near.cosine);
    assert_eq!(chat[0].joint, None, "nothing is collected");
    for other in [4, 11, 20] {
        assert!(twins(other).is_empty());
    }
}

#[test]
fn twins_tell_how_they_fire_on_the_same_tokens() {
    let study = collected();
    with_twins(&study);
    run(&study, "twins", &[Step::Neighbours, Step::Joint]);
    let store = open_store(&study.path).unwrap();
    let latent = |id: u32| store.latent("twins", id).unwrap();
    let (chat, base) = (latent(3), latent(10));
    let [here, there] = [&chat, &base].map(|detail| detail.twins[0].joint.clone().unwrap());
    for (here, there) in [
        (&here.by_pair, &there.by_pair),
        (&here.by_own, &there.by_own),
    ] {
        assert_eq!(here.divergence, there.divergence);
        for (i, j) in (0..25).map(|cell| (cell / 5, cell % 5)) {
            assert_eq!(here.counts[i][j], there.counts[j][i], "turned over");
        }
        let total: u64 = here.counts.iter().flatten().sum();
        assert_eq!(Some(total), chat.row.tokens);
        let fires: u64 = here.counts[1..].iter().flatten().sum();
        assert_eq!(Some(fires), chat.row.active_tokens);
    }
}
