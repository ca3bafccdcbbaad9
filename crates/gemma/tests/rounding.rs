//! Copies of checkpoints rounded to bf16: what they hold, when they are made, and what is left when they cannot be.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use candle_core::{DType, Device, Tensor, safetensors};
use common::{fixtures, relative_error};
use gemma::{Checkpoint, Logits, Residence, WeightChoice};

/// A folder with a copy of the base model.
fn source() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("base");
    fs::create_dir(&model).unwrap();
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        fs::copy(fixtures().join("base").join(name), model.join(name)).unwrap();
    }
    (dir, model)
}

fn tensors(folder: &Path) -> HashMap<String, Tensor> {
    safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap()
}

fn round(model: &Path, cache: &Path) -> gemma::Result<Checkpoint> {
    let mut last = 0.0;
    let copy = Checkpoint::open(model)?.rounded(cache, &mut |fraction| {
        assert!(fraction >= last);
        last = fraction;
    })?;
    assert_eq!(last, 1.0);
    Ok(copy)
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn matrices_are_rounded_and_norms_are_not() {
    let (dir, model) = source();
    let cache = dir.path().join("cache");
    let copy = round(&model, &cache).unwrap();
    let (before, after) = (tensors(&model), tensors(copy.dir()));
    assert_eq!(before.len(), after.len());
    for (name, before) in &before {
        let after = &after[name];
        let expected = if before.rank() > 1 {
            before.to_dtype(DType::BF16).unwrap()
        } else {
            before.clone()
        };
        assert_eq!(after.dtype(), expected.dtype(), "{name}");
        let numbers = |t: &Tensor| -> Vec<f32> {
            let t = t.to_dtype(DType::F32).unwrap();
            t.flatten_all().unwrap().to_vec1().unwrap()
        };
        assert_eq!(numbers(after), numbers(&expected), "{name}");
    }
    let source = Checkpoint::open(&model).unwrap();
    assert_eq!(copy.config(), source.config());
    assert_eq!(copy.stop_ids(), source.stop_ids());
}

#[test]
fn the_copy_computes_nearly_what_the_source_does() {
    let (dir, model) = source();
    let copy = round(&model, &dir.path().join("cache")).unwrap();
    let logits = [&Checkpoint::open(&model).unwrap(), &copy].map(|checkpoint| {
        let load = checkpoint.load_to(&Device::Cpu, DType::F32, Residence::Files, &mut |_| {});
        let model = load.unwrap();
        let mut cache = model.cache(4);
        let forward = model.forward(&[2, 9, 4, 11], &mut cache, None, None, Logits::All);
        forward.unwrap().logits.unwrap()
    });
    let error = relative_error(&logits[1], &logits[0]);
    assert!(error > 0.0 && error < 0.05, "{error}");
}

#[test]
fn a_copy_is_made_once_for_each_state_of_its_source() {
    let (dir, model) = source();
    let cache = dir.path().join("cache");
    let weights = |copy: &Checkpoint| copy.dir().join("model.safetensors");
    let first = round(&model, &cache).unwrap();
    let written = fs::metadata(weights(&first)).unwrap().modified().unwrap();
    let again = round(&model, &cache).unwrap();
    assert_eq!(again.dir(), first.dir());
    assert_eq!(
        fs::metadata(weights(&again)).unwrap().modified().unwrap(),
        written
    );

    // A copy that was cut is written anew.
    let file = fs::OpenOptions::new().write(true).open(weights(&first));
    file.unwrap().set_len(1000).unwrap();
    let mended = round(&model, &cache).unwrap();
    assert_eq!(mended.dir(), first.dir());
    assert_eq!(tensors(mended.dir()).len(), tensors(&model).len());
    assert_eq!(entries(&cache), 1);

    // Another time of the source is another state.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(model.join("model.safetensors"))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1000))
        .unwrap();
    assert_ne!(round(&model, &cache).unwrap().dir(), first.dir());
}

#[test]
fn the_choice_and_the_stored_format_decide() {
    let (dir, model) = source();
    let source = Checkpoint::open(&model).unwrap();
    let copy = round(&model, &dir.path().join("cache")).unwrap();
    for (choice, expected) in [
        (WeightChoice::Auto, false),
        (WeightChoice::AsIs, false),
        (WeightChoice::Bf16, true),
    ] {
        assert_eq!(source.needs_rounding(choice), expected, "{choice:?}");
        assert!(!copy.needs_rounding(choice), "{choice:?}");
    }
    for (text, choice) in [
        ("auto", WeightChoice::Auto),
        ("as-is", WeightChoice::AsIs),
        ("bf16", WeightChoice::Bf16),
    ] {
        assert_eq!(text.parse(), Ok(choice));
    }
    assert!("f32".parse::<WeightChoice>().unwrap_err().contains("bf16"));
}

#[test]
fn what_cannot_be_rounded_or_written_leaves_nothing() {
    let (dir, model) = source();
    // A folder cannot be made where there is a file.
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let refused = round(&model, &blocked).unwrap_err().to_string();
    assert!(
        refused.contains("blocked") && refused.contains("--weights as-is"),
        "{refused}"
    );

    // The largest numbers of f32 are infinite in bf16.
    let spoilt = "model.layers.1.mlp.up_proj.weight";
    let mut tensors = tensors(&model);
    let shape = tensors[spoilt].shape().clone();
    let mut numbers: Vec<f32> = tensors[spoilt].flatten_all().unwrap().to_vec1().unwrap();
    numbers[7] = f32::MAX;
    let changed = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
    tensors.insert(spoilt.to_owned(), changed);
    safetensors::save(&tensors, model.join("model.safetensors")).unwrap();
    let cache = dir.path().join("cache");
    let refused = round(&model, &cache).unwrap_err().to_string();
    assert!(
        refused.contains(spoilt) && refused.contains('7'),
        "{refused}"
    );
    assert_eq!(entries(&cache), 0);
}

/// Names the folder in which the test below, run once more by itself, finds too little room.
const FULL: &str = "STEREOSCOPE_TEST_FULL";

/// A disk that is full from the start, and one that fills in the middle: a small file system of its own, where the system grants one, and
/// files that may not grow.
#[test]
#[cfg(unix)]
fn a_full_disk_is_told_and_leaves_nothing() {
    if let Some(dir) = std::env::var_os(FULL) {
        let dir = PathBuf::from(dir);
        let refused = round(&dir.join("base"), &dir.join("cache")).unwrap_err();
        assert_eq!(entries(&dir.join("cache")), 0);
        println!("refused: {refused}");
        return;
    }
    for (program, script, reason) in [
        (
            "sh",
            "trap '' XFSZ; ulimit -f 100; exec \"$@\"",
            "model.safetensors",
        ),
        (
            "unshare",
            "mount -t tmpfs -o size=64k none \"$0\" || exit; exec \"$@\"",
            "are free",
        ),
    ] {
        let (dir, model) = source();
        let cache = dir.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let mut command = Command::new(program);
        if program == "unshare" {
            command.args(["--user", "--map-root-user", "--mount", "sh"]);
        }
        let test = "a_full_disk_is_told_and_leaves_nothing";
        let run = command
            .args(["-c", script])
            .arg(&cache)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FULL, dir.path())
            .output();
        // Not every system has the program or grants the file system.
        let Ok(run) = run else { continue };
        let said = String::from_utf8_lossy(&run.stdout);
        if program == "unshare" && !run.status.success() && !said.contains("running 1 test") {
            println!("no small file system to be had: {}", run.status);
            continue;
        }
        let refused = said.split("refused: ").nth(1).unwrap_or_default();
        for part in [reason, "cache", "kB of weights", "--weights as-is"] {
            assert!(refused.contains(part), "{program}: {said}");
        }
        // What is left does not stand in the way of another try.
        assert_eq!(entries(&cache), 0);
        assert!(round(&model, &cache).is_ok());
    }
}

#[test]
fn what_a_killed_program_left_is_removed_and_what_is_being_written_is_not() {
    let (dir, model) = source();
    let cache = dir.path().join("cache");
    let [dead, alive] = ["partial-1", "partial-2"].map(|name| {
        fs::create_dir_all(cache.join(name)).unwrap();
        fs::File::create(cache.join(name).join("model.safetensors")).unwrap()
    });
    alive.lock().unwrap();
    drop(dead);
    round(&model, &cache).unwrap();
    assert!(!cache.join("partial-1").exists() && cache.join("partial-2").exists());
    assert_eq!(entries(&cache), 2);
}
