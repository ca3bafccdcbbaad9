//! Every fault is a sentence that names the file or tensor, what was expected and what was found.

use crate::common::{Folder, fixture, integer, tensor};
use candle_core::Device;
use crosscoder::{Crosscoder, open};

/// The error of opening and loading a folder; both must refuse it alike.
fn refused(folder: &Folder) -> String {
    let dir = folder.write();
    let opened = open(dir).unwrap_err().to_string();
    let loaded = Crosscoder::load(dir, &Device::Cpu).unwrap_err().to_string();
    assert_eq!(opened, loaded);
    opened
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

#[test]
fn a_missing_folder_names_the_file() {
    let message = open("no/such/dictionary").unwrap_err().to_string();
    assert_says(&message, &["no/such/dictionary", "model.safetensors"]);
}

#[test]
fn a_truncated_file_says_both_lengths() {
    let folder = Folder::copy("crosscoder-l1");
    let path = folder.write().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for keep in [whole.len() - 1, whole.len() / 2, 100, 7, 0] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        let message = open(folder_of(&path)).unwrap_err().to_string();
        let found = format!("found {keep}");
        assert_says(
            &message,
            &["model.safetensors", "expected", &found, "bytes"],
        );
        assert!(Crosscoder::load(folder_of(&path), &Device::Cpu).is_err());
    }
    std::fs::write(&path, [&whole[..], b"surplus"].concat()).unwrap();
    let message = open(folder_of(&path)).unwrap_err().to_string();
    assert_says(&message, &[&format!("expected {} bytes", whole.len())]);
}

fn folder_of(path: &std::path::Path) -> &std::path::Path {
    path.parent().unwrap()
}

#[test]
fn a_file_of_another_format_is_refused() {
    let folder = Folder::copy("crosscoder-l1");
    let path = folder.write().join("model.safetensors");
    let mut bytes = 16u64.to_le_bytes().to_vec();
    bytes.extend(b"this is no JSON!");
    std::fs::write(&path, bytes).unwrap();
    let message = open(folder_of(&path)).unwrap_err().to_string();
    assert_says(&message, &["model.safetensors", "safetensors", "expected"]);
}

#[test]
fn a_missing_tensor_is_named() {
    for name in [
        "encoder.weight",
        "encoder.bias",
        "decoder.weight",
        "decoder.bias",
    ] {
        let mut folder = Folder::copy("crosscoder-l1");
        folder.tensors.remove(name);
        assert_says(&refused(&folder), &["model.safetensors", name]);
    }
    let mut folder = Folder::copy("crosscoder-batchtopk");
    folder.tensors.remove("threshold");
    assert_says(&refused(&folder), &["tensor threshold"]);
}

#[test]
fn a_wrong_shape_is_told_with_both_shapes() {
    for (name, shape, words) in [
        (
            "encoder.weight",
            vec![48, 128],
            ["[2, activation_dim, dict_size]", "[48, 128]"],
        ),
        (
            "encoder.weight",
            vec![3, 4, 8],
            ["[2, activation_dim, dict_size]", "[3, 4, 8]"],
        ),
        ("encoder.bias", vec![127], ["[128]", "[127]"]),
        (
            "decoder.weight",
            vec![2, 128, 47],
            ["[2, 128, 48]", "[2, 128, 47]"],
        ),
        ("decoder.bias", vec![2, 47], ["[2, 48]", "[2, 47]"]),
        ("activation_mean", vec![48], ["[2, 48]", "[48]"]),
    ] {
        let mut folder = Folder::copy("crosscoder-l1");
        let numbers = vec![0.5f32; shape.iter().product()];
        folder.set(name, tensor(&numbers, &shape));
        let message = refused(&folder);
        assert_says(&message, &["model.safetensors", name, "expected", "found"]);
        assert_says(&message, &words);
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        for name in [
            "encoder.weight",
            "encoder.bias",
            "decoder.weight",
            "decoder.bias",
        ] {
            let mut folder = Folder::copy("crosscoder-l1");
            let shape = folder.tensors[name].dims().to_vec();
            let mut numbers = vec![0.5f32; shape.iter().product()];
            numbers[17] = bad;
            folder.set(name, tensor(&numbers, &shape));
            let error = Crosscoder::load(folder.write(), &Device::Cpu).unwrap_err();
            let found = format!("found {bad} at index 17");
            assert_says(&error.to_string(), &[name, "finite", &found]);
        }
    }
}

#[test]
fn configurations_that_disagree_are_refused() {
    let cases = [
        (
            "config.json",
            r#"{"activation_dim": 47}"#,
            vec!["activation_dim", "48", "47"],
        ),
        (
            "config.json",
            r#"{"dict_size": 64}"#,
            vec!["dict_size", "128", "64"],
        ),
        ("config.json", r#"{"k": 10}"#, vec!["field k", "9", "10"]),
        ("config.json", "{", vec!["config.json", "JSON"]),
        (
            "trainer_config.json",
            r#"{"trainer": {"dict_class": "BatchTopKSAE"}}"#,
            vec![
                "trainer.dict_class",
                "BatchTopKCrossCoder",
                "found BatchTopKSAE",
            ],
        ),
    ];
    for (file, json, words) in cases {
        let mut folder = Folder::copy("crosscoder-batchtopk");
        folder.json.insert(file, json.into());
        let message = refused(&folder);
        assert_says(&message, &[file]);
        assert_says(&message, &words);
    }
    let mut folder = Folder::copy("crosscoder-batchtopk");
    folder.set("code_normalization_id", integer(6));
    assert_says(
        &refused(&folder),
        &["code_normalization_id", "1 to 5", "found 6"],
    );
}

#[test]
fn activations_of_another_width_are_refused() {
    let crosscoder = Crosscoder::load(fixture("crosscoder-l1"), &Device::Cpu).unwrap();
    let x = tensor(&[0.; 94], &[1, 2, 47]);
    for error in [
        crosscoder.encode(&x).unwrap_err(),
        crosscoder.codes(&x).unwrap_err(),
        crosscoder.halves(&x, &[0]).unwrap_err(),
    ] {
        assert_says(&error.to_string(), &["[tokens, 2, 48]", "[1, 2, 47]"]);
    }
    let x = tensor(&[0.; 96], &[1, 2, 48]);
    for error in [
        crosscoder.encode_latents(&x, &[3, 128]).unwrap_err(),
        crosscoder.halves(&x, &[128]).unwrap_err(),
    ] {
        assert_says(
            &error.to_string(),
            &["latent 128", "128 latents", "0 to 127"],
        );
    }
    let f = tensor(&[0.; 127], &[1, 127]);
    let error = crosscoder.decode(&f).unwrap_err();
    assert_says(&error.to_string(), &["[tokens, 128]", "[1, 127]"]);
    assert!(crosscoder.decoder_row(1, 128).is_empty());
    assert!(crosscoder.norms(2).is_empty());
}
