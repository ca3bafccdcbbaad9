//! A study over the reference pair and dictionaries, and a small corpus.
#![allow(dead_code)] // every test file uses a part

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use crosscoder::Crosscoder;
use diffing::ScalingToken;
use pipeline::{
    CollectOptions, DeviceChoice, InitOptions, Manifest, ModelRef, Silent, Store, collect, init,
};
use safetensors::{Dtype, SafeTensors};

pub(crate) const LAYER: usize = 2;
pub(crate) const WIDTH: usize = 48;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

pub(crate) struct Study {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) corpus: PathBuf,
}

pub(crate) fn init_options(study: &Path) -> InitOptions {
    InitOptions {
        study: study.to_path_buf(),
        base: ModelRef::folder(fixtures().join("base")),
        chat: ModelRef::folder(fixtures().join("chat")),
        layer: LAYER,
        dictionaries: ["l1", "batchtopk"]
            .map(|kind| {
                let place = fixtures().join(format!("crosscoder-{kind}"));
                (kind.to_string(), ModelRef::folder(place))
            })
            .into(),
        ..InitOptions::default()
    }
}

/// A study with both reference dictionaries, and a corpus of web-like texts and dialogues.
pub(crate) fn study() -> Study {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study");
    init(&init_options(&path)).unwrap();
    let corpus = folder.path().join("corpus.jsonl");
    fs::write(&corpus, documents(90)).unwrap();
    Study {
        _folder: folder,
        path,
        corpus,
    }
}

pub(crate) fn documents(count: usize) -> String {
    let things = ["Peru", "Norway", "a lock", "the owl", "sushi", "Lima"];
    let verbs = ["is", "eats", "picks", "likes", "sees"];
    (0..count)
        .map(|i| {
            let (a, b) = (things[i % 6], things[(i / 6) % 6]);
            let verb = verbs[(i * 7 + i / 5) % 5];
            if i % 3 == 0 {
                format!(
                    "{{\"messages\": [{{\"role\": \"user\", \"content\": \"Is it true that {a} {verb} {b}?\"}}, \
                     {{\"role\": \"assistant\", \"content\": \"{b} {verb} {a}, number {i}.\"}}], \"labels\": [\"qa\"]}}\n"
                )
            } else {
                format!("{{\"text\": \"{a} {verb} {b} {i} times.\", \"source\": \"web\"}}\n")
            }
        })
        .collect()
}

pub(crate) fn collect_options(study: &Study) -> CollectOptions {
    CollectOptions {
        study: study.path.clone(),
        corpora: vec![study.corpus.clone()],
        tokens: 1_000_000,
        shard_tokens: Some(500),
        device: DeviceChoice::Cpu,
        ..CollectOptions::default()
    }
}

/// A study with its activations collected.
pub(crate) fn collected() -> Study {
    let study = study();
    collect(&collect_options(&study), &Silent).unwrap();
    study
}

/// Everything that a study says of the dictionary `batchtopk`, as text in which every bit of every number counts.
pub(crate) fn everything(store: &Store) -> Vec<String> {
    let slug = "batchtopk";
    let mut all = vec![
        format!("{:?}", store.effects(slug).unwrap()),
        format!("{:?}", store.scaling(slug).unwrap()),
    ];
    for row in store.rows(slug).unwrap() {
        all.push(format!("{:?}", store.latent(slug, row.id).unwrap()));
        let examples = store.examples(slug, row.id, None, None, Some(200));
        all.push(format!("{:?}", examples.unwrap()));
        let template = store.template_latent(slug, row.id);
        all.push(format!("{:?}", template.unwrap()));
    }
    all
}

/// Shard files in order.
pub(crate) fn shards(study: &Path) -> Vec<PathBuf> {
    let mut shards: Vec<PathBuf> = fs::read_dir(study.join("activations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    shards.sort();
    shards
}

/// A sequence as the shard files have it, read without the pipeline's own code.
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    pub(crate) kinds: Vec<u8>,
    pub(crate) roles: Vec<u8>,
    /// [T, 2, D]
    pub(crate) activations: Vec<f32>,
    pub(crate) origin: serde_json::Value,
}

pub(crate) fn sequences(study: &Path) -> Vec<Sequence> {
    shards(study).iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Sequence> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let data = |name: &str| file.tensor(name).unwrap().data();
    let floats: Vec<f32> = words(data("activations"), f32::from_le_bytes);
    let tokens: Vec<u32> = words(data("tokens"), u32::from_le_bytes);
    let offsets: Vec<usize> = data("offsets")
        .chunks(8)
        .map(|b| u64::from_le_bytes(b.try_into().unwrap()) as usize)
        .collect();
    let origins: Vec<serde_json::Value> =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["origins"]).unwrap();
    let row = 2 * WIDTH;
    offsets
        .windows(2)
        .zip(origins)
        .map(|(span, origin)| Sequence {
            tokens: tokens[span[0]..span[1]].to_vec(),
            kinds: data("kinds")[span[0]..span[1]].to_vec(),
            roles: data("roles")[span[0]..span[1]].to_vec(),
            activations: floats[span[0] * row..span[1] * row].to_vec(),
            origin,
        })
        .collect()
}

