//! `analyse` refuses what is broken or does not fit, by name.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::fs;
use std::path::Path;

use common::{Study, WIDTH, collected, fixtures, shards};
use pipeline::{AnalyseOptions, DeviceChoice, Manifest, Silent, analyse};

fn options(study: &Study, dictionary: &str) -> AnalyseOptions {
    AnalyseOptions {
        study: study.path.clone(),
        dictionary: dictionary.into(),
        device: DeviceChoice::Cpu,
        ..AnalyseOptions::default()
    }
}

fn message(study: &Study, dictionary: &str) -> String {
    analyse(&options(study, dictionary), &Silent)
        .unwrap_err()
        .to_string()
}

fn replace_tensor(path: &Path, change: impl Fn(&mut Vec<u8>, &mut Vec<usize>)) {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let tensors: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let (mut data, mut shape) = (tensor.data().to_vec(), tensor.shape().to_vec());
            if name == "activations" {
                change(&mut data, &mut shape);
            }
            (name, tensor.dtype(), shape, data)
        })
        .collect();
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (
            name.clone(),
            safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap(),
        )
    });
    let written = safetensors::serialize(views, header.metadata().clone()).unwrap();
    fs::write(path, written).unwrap();
}

#[test]
fn broken_shards_are_named() {
    let study = collected();
    let shard = shards(&study.path).remove(1);
    let bytes = fs::read(&shard).unwrap();
    let refused = |parts: &[&str]| {
        let message = message(&study, "batchtopk");
        for part in parts.iter().chain(&["shard-00001"]) {
            assert!(message.contains(part), "{message}");
        }
        assert!(!study.path.join("study.duckdb").exists());
    };
    fs::remove_file(&shard).unwrap();
    refused(&["missing", "stereoscope collect"]);
    fs::write(&shard, &bytes[..bytes.len() - 10]).unwrap();
    refused(&["truncated", "stereoscope collect"]);
    fs::write(&shard, &bytes).unwrap();
    replace_tensor(&shard, |_, shape| *shape = vec![shape[0], 1, 2 * WIDTH]);
    refused(&["activations", "[tokens, 2, 48]"]);
    fs::write(&shard, &bytes).unwrap();
    replace_tensor(&shard, |data, _| {
        data[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    refused(&["NaN", "token 0 of the base model"]);
    fs::write(&shard, &bytes).unwrap();
    replace_tensor(&shard, |data, _| {
        let at = 4 * (3 * WIDTH);
        data[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    refused(&["infinite", "token 1 of the chat model"]);
    fs::write(&shard, &bytes).unwrap();
    replace_tensor(&shard, |data, _| {
        data[40..44].copy_from_slice(&1.5f32.to_le_bytes());
    });
    refused(&["SHA-256"]);
    fs::write(&shard, &bytes).unwrap();
    analyse(&options(&study, "batchtopk"), &Silent).unwrap();
}

#[test]
fn what_does_not_fit_is_refused() {
    let study = collected();
    assert!(message(&study, "nope").contains("l1, batchtopk"));
    let manifest = Manifest::read(&study.path).unwrap();

    let narrow = study.path.join("narrow");
    let settings = pipeline::Settings {
        k: 2,
        ..pipeline::Settings::default()
    };
    crosscoder::train::Trainer::new(settings, 7, 5, None)
        .unwrap()
        .save(&narrow, &crosscoder::train::Origin::default())
        .unwrap();
    let mut changed = manifest.clone();
    changed.dictionaries[0].path = Some("narrow".into());
    changed.write(&study.path).unwrap();
    let refused = message(&study, "l1");
    assert!(
        refused.contains("width 7") && refused.contains("48"),
        "{refused}"
    );

    let mut changed = manifest.clone();
    changed.layer = 1;
    changed.write(&study.path).unwrap();
    let refused = message(&study, "l1");
    assert!(
        refused.contains("layer 2") && refused.contains("layer 1"),
        "{refused}"
    );

    let elsewhere = study.path.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for file in fs::read_dir(fixtures().join("crosscoder-l1")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), elsewhere.join(file.file_name())).unwrap();
    }
    let config = elsewhere.join("trainer_config.json");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("\"layer\": null", "\"layer\": 13");
    fs::write(&config, text).unwrap();
    let mut changed = manifest.clone();
    changed.dictionaries[0].path = Some("elsewhere".into());
    changed.write(&study.path).unwrap();
    let refused = message(&study, "l1");
    assert!(
        refused.contains("trained at layer 13") && refused.contains("layer 2"),
        "{refused}"
    );

    let mut changed = manifest.clone();
    changed.chat = changed.base.clone();
    changed.write(&study.path).unwrap();
    let refused = message(&study, "l1");
    assert!(refused.contains("other models"), "{refused}");

    manifest.write(&study.path).unwrap();
    let broken = study.path.join("broken");
    fs::create_dir(&broken).unwrap();
    for file in fs::read_dir(fixtures().join("crosscoder-l1")).unwrap() {
        let file = file.unwrap();
        let mut bytes = fs::read(file.path()).unwrap();
        if file.file_name() == "model.safetensors" {
            bytes.truncate(bytes.len() / 2);
        }
        fs::write(broken.join(file.file_name()), bytes).unwrap();
    }
    let mut changed = manifest;
    changed.dictionaries[0].path = Some("broken".into());
    changed.write(&study.path).unwrap();
    assert!(message(&study, "l1").contains("model.safetensors"));
}
