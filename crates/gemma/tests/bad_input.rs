//! Damaged and foreign checkpoints, each refused with a sentence that names the file or tensor, what was expected and what was found.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use common::fixtures;
use gemma::{Checkpoint, Config, Error, Tokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A copy of a reference folder to be damaged.
fn copy_of(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures().join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn change_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Rewrites the header of model.safetensors, keeping the data.
fn change_header(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header.as_bytes());
    changed.extend(&bytes[8 + length..]);
    fs::write(path, changed).unwrap();
}

/// Where a tensor's data begins in model.safetensors.
fn data_of(bytes: &[u8], tensor: &str) -> usize {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    8 + length + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize
}

fn refusal(dir: &TempDir) -> String {
    Checkpoint::open(dir.path()).unwrap_err().to_string()
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn both_dialects_of_the_configuration_agree() {
    let [base, chat] =
        common::MODELS.map(|name| Config::read(fixtures().join(name).join("config.json")).unwrap());
    assert_eq!(base, chat);
    assert_eq!(base.layer_is_sliding, [true, false, true, false]);
    assert_eq!(
        (base.sliding_window, base.query_pre_attn_scalar),
        (Some(8), 24.0)
    );
}

#[test]
fn a_written_configuration_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let config = Config {
        layer_is_sliding: vec![false, true, true, false],
        attn_softcap: None,
        eos_ids: vec![3, 4],
        pad_id: None,
        tie_word_embeddings: false,
        ..Config::read(fixtures().join("base/config.json")).unwrap()
    };
    config.write(&path, "float32").unwrap();
    assert_eq!(Config::read(&path).unwrap(), config);
    // Transformers refuses "24.0" for a whole number.
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written["query_pre_attn_scalar"], json!(24));
}

#[test]
fn stop_ids_come_from_both_files() {
    let stop_ids = |name: &str| Checkpoint::open(fixtures().join(name)).unwrap().stop_ids();
    assert_eq!(stop_ids("base"), [4]);
    assert_eq!(stop_ids("chat"), [4, 8]);
}

#[test]
fn another_model_type_is_named() {
    let dir = copy_of("base");
    change_json(&dir.path().join("config.json"), |config| {
        config["model_type"] = json!("llama");
    });
    assert_says(&refusal(&dir), &["config.json", "\"llama\"", "gemma2"]);
    change_json(&dir.path().join("config.json"), |config| {
        config.as_object_mut().unwrap().remove("model_type");
    });
    assert_says(&refusal(&dir), &["config.json", "missing", "gemma2"]);
}

#[test]
fn fields_are_named() {
    for (field, value, says) in [
        ("hidden_size", Value::Null, "null"),
        ("num_hidden_layers", json!(0), "is 0"),
        ("num_key_value_heads", json!(3), "divide"),
        ("head_dim", json!(15), "even"),
        ("hidden_activation", json!("relu"), "gelu_pytorch_tanh"),
        ("layer_types", json!(["full_attention"]), "4"),
        (
            "layer_types",
            json!(vec!["chunked_attention"; 4]),
            "chunked_attention",
        ),
        ("sliding_window", Value::Null, "null"),
        ("attn_logit_softcapping", json!(-1.0), "-1"),
        ("vocab_size", json!("many"), "many"),
        ("attention_bias", json!(true), "true"),
    ] {
        let dir = copy_of("base");
        change_json(&dir.path().join("config.json"), |config| {
            config[field] = value;
        });
        assert_says(&refusal(&dir), &["config.json", field, says]);
    }
    let dir = copy_of("base");
    change_json(&dir.path().join("config.json"), |config| {
        config
            .as_object_mut()
            .unwrap()
            .remove("query_pre_attn_scalar");
    });
    assert_says(&refusal(&dir), &["query_pre_attn_scalar", "missing"]);
    let dir = copy_of("base");
    change_json(&dir.path().join("config.json"), |config| {
        config["rope_parameters"]["rope_type"] = json!("yarn");
    });
    assert_says(&refusal(&dir), &["rope_type", "yarn", "default"]);
}

#[test]
fn missing_and_broken_files_are_named() {
    for (file, name) in [
        ("config.json", "base"),
        ("model.safetensors", "base"),
        ("model-00003-of-00005.safetensors", "chat"),
    ] {
        let dir = copy_of(name);
        fs::remove_file(dir.path().join(file)).unwrap();
        assert_says(&refusal(&dir), &["cannot read", file]);
    }
    let dir = copy_of("base");
    fs::write(dir.path().join("config.json"), "{\"model_type\"").unwrap();
    assert_says(&refusal(&dir), &["config.json", "not valid JSON"]);
    let dir = copy_of("base");
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert_says(
        &Tokenizer::open(dir.path()).unwrap_err().to_string(),
        &["cannot read", "tokenizer.json"],
    );
    fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    assert_says(
        &Tokenizer::open(dir.path()).unwrap_err().to_string(),
        &["tokenizer.json", "not a tokenizer"],
    );
    let dir = copy_of("base");
    change_json(&dir.path().join("tokenizer_config.json"), |config| {
        config["bos_token"] = json!("<begin>");
    });
    assert_says(
        &Tokenizer::open(dir.path()).unwrap_err().to_string(),
        &["tokenizer.json", "<begin>"],
    );
}