fn words<T>(bytes: &[u8], decode: impl Fn([u8; 4]) -> T) -> Vec<T> {
    let chunks = bytes.chunks(4);
    chunks.map(|b| decode(b.try_into().unwrap())).collect()
}

/// The reference's arrays by name, f32 or f64.
pub(crate) fn expected() -> HashMap<String, Vec<f64>> {
    let bytes = fs::read(fixtures().join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .filter_map(|(name, tensor)| {
            let data = tensor.data();
            let values = match tensor.dtype() {
                Dtype::F32 => words(data, f32::from_le_bytes)
                    .into_iter()
                    .map(f64::from)
                    .collect(),
                Dtype::F64 => data
                    .chunks(8)
                    .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                    .collect(),
                _ => return None,
            };
            Some((name, values))
        })
        .collect()
}

/// A corpus of the reference's two conversations, whose activations and coefficients it knows.
pub(crate) fn reference_corpus(folder: &Path) -> PathBuf {
    let text = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let conversations = &expected["conversations"];
    let rendered = conversations[0]["text"].as_str().unwrap();
    let first = serde_json::json!({"text": rendered.trim_start_matches("<bos>")});
    let second = serde_json::json!({"messages": conversations[1]["messages"]});
    let path = folder.join("reference.jsonl");
    fs::write(&path, format!("{first}\n{second}\n")).unwrap();
    path
}

pub(crate) fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .filter(|x| x.is_finite())
        .fold(0.0, |m: f64, x| m.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found.is_nan() && expected.is_nan())
                || (found - expected).abs() <= tolerance * largest,
            "{what}[{i}]: {found}, expected {expected}"
        );
    }
}

/// A reference dictionary.
pub(crate) fn load(kind: &str) -> Crosscoder {
    Crosscoder::load(fixtures().join(format!("crosscoder-{kind}")), &Device::Cpu).unwrap()
}

/// v of every token and latent, [T][F], from the dense code.
pub(crate) fn dense(crosscoder: &Crosscoder, activations: &[f32]) -> Vec<Vec<f32>> {
    let tokens = activations.len() / (2 * WIDTH);
    let x = Tensor::from_slice(activations, (tokens, 2, WIDTH), &Device::Cpu).unwrap();
    let f: Vec<Vec<f32>> = crosscoder.encode(&x).unwrap().to_vec2().unwrap();
    f.into_iter()
        .map(|row| {
            row.iter()
                .zip(crosscoder.scaling())
                .map(|(f, w)| f * w)
                .collect()
        })
        .collect()
}

/// Calls `with` for every collected token and its active latents as (id, f, v).
pub(crate) fn every_token(
    study: &Study,
    crosscoder: &Crosscoder,
    mut with: impl FnMut(&ScalingToken<'_>, &[(u32, f32, f32)]),
) {
    let decoder = crosscoder.decoder().unwrap();
    for sequence in sequences(&study.path) {
        let shape = (sequence.tokens.len(), 2, WIDTH);
        let x = Tensor::from_slice(&sequence.activations, shape, &Device::Cpu).unwrap();
        let codes = crosscoder.codes(&x).unwrap();
        let x_hat = crosscoder.reconstruct_normalized(&codes);
        for t in 0..sequence.tokens.len() {
            let at = |m: usize| (2 * t + m) * WIDTH..(2 * t + m + 1) * WIDTH;
            let x = [0, 1].map(|m| &sequence.activations[at(m)]);
            let error = [0, 1].map(|m| -> Vec<f32> {
                let pairs = x[m].iter().zip(&x_hat[at(m)]);
                pairs.map(|(x, x_hat)| x - x_hat).collect()
            });
            let token = ScalingToken::new(x, [&error[0], &error[1]], &decoder).unwrap();
            let active: Vec<_> = codes.token(t).iter().map(|a| (a.id, a.f[1], a.v)).collect();
            with(&token, &active);
        }
    }
}

/// A study with activations and a cut that a tenth of a dictionary's latents reach: the reference dictionaries are random.
pub(crate) fn with_chat_only(slug: &str) -> Study {
    let study = collected();
    let crosscoder = load(slug);
    let norms = crosscoder.norms(0).iter().zip(crosscoder.norms(1));
    let mut deltas: Vec<f64> = norms
        .filter_map(|(&base, &chat)| diffing::delta_norm(base, chat))
        .collect();
    deltas.sort_by(f64::total_cmp);
    let mut manifest = Manifest::read(&study.path).unwrap();
    manifest.classes.chat_only = deltas[deltas.len() * 9 / 10];
    manifest.write(&study.path).unwrap();
    study
}
