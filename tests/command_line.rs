//! The program's own words: what it refuses before it starts, and how.

use std::path::Path;

use harness::{copy_folder, fixture_study, fixtures, said, stereoscope};

/// Serving the study must end with status 1 and a sentence that holds all of `words`.
fn refused(study: &Path, words: &[&str]) {
    let Some(output) = stereoscope(&[
        "serve",
        study.to_str().expect("a path"),
        "--addr",
        "127.0.0.1:0",
    ]) else {
        return;
    };
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a readable file");
    assert!(text.contains(from), "{from:?} is not in {}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).expect("a writable file");
}

fn truncate(path: &Path, by: u64) {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("a writable file");
    file.set_len(file.metadata().expect("metadata").len() - by)
        .expect("a shorter file");
}

#[test]
fn a_missing_shard_is_named() {
    let study = fixture_study();
    std::fs::remove_file(study.path().join("chat/model-00003-of-00005.safetensors"))
        .expect("removed");
    refused(study.path(), &["model-00003-of-00005.safetensors"]);
}

#[test]
fn a_truncated_file_is_named() {
    for file in [
        "base/model.safetensors",
        "chat/model-00002-of-00005.safetensors",
        "crosscoder-l1/model.safetensors",
    ] {
        let study = fixture_study();
        truncate(&study.path().join(file), 100);
        refused(study.path(), &["model", "safetensors"]);
    }
}

#[test]
fn another_architecture_is_named() {
    let study = fixture_study();
    edit(
        &study.path().join("base/config.json"),
        "\"gemma2\"",
        "\"llama\"",
    );
    refused(study.path(), &["llama", "config.json"]);
}

#[test]
fn a_wrong_shape_is_named_with_both_shapes() {
    let study = fixture_study();
    edit(
        &study.path().join("base/config.json"),
        "\"intermediate_size\": 104",
        "\"intermediate_size\": 112",
    );
    refused(study.path(), &["mlp", "112", "104"]);
}

#[test]
fn models_of_different_vocabulary_are_refused() {
    let study = fixture_study();
    edit(
        &study.path().join("base/config.json"),
        "\"vocab_size\": 512",
        "\"vocab_size\": 500",
    );
    refused(study.path(), &["500", "512"]);
}

#[test]
fn a_layer_out_of_range_is_refused() {
    let study = fixture_study();
    edit(&study.path().join("study.toml"), "layer = 2", "layer = 4");
    refused(study.path(), &["layer", "4"]);
}

#[test]
fn a_dictionary_of_another_width_is_refused() {
    let study = fixture_study();
    let other = tests_dictionary(64);
    copy_folder(other.path(), &study.path().join("crosscoder-l1"));
    refused(study.path(), &["64", "48"]);
}

/// A dictionary folder whose tensors have the given width.
fn tests_dictionary(width: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let latents = 4;
    let tensors = [
        ("encoder.weight", vec![2, width, latents]),
        ("encoder.bias", vec![latents]),
        ("decoder.weight", vec![2, latents, width]),
        ("decoder.bias", vec![2, width]),
    ];
    let (mut header, mut offset) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let bytes = 4 * shape.iter().product::<usize>();
        header.insert(name.into(), serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + bytes]}));
        offset += bytes;
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; offset]);
    std::fs::write(folder.path().join("model.safetensors"), file).expect("written");
    let config =
        serde_json::json!({"activation_dim": width, "dict_size": latents, "num_layers": 2});
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    std::fs::write(
        folder.path().join("trainer_config.json"),
        r#"{"trainer": {"dict_class": "CrossCoder"}}"#,
    )
    .expect("written");
    folder
}

#[test]
fn a_folder_that_is_no_study_says_how_to_make_one() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    refused(empty.path(), &["study.toml", "stereoscope init"]);
}

#[test]
fn a_broken_database_is_named_with_the_remedy() {
    let study = fixture_study();
    std::fs::write(study.path().join("study.duckdb"), b"not a database").expect("written");
    refused(study.path(), &["study.duckdb", "stereoscope analyse"]);
}

#[test]
fn a_port_in_use_is_a_sentence() {
    let study = fixture_study();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let Some(output) = stereoscope(&[
        "serve",
        study.path().to_str().expect("a path"),
        "--addr",
        &address,
    ]) else {
        return;
    };
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in use") && said.contains("--addr"), "{said}");
}

#[test]
fn init_references_folders_and_refuses_to_overwrite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let study = folder.path().join("study");
    let path = |name: &str| fixtures().join(name).to_str().expect("a path").to_owned();
    let (base, chat, dictionary) = (
        path("base"),
        path("chat"),
        format!("l1={}", path("crosscoder-l1")),
    );
    let arguments = [
        "init",
        study.to_str().expect("a path"),
        "--base",
        &base,
        "--chat",
        &chat,
        "--layer",
        "2",
        "--dictionary",
        &dictionary,
    ];
    let Some(output) = stereoscope(&arguments) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    assert!(study.join("study.toml").is_file() && !study.join("base").exists());
    let again = stereoscope(&arguments).expect("a program");
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("--force"), "{}", said(&again));
}

#[test]
fn the_whole_path_from_two_checkpoints_to_a_study() {
    let study = fixture_study();
    let corpus = study.path().join("corpus.jsonl");
    let mut lines = String::new();
    for i in 0..60 {
        let text = format!("The capital of country {i} is city {}.", i * 7 % 60);
        lines += &serde_json::json!({"text": text, "source": "facts"}).to_string();
        lines.push('\n');
        let messages = serde_json::json!([{"role": "user", "content": format!("Where is city {i}?")}, {"role": "assistant", "content": text}]);
        lines += &serde_json::json!({"messages": messages}).to_string();
        lines.push('\n');
    }
    std::fs::write(&corpus, lines).expect("written");
    let (folder, corpus) = (
        study.path().to_str().expect("a path"),
        corpus.to_str().expect("a path"),
    );
    for arguments in [
        vec!["collect", folder, "--corpus", corpus, "--tokens", "4000"],
        vec![
            "train",
            folder,
            "--slug",
            "own",
            "--kind",
            "batchtopk",
            "--latents",
            "96",
            "--k",
            "8",
            "--steps",
            "20",
            "--batch",
            "64",
        ],
        vec!["analyse", folder, "--dictionary", "own"],
        vec!["analyse", folder, "--dictionary", "l1"],
    ] {
        let Some(output) = stereoscope(&arguments) else {
            return;
        };
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    let server = harness::Server::start(study.path(), &[]).expect("a program");
    for (slug, latents) in [("own", 96), ("l1", 128)] {
        let page = server
            .get(&format!("/api/v1/dictionaries/{slug}/latents?limit=1000"))
            .json();
        assert_eq!(page["total"], latents);
        assert!(
            page["rows"]
                .as_array()
                .expect("rows")
                .iter()
                .all(|row| row["dead"].is_boolean())
        );
    }
}
