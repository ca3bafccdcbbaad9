//! A model whose upper half is read when it is needed, and what its parts take.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use common::{MODELS, fixtures, load, prompt, relative_error};
use gemma::{Checkpoint, Error, Logits, Model, cache_bytes, weight_bytes};

const LAYER: usize = 1;

fn lower(dir: &Path, heard: &mut Vec<f32>) -> Model {
    let checkpoint = Checkpoint::open(dir).unwrap();
    checkpoint
        .load_lower(LAYER, &Device::Cpu, DType::F32, &mut |f| heard.push(f))
        .unwrap()
}

fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures().join(name)).unwrap().flatten() {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn bits(x: &Tensor) -> Vec<Vec<f32>> {
    x.to_vec2().unwrap()
}

#[test]
fn the_upper_half_is_read_at_its_first_use_and_changes_no_bit() {
    for name in MODELS {
        let whole = load(name);
        let mut heard = vec![];
        let half = lower(&fixtures().join(name), &mut heard);
        assert!(heard.is_sorted() && heard.last().is_some_and(|f| *f > 0.99));
        assert!(whole.is_whole() && !half.is_whole());
        let ids = prompt(&whole, 40);
        let run = |model: &Model| {
            let mut cache = model.cache(ids.len());
            let h = model.lower(&ids, LAYER, &mut cache).unwrap();
            (h, cache)
        };
        let ((expected, mut old), (found, mut new)) = (run(&whole), run(&half));
        let many = half.lower_many(&[&ids], LAYER).unwrap();
        assert!(relative_error(&many[0], &expected) < 1e-5);
        assert_eq!(bits(&found), bits(&expected));
        assert!(!half.is_whole(), "the lower half needs no other");

        let expected = whole
            .upper(&expected, LAYER, &mut old, Logits::All)
            .unwrap();
        let found = half.upper(&found, LAYER, &mut new, Logits::All).unwrap();
        assert!(half.is_whole());
        assert_eq!(bits(&found), bits(&expected));
    }
}

#[test]
fn directions_need_the_head_alone() {
    let (whole, mut heard) = (load("chat"), vec![]);
    let half = lower(&fixtures().join("chat"), &mut heard);
    let direction: Vec<f32> = (0..whole.config().hidden_size).map(|i| i as f32).collect();
    let expected = whole.unembed_direction(&direction).unwrap();
    assert_eq!(half.unembed_direction(&direction).unwrap(), expected);
}

#[test]
fn an_upper_half_of_other_files_is_refused_until_they_are_back() {
    let folder = copy("base");
    let model = lower(folder.path(), &mut vec![]);
    let file = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    // The last bytes are of some tensor's end, which the fingerprint has.
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&file, other).unwrap();
    let refused = model.complete().unwrap_err();
    assert!(matches!(refused, Error::Replaced { .. }), "{refused}");
    assert!(!model.is_whole());
    std::fs::write(&file, &bytes[..bytes.len() - 7]).unwrap();
    let refused = model.complete().unwrap_err().to_string();
    assert!(refused.contains("model.safetensors"), "{refused}");
    std::fs::write(&file, bytes).unwrap();
    model.complete().unwrap();
    assert!(model.is_whole());
}

#[test]
fn a_layer_that_is_not_there_is_refused() {
    let checkpoint = Checkpoint::open(fixtures().join("base")).unwrap();
    let blocks = checkpoint.config().num_layers;
    let refused = checkpoint.load_lower(blocks, &Device::Cpu, DType::F32, &mut |_| ());
    assert!(refused.unwrap_err().to_string().contains("no block"));
}

#[test]
fn sizes_are_those_of_the_tensors() {
    let checkpoint = Checkpoint::open(fixtures().join("base")).unwrap();
    let config = checkpoint.config();
    let file = std::fs::metadata(fixtures().join("base/model.safetensors")).unwrap();
    for layer in 0..config.num_layers {
        let [lower, upper] = weight_bytes(config, layer, 4);
        assert_eq!(lower + upper, 4 * checkpoint.parameters());
        // The file holds them in f32, and a header.
        assert!(lower + upper < file.len() && file.len() < lower + upper + 20_000);
    }
    // Each block is as large as any other, and in bf16 all but the norms is half as large.
    let of = |layer, number| weight_bytes(config, layer, number)[0];
    assert_eq!(of(1, 4) - of(0, 4), of(2, 4) - of(1, 4));
    let norms = 4 * 4 * config.hidden_size as u64;
    assert_eq!(
        of(1, 4) - of(0, 4) - norms,
        2 * (of(1, 2) - of(0, 2) - norms)
    );

    let cache = cache_bytes(config, 10, 4);
    assert_eq!(cache, 10 * cache_bytes(config, 1, 4));
    let width = config.num_kv_heads * config.head_dim;
    assert_eq!(cache, (10 * config.num_layers * 2 * width * 4) as u64);
}

#[test]
fn logits_at_some_positions_are_those_of_all_and_the_cache_is_whole() {
    for name in MODELS {
        let model = load(name);
        let ids = prompt(&model, 23);
        let last = model.config().num_layers - 1;
        let all = |mut cache: gemma::KvCache| {
            let forward = model.forward(&ids, &mut cache, None, None, Logits::All);
            (forward.unwrap().logits.unwrap(), cache)
        };
        let (expected, _) = all(model.cache(64));
        for (wanted, rows) in [
            (Logits::Last, vec![22u32]),
            (Logits::At(&[5, 0, 5]), vec![5, 0, 5]),
            (Logits::None, vec![]),
            (Logits::At(&[]), vec![]),
        ] {
            for layer in [LAYER, last] {
                let (mut cache, mut apart) = (model.cache(64), model.cache(64));
                let found = model.forward(&ids, &mut cache, None, None, wanted);
                let found = found.unwrap().logits;
                let h = model.lower(&ids, layer, &mut apart).unwrap();
                let upper = model.upper(&h, layer, &mut apart, wanted).unwrap();
                assert_eq!(upper.dims(), [rows.len(), model.config().vocab_size]);
                assert_eq!(found.is_none(), wanted == Logits::None);
                for found in found.iter().chain([&upper]).filter(|_| !rows.is_empty()) {
                    let index = Tensor::new(rows.as_slice(), &Device::Cpu).unwrap();
                    let expected = expected.index_select(&index, 0).unwrap();
                    assert!(relative_error(found, &expected) < 1e-5);
                }
                // What comes after reads the keys and values of every position.
                let next = |mut cache| {
                    let forward = model.forward(&[7], &mut cache, None, None, Logits::Last);
                    forward.unwrap().logits.unwrap()
                };
                let expected = next(all(model.cache(64)).1);
                assert!(relative_error(&next(cache), &expected) < 1e-5);
                assert!(relative_error(&next(apart), &expected) < 1e-5);
            }
        }
        let refused = model.forward(&ids, &mut model.cache(64), None, None, Logits::At(&[23]));
        assert!(matches!(refused, Err(Error::Argument(_))));
    }
}
