//! Weights that stay in their bf16 files give what the same numbers give in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use common::{MODELS, argmax, expected, fixtures, ids, relative_error};
use gemma::{Checkpoint, Logits, Model, Residence};
use tempfile::TempDir;

/// The bar: largest error over the array's largest value.
const TOLERANCE: f32 = 1e-5;

/// A copy of a reference model with matrices in bf16; `change` may alter a tensor before it is written.
fn rounded(name: &str, change: impl Fn(&str, Tensor) -> Tensor) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures().join(name);
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let files = std::fs::read_dir(&from).unwrap().map(|f| f.unwrap().path());
    let weights = files.filter(|f| f.extension().is_some_and(|e| e == "safetensors"));
    let mut tensors = HashMap::new();
    for file in weights {
        for (name, tensor) in candle_core::safetensors::load(file, &Device::Cpu).unwrap() {
            let tensor = change(&name, tensor.to_dtype(DType::BF16).unwrap());
            tensors.insert(name, tensor);
        }
    }
    let to = dir.path().join("model.safetensors");
    candle_core::safetensors::save(&tensors, to).unwrap();
    dir
}

fn load(dir: &Path, residence: Residence) -> gemma::Result<Model> {
    Checkpoint::open(dir)?.load_to(&Device::Cpu, DType::F32, residence, &mut |_| {})
}

#[test]
fn residuals_logits_and_answers_are_those_of_weights_in_memory() {
    for name in MODELS {
        let dir = rounded(name, |_, tensor| tensor);
        let [memory, files] =
            [Residence::Memory, Residence::Files].map(|r| load(dir.path(), r).unwrap());
        for conversation in expected()["conversations"].as_array().unwrap() {
            let ids = ids(&conversation["ids"]);
            let layer = memory.config().num_layers / 2;
            let run = |model: &Model, ids: &[u32]| {
                let mut cache = model.cache(ids.len() + 4);
                let residual = model.lower(ids, layer, &mut cache).unwrap();
                let logits = model
                    .upper(&residual, layer, &mut cache, Logits::All)
                    .unwrap();
                // One token after another, as an answer is written.
                let mut all = vec![residual, logits];
                for _ in 0..4 {
                    let logits = all.last().unwrap();
                    let last = logits.narrow(0, logits.dim(0).unwrap() - 1, 1).unwrap();
                    let next = [argmax(&last)];
                    let forward = model
                        .forward(&next, &mut cache, None, None, Logits::Last)
                        .unwrap();
                    all.push(forward.logits.unwrap());
                }
                all
            };
            for (found, expected) in run(&files, &ids).iter().zip(run(&memory, &ids)) {
                let error = relative_error(found, &expected);
                assert!(error <= TOLERANCE, "{name}: {error}");
            }
            let many = [&ids[..], &ids[..3]];
            let pairs = files.lower_many(&many, layer).unwrap();
            for (found, expected) in pairs.iter().zip(memory.lower_many(&many, layer).unwrap()) {
                assert!(relative_error(found, &expected) <= TOLERANCE);
            }
        }
    }
}

#[test]
fn formats_may_be_mixed() {
    let dir = rounded("chat", |name, tensor| {
        let wide = name.contains("layers.1.") || name.contains("k_proj");
        if wide {
            tensor.to_dtype(DType::F32).unwrap()
        } else {
            tensor
        }
    });
    let ids = [2u32, 9, 4, 11];
    let logits = [Residence::Memory, Residence::Files].map(|residence| {
        let model = load(dir.path(), residence).unwrap();
        let mut cache = model.cache(ids.len());
        let forward = model.forward(&ids, &mut cache, None, None, Logits::All);
        forward.unwrap().logits.unwrap()
    });
    assert!(relative_error(&logits[1], &logits[0]) <= TOLERANCE);
}

#[test]
fn a_weight_that_is_no_number_is_found_where_it_lies() {
    let spoilt = "model.layers.2.mlp.up_proj.weight";
    let dir = rounded("base", |name, tensor| {
        if name != spoilt {
            return tensor;
        }
        let shape = tensor.shape().clone();
        let mut numbers: Vec<half::bf16> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        numbers[77] = half::bf16::NEG_INFINITY;
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    });
    let copied = Checkpoint::open(dir.path())
        .unwrap()
        .load(&Device::Cpu, DType::BF16, &mut |_| ());
    for refused in [load(dir.path(), Residence::Files), copied] {
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains(spoilt) && refused.contains("77"),
            "{refused}"
        );
    }
}

/// On its way to a GPU a bf16 matrix takes no detour over f32.
#[test]
fn bf16_weights_are_copied_as_they_lie() {
    let dir = rounded("chat", |_, tensor| tensor);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let mut heard = 0.0;
    let copied = checkpoint
        .load(&Device::Cpu, DType::BF16, &mut |fraction| heard = fraction)
        .unwrap();
    assert!((heard - 1.0).abs() < 1e-6, "{heard}");
    let single = load(dir.path(), Residence::Memory).unwrap();
    let ids: Vec<u32> = (0..single.config().vocab_size as u32).collect();
    let (found, expected) = (copied.embed(&ids).unwrap(), single.embed(&ids).unwrap());
    assert_eq!(found.dtype(), DType::BF16);
    // The root of the width and the product are rounded to eight bits.
    let error = relative_error(&found.to_dtype(DType::F32).unwrap(), &expected);
    assert!(error < 0.01, "{error}");

    // The files may go now.
    drop(dir);
    assert!(copied.embed(&ids).is_ok());
    assert!(copied.complete().is_ok());
}

#[test]
fn small_models_are_read_and_progress_reaches_the_end() {
    let dir = rounded("base", |_, tensor| tensor);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    for residence in [Residence::Automatic, Residence::Memory, Residence::Files] {
        let mut last = 0.0;
        let mut hear = |fraction: f32| {
            assert!(fraction >= last);
            last = fraction;
        };
        let model = checkpoint.load_to(&Device::Cpu, DType::F32, residence, &mut hear);
        assert_eq!(model.unwrap().dtype(), DType::F32);
        assert!((last - 1.0).abs() < 1e-6, "{residence:?}: {last}");
    }
}

#[test]
fn a_file_written_to_or_cut_fails_what_reads_it() {
    for cut in [false, true] {
        let dir = rounded("base", |_, tensor| tensor);
        let model = load(dir.path(), Residence::Files).unwrap();
        let read = || {
            let mut cache = model.cache(3);
            model.forward(&[2, 9, 4], &mut cache, None, None, Logits::Last)
        };
        assert!(read().is_ok());
        let path = dir.path().join("model.safetensors");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        if cut {
            let length = file.metadata().unwrap().len();
            file.set_len(length / 2).unwrap();
        } else {
            file.write_all(&[0]).unwrap();
        }
        let refused = read().unwrap_err().to_string();
        assert!(
            refused.contains("model.safetensors") && refused.contains("start"),
            "{refused}"
        );
    }
}

#[test]
fn a_file_that_is_replaced_stays_what_it_was() {
    let dir = rounded("base", |_, tensor| tensor);
    let model = load(dir.path(), Residence::Files).unwrap();
    let read = || {
        let mut cache = model.cache(3);
        let forward = model.forward(&[2, 9, 4], &mut cache, None, None, Logits::Last);
        let logits = forward.unwrap().logits.unwrap();
        logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let before = read();
    let other = rounded("chat", |_, tensor| tensor);
    std::fs::rename(
        other.path().join("model.safetensors"),
        dir.path().join("model.safetensors"),
    )
    .unwrap();
    assert_eq!(read(), before);
}
