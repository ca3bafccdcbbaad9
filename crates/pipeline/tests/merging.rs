//! Collecting in parts: any workers in any order give the files of a single run.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use common::{Study, collect_options, study};
use pipeline::{CollectOptions, CollectSummary, MergeOptions, ShardOf, Silent, collect, merge};

fn part(study: &Study, index: usize, count: usize) -> CollectSummary {
    let options = CollectOptions {
        shard: Some(ShardOf::new(index, count).unwrap()),
        ..collect_options(study)
    };
    collect(&options, &Silent).unwrap()
}

fn merged(study: &Study) -> Result<(), String> {
    let options = MergeOptions {
        study: study.path.clone(),
        ..MergeOptions::default()
    };
    merge(&options, &Silent)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Name, content and time of every file of the activations.
fn files(study: &Path) -> Vec<(String, Vec<u8>, SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(study.join("activations"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let written = entry.metadata().unwrap().modified().unwrap();
            (name, fs::read(entry.path()).unwrap(), written)
        })
        .collect();
    files.sort();
    files
}

fn contents(study: &Path) -> Vec<(String, Vec<u8>)> {
    let files = files(study).into_iter();
    files.map(|(name, bytes, _)| (name, bytes)).collect()
}

#[test]
fn workers_in_any_order_give_the_files_of_one_run() {
    let whole = study();
    let summary = collect(&collect_options(&whole), &Silent).unwrap();
    let expected = contents(&whole.path);
    for order in [vec![0, 1, 2], vec![2, 0, 1], vec![1, 1, 2, 0]] {
        let shared = study();
        fs::copy(&whole.corpus, &shared.corpus).unwrap();
        let mut made = 0;
        for index in order {
            assert!(!shared.path.join("activations/manifest.json").exists());
            let part = part(&shared, index, 3);
            made += part.made;
            assert_eq!(part.shards, summary.shards);
            assert!(part.next[0].contains("stereoscope merge"), "{part}");
        }
        assert_eq!(made, summary.shards);
        merged(&shared).unwrap();
        assert!(contents(&shared.path) == expected);
        let once = files(&shared.path);
        merged(&shared).unwrap();
        part(&shared, 1, 3);
        collect(&collect_options(&shared), &Silent).unwrap();
        assert!(
            files(&shared.path) == once,
            "again changes nothing, not even a time"
        );
    }
}

#[test]
fn a_shard_that_was_lost_is_made_again_and_nothing_else() {
    let study = study();
    collect(&collect_options(&study), &Silent).unwrap();
    let before = files(&study.path);
    let (lost, _, _) = before
        .iter()
        .find(|(name, ..)| name.starts_with("shard-00001-"))
        .unwrap();
    fs::remove_file(study.path.join("activations").join(lost)).unwrap();
    let summary = collect(&collect_options(&study), &Silent).unwrap();
    assert_eq!((summary.made, summary.resumed), (1, summary.shards - 1));
    let after = files(&study.path);
    for ((name, bytes, time), (found, content, written)) in before.iter().zip(&after) {
        assert_eq!(name, found);
        assert!(bytes == content, "{name}");
        let again = name == lost || name == "manifest.json";
        assert_eq!(time == written, !again, "{name}");
    }
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let study = study();
    let nothing = merged(&study).unwrap_err();
    assert!(
        nothing.contains("no parts") && nothing.contains("--shard I/N"),
        "{nothing}"
    );
    part(&study, 0, 3);
    part(&study, 2, 3);
    let missing = merged(&study).unwrap_err();
    assert!(missing.contains("(number 1, 4"), "{missing}");
    // A worker that was started with something else.
    let other = CollectOptions {
        context: 9,
        shard: Some(ShardOf::new(1, 3).unwrap()),
        ..collect_options(&study)
    };
    let refused = collect(&other, &Silent).unwrap_err().to_string();
    assert!(
        refused.contains("--context") && refused.contains("--force"),
        "{refused}"
    );
    let forced = CollectOptions {
        force: true,
        ..other
    };
    let refused = collect(&forced, &Silent).unwrap_err().to_string();
    assert!(refused.contains("other workers"), "{refused}");

    part(&study, 1, 3);
    merged(&study).unwrap();
    let note = study.path.join("activations/shard-00001.json");
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replace("\"context\": 256", "\"context\": 255")).unwrap();
    let refused = merged(&study).unwrap_err();
    assert!(
        refused.contains("shard-00001.json") && refused.contains("--context"),
        "{refused}"
    );
    fs::write(&note, "{").unwrap();
    assert!(merged(&study).unwrap_err().contains("shard-00001.json"));
    fs::write(&note, text).unwrap();
    merged(&study).unwrap();
}

#[test]
fn activations_of_an_older_version_are_named() {
    let study = study();
    collect(&collect_options(&study), &Silent).unwrap();
    let manifest = study.path.join("activations/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replacen("\"format\": 2", "\"format\": 1", 1),
    )
    .unwrap();
    let refused = collect(&collect_options(&study), &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("format 1") && refused.contains("--force"),
        "{refused}"
    );
    let forced = CollectOptions {
        force: true,
        ..collect_options(&study)
    };
    collect(&forced, &Silent).unwrap();
}
