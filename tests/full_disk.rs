//! A full disk: whoever asked is told what to do, what was there stays readable, and with room all goes on.

use std::fs;
use std::path::Path;

use harness::{Server, SmallDisk, copy_folder, fixture_study, program, said, stereoscope};
use serde_json::{Value, json};

fn body(seed: u64) -> Value {
    json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": [{"model": "chat"}],
        "sampling": {"max_new_tokens": 100, "temperature": 1.5, "seed": seed}})
}

#[test]
fn a_full_disk_is_told_and_harms_nothing_saved() {
    let Some(disk) = SmallDisk::new(2) else {
        return;
    };
    let study = fixture_study();
    let file = disk.path().join("runs.duckdb");
    let options = ["--runs", file.to_str().expect("a path in UTF-8")];
    let Some(mut server) = Server::start(study.path(), &options) else {
        return;
    };
    let saved = server.post("/api/v1/runs", &body(0));
    assert_eq!(saved.status, 201, "{}", saved.text());
    let place = saved.header("location").expect("a place").to_owned();

    let filler = disk.fill(0);
    // What DuckDB set aside in the file may still hold a few.
    let refused = (1..200).find_map(|seed| {
        let answer = server.post("/api/v1/runs", &body(seed));
        (answer.status != 201).then_some(answer)
    });
    let detail = refused.expect("a full disk").problem(507);
    for part in ["runs.duckdb", "No space left", "make room", "--runs"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    let unharmed = |server: &Server| {
        assert_eq!(server.get(&place).json(), saved.json());
        assert_eq!(server.get("/api/v1/study").status, 200);
        assert_eq!(server.get("/healthz").status, 200);
    };
    unharmed(&server);
    // Again, and with prompts that are not saved.
    server.post("/api/v1/runs", &body(1000)).problem(507);
    assert_eq!(server.post("/api/v1/generate", &body(1)).status, 200);
    unharmed(&server);

    // Another start finds the disk still full.
    assert!(server.terminate().success());
    let server = Server::start(study.path(), &options).expect("a server");
    unharmed(&server);
    server.post("/api/v1/runs", &body(1000)).problem(507);

    fs::remove_file(filler).expect("a file to delete");
    let saved = server.post("/api/v1/runs", &body(1000));
    assert_eq!(saved.status, 201, "{}", saved.text());
    unharmed(&server);
}

/// Runs the program on a full disk, which ends it with a sentence.
fn told_of_a_full_disk(arguments: &[&str]) {
    let output = stereoscope(arguments).expect("an answer");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let line = told.lines().last().unwrap_or_default();
    assert!(line.contains("space") && line.contains("/study/"), "{told}");
    assert!(line.contains("make room"), "{told}");
}

fn succeeds(arguments: &[&str]) {
    let output = stereoscope(arguments).expect("an answer");
    assert!(output.status.success(), "{}", said(&output));
}

/// What a server shows of the study and its latents.
fn shown(study: &Path) -> Vec<Value> {
    let server = Server::start(study, &["--browse-only"]).expect("a server");
    let known = server.get("/api/v1/study").json();
    let slugs = known["dictionaries"].as_array().expect("dictionaries");
    let address = |d: &Value| {
        format!(
            "/api/v1/dictionaries/{}/latents?limit=1000",
            d["slug"].as_str().expect("a slug")
        )
    };
    let latents = slugs.iter().map(|d| server.get(&address(d)).json());
    let names = slugs.iter().map(|d| d["slug"].clone());
    names.chain(latents).collect()
}

#[test]
fn a_full_disk_ends_training_and_analysis_and_harms_no_study() {
    if program().is_none() {
        return;
    }
    let Some(disk) = SmallDisk::new(48) else {
        return;
    };
    let whole = fixture_study();
    let corpus = whole.path().join("corpus.jsonl");
    let line = |i: usize| format!("{{\"text\": \"Owl {i} eats {} times in Peru.\"}}\n", i % 97);
    fs::write(&corpus, (0..3000).map(line).collect::<String>()).expect("a written corpus");
    let text = corpus.to_str().expect("a path");
    let device = ["--device", "cpu"];
    let collect = |study| {
        let options = ["collect", study, "--corpus", text, "--tokens", "20000"];
        [&options[..], &device].concat()
    };
    let train = |study| {
        let kind = [
            "train",
            study,
            "--slug",
            "new",
            "--latents",
            "96",
            "--k",
            "6",
        ];
        let steps = [
            "--steps",
            "200",
            "--batch",
            "64",
            "--checkpoint-every",
            "20",
            "--target-rms",
            "1",
        ];
        [&kind[..], &steps].concat()
    };
    let analyse = |study| {
        let options = [
            "analyse",
            study,
            "--dictionary",
            "new",
            "--checkpoint-seconds",
            "0",
        ];
        [&options[..], &device].concat()
    };
    let of = |folder: &Path| folder.to_str().expect("a path").to_owned();
    succeeds(&collect(&of(whole.path())));
    let small = disk.path().join("study");
    copy_folder(whole.path(), &small);
    let small_name = of(&small);

    // Both at once full, and full in the middle.
    let mut before = shown(&small);
    for leave in [0, 100_000] {
        let filler = disk.fill(leave);
        told_of_a_full_disk(&train(&small_name));
        assert!(!small.join("dictionaries/new").exists());
        fs::remove_file(filler).expect("a file to delete");
        assert_eq!(shown(&small), before);
    }
    succeeds(&[&train(&small_name)[..], &["--resume"]].concat());

    before = shown(&small);
    for leave in [0, 100_000, 1_000_000] {
        let filler = disk.fill(leave);
        told_of_a_full_disk(&analyse(&small_name));
        fs::remove_file(filler).expect("a file to delete");
        assert_eq!(shown(&small), before);
    }
    succeeds(&analyse(&small_name));

    succeeds(&train(&of(whole.path())));
    succeeds(&analyse(&of(whole.path())));
    assert_eq!(shown(&small), shown(whole.path()));
}
