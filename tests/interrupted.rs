//! A program that is killed leaves a study that opens, and goes on to the same end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Server, fixture_study, program, said, stereoscope};
use serde_json::Value;

fn corpus(folder: &Path) -> PathBuf {
    let lines: Vec<String> = (0..6000)
        .map(|i| {
            format!(
                "{{\"text\": \"The owl number {i} eats {} times in Peru.\"}}\n",
                i % 97
            )
        })
        .collect();
    let path = folder.join("corpus.jsonl");
    std::fs::write(&path, lines.concat()).expect("a written corpus");
    path
}

/// Starts the program, waits until `reached`, and kills it as the system kills what takes too much memory.
fn killed_when(arguments: &[&str], reached: impl Fn() -> bool) {
    let Some(program) = program() else { return };
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + Duration::from_mins(5);
    while !reached() {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "ended by itself: {ended:?}");
        assert!(Instant::now() < deadline, "does not get there");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

fn run(arguments: &[&str]) -> Option<String> {
    let output = stereoscope(arguments)?;
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    Some(said)
}

fn opens(study: &Path, dictionaries: usize) {
    let server = Server::start(study, &["--browse-only"]).expect("a server");
    let shown = server.get("/api/v1/study").json();
    let found = shown["dictionaries"].as_array().map(Vec::len);
    assert_eq!(found, Some(dictionaries));
    let latents = server.get("/api/v1/dictionaries/l1/latents?limit=1");
    assert_eq!(latents.status, 200);
}

/// What the explorer shows of the dictionary `new`.
fn shown(study: &Path) -> Vec<Value> {
    let server = Server::start(study, &["--browse-only"]).expect("a server");
    let latents = "/api/v1/dictionaries/new/latents";
    let of = |id: u32| ["", "/examples?limit=200"].map(|what| format!("{latents}/{id}{what}"));
    let pages = (0..96).flat_map(of);
    let all = std::iter::once(format!("{latents}?limit=1000")).chain(pages);
    all.map(|address| {
        let answer = server.get(&address);
        assert_eq!(answer.status, 200, "{address}");
        answer.json()
    })
    .collect()
}

#[test]
fn a_killed_program_leaves_a_study_that_opens_and_goes_on() {
    if program().is_none() {
        return;
    }
    let (whole, broken) = (fixture_study(), fixture_study());
    let paths = [whole.path(), broken.path()];
    let [whole_name, broken_name] = paths.map(|path| path.to_str().expect("a path"));
    let text = corpus(whole.path());
    let text = text.to_str().expect("a path");
    let collect = |study| {
        vec![
            "collect",
            study,
            "--corpus",
            text,
            "--tokens",
            "100000",
            "--shard-tokens",
            "1000",
            "--device",
            "cpu",
        ]
    };
    run(&collect(whole_name));
    let activations = broken.path().join("activations");
    killed_when(&collect(broken_name), || {
        activations.join("shard-00007.json").exists()
    });
    assert!(!activations.join("manifest.json").exists());
    opens(broken.path(), 2);
    let train = |study, more: &[&'static str]| {
        let mut arguments = vec![
            "train",
            study,
            "--slug",
            "new",
            "--latents",
            "96",
            "--k",
            "6",
            "--steps",
            "3000",
            "--batch",
            "64",
            "--checkpoint-every",
            "50",
            "--target-rms",
            "1",
        ];
        arguments.extend(more);
        arguments
    };
    let refused = stereoscope(&train(broken_name, &[])).expect("an answer");
    assert!(
        said(&refused).contains("stereoscope collect"),
        "{}",
        said(&refused)
    );
    run(&collect(broken_name));
    let read = |path: &Path| std::fs::read(path).expect("a readable file");
    let manifests = paths.map(|path| read(&path.join("activations/manifest.json")));
    assert!(manifests[0] == manifests[1], "the shards differ");

    run(&train(whole_name, &[]));
    let work = broken.path().join("dictionaries/.new.training");
    killed_when(&train(broken_name, &[]), || {
        let checkpoint = work.join("checkpoint");
        checkpoint.is_dir() && std::fs::read_dir(checkpoint).is_ok_and(|files| files.count() > 0)
    });
    assert!(!broken.path().join("dictionaries/new").exists());
    opens(broken.path(), 2);
    let told = run(&train(broken_name, &["--resume"])).expect("a summary");
    assert!(told.contains("trained") && told.contains("next:"), "{told}");
    let trained = paths.map(|path| path.join("dictionaries/new"));
    for file in ["model.safetensors", "metrics.jsonl"] {
        let [expected, found] = trained.each_ref().map(|folder| read(&folder.join(file)));
        assert!(expected == found, "{file} differs");
    }

    let analyse = |study| {
        let options = ["--checkpoint-seconds", "0", "--device", "cpu"];
        [&["analyse", study, "--dictionary", "new"][..], &options].concat()
    };
    run(&analyse(whole_name));
    let analysis = broken.path().join("analysis/new");
    let checkpoint_of = |pass: &str| {
        let files = std::fs::read_dir(&analysis).into_iter().flatten().flatten();
        files.map(|file| file.file_name()).any(|name| {
            let name = name.to_string_lossy();
            name.starts_with(pass) && name.ends_with(".checkpoint")
        })
    };
    let database = broken.path().join("study.duckdb");
    let trained = read(&database);
    for pass in ["scan", "examples"] {
        killed_when(&analyse(broken_name), || checkpoint_of(pass));
        assert!(read(&database) == trained, "the database changed");
        opens(broken.path(), 3);
    }
    let output = stereoscope(&analyse(broken_name)).expect("a summary");
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert_eq!(told.matches("going on from").count(), 2, "{told}");
    assert!(!checkpoint_of(""), "a finished analysis keeps none");
    let [expected, found] = paths.map(shown);
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
}