#[test]
fn truncated_and_lengthened_files_are_refused_with_both_lengths() {
    let dir = copy_of("base");
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let length = whole.len();
    for cut in [length - 1, length / 2, 200, 5, 0] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_says(&refusal(&dir), &["model.safetensors", &cut.to_string()]);
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, longer).unwrap();
    assert!(
        matches!(Checkpoint::open(dir.path()), Err(Error::Length { expected, found, .. }) if (expected, found) == (length as u64, length as u64 + 1))
    );
    fs::write(&path, vec![b'x'; length]).unwrap();
    assert_says(
        &refusal(&dir),
        &["model.safetensors", "not a safetensors file"],
    );
    let mut garbled = whole;
    garbled[9] = b'!';
    fs::write(&path, garbled).unwrap();
    assert_says(&refusal(&dir), &["model.safetensors", "header"]);
}

#[test]
fn a_truncated_shard_is_named() {
    let dir = copy_of("chat");
    let path = dir.path().join("model-00002-of-00005.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    assert_says(&refusal(&dir), &["model-00002-of-00005.safetensors"]);
}

#[test]
fn a_wrong_index_is_refused() {
    let dir = copy_of("chat");
    let index = dir.path().join("model.safetensors.index.json");
    change_json(&index, |index| {
        index["weight_map"]["model.norm.weight"] = json!("model-00001-of-00005.safetensors");
    });
    assert_says(
        &refusal(&dir),
        &[
            "index.json",
            "model.norm.weight",
            "model-00001-of-00005.safetensors",
        ],
    );
    change_json(&index, |index| {
        index["weight_map"]["model.norm.weight"] = json!("../model.safetensors");
    });
    assert_says(&refusal(&dir), &["index.json", "../model.safetensors"]);
    fs::write(&index, "{}").unwrap();
    assert_says(&refusal(&dir), &["index.json", "weight_map"]);
}

#[test]
fn a_wrong_shape_is_named_with_both_shapes() {
    let dir = copy_of("base");
    let tensor = "model.layers.1.mlp.down_proj.weight";
    change_header(dir.path(), |header| {
        header[tensor]["shape"] = json!([104, 48]);
    });
    assert_says(
        &refusal(&dir),
        &["model.safetensors", tensor, "[104, 48]", "[48, 104]"],
    );
    change_header(dir.path(), |header| {
        header[tensor]["shape"] = json!([104, 49]);
    });
    assert_says(&refusal(&dir), &["model.safetensors", tensor, "[104, 49]"]);
    change_header(dir.path(), |header| {
        header[tensor]["shape"] = json!([u64::MAX, 48]);
    });
    assert_says(&refusal(&dir), &["model.safetensors", tensor]);
}

#[test]
fn missing_foreign_and_oddly_stored_tensors_are_named() {
    let tensor = "model.layers.2.self_attn.k_proj.weight";
    let rename = |to: &'static str| {
        move |header: &mut Value| {
            let entry = header.as_object_mut().unwrap().remove(tensor).unwrap();
            header[to] = entry;
        }
    };
    let dir = copy_of("base");
    change_header(dir.path(), rename("model.layers.2.self_attn.c_proj.weight"));
    assert_says(&refusal(&dir), &[tensor, "missing", "[32, 48]"]);
    let dir = copy_of("base");
    change_json(&dir.path().join("config.json"), |config| {
        config["num_hidden_layers"] = json!(3);
        config["layer_types"] = Value::Null;
    });
    assert_says(&refusal(&dir), &["model.safetensors", "model.layers.3."]);
    let dir = copy_of("base");
    change_header(dir.path(), |header| header[tensor]["dtype"] = json!("I32"));
    assert_says(&refusal(&dir), &[tensor, "I32", "BF16"]);
    let dir = copy_of("base");
    change_json(&dir.path().join("config.json"), |config| {
        config["tie_word_embeddings"] = json!(false);
    });
    assert_says(&refusal(&dir), &["lm_head.weight", "missing"]);
}

#[test]
fn weights_that_are_not_finite_are_refused_when_loaded() {
    for (value, shown) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let dir = copy_of("base");
        let path = dir.path().join("model.safetensors");
        let tensor = "model.layers.3.mlp.up_proj.weight";
        let mut bytes = fs::read(&path).unwrap();
        let place = data_of(&bytes, tensor) + 4 * 77;
        bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let error = Checkpoint::open(dir.path())
            .unwrap()
            .load(&Device::Cpu, DType::F32, &mut |_| {})
            .unwrap_err()
            .to_string();
        assert_says(&error, &["model.safetensors", tensor, "element 77", shown]);
    }
}

#[test]
fn progress_rises_to_one() {
    let mut heard = vec![];
    Checkpoint::open(fixtures().join("chat"))
        .unwrap()
        .load(&Device::Cpu, DType::F32, &mut |fraction| {
            heard.push(fraction);
        })
        .unwrap();
    assert!(heard.len() > 10 && heard.is_sorted());
    assert_eq!(heard.last(), Some(&1.0));
}

#[test]
fn the_fingerprint_tells_checkpoints_apart() {
    let hash = |dir: &Path| Checkpoint::open(dir).unwrap().hash();
    let base = fixtures().join("base");
    assert_eq!(hash(&base), hash(copy_of("base").path()));
    assert_ne!(hash(&base), hash(&fixtures().join("chat")));
    let dir = copy_of("base");
    let path = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let place = data_of(&bytes, "model.layers.0.mlp.up_proj.weight");
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_ne!(hash(&base), hash(dir.path()));
}
