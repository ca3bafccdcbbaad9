//! What GPUs run, plain tensor operations: on the CPU in formats that take their way, and on a GPU where STEREOSCOPE_TEST_DEVICE names one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use common::{MODELS, fixtures, ids, load, prompt, relative_error};
use gemma::{Checkpoint, DeviceChoice, Logits, Model, Residence};
use serde_json::Value;

const LAYER: usize = 1;

/// The device to test, where one is named.
fn named_device() -> Option<Device> {
    let name = std::env::var("STEREOSCOPE_TEST_DEVICE").ok()?;
    let choice: DeviceChoice = name.parse().unwrap();
    let device = choice.open().unwrap();
    (!device.is_cpu()).then_some(device)
}

/// Residual and logits of everything that a model can be asked for.
fn everything(model: &Model, ids: &[u32]) -> Vec<Tensor> {
    let mut cache = model.cache(ids.len() + 1);
    let (prefix, last) = ids.split_at(ids.len() - 3);
    let h = model.lower(prefix, LAYER, &mut cache).unwrap();
    let logits = model.upper(&h, LAYER, &mut cache, Logits::All).unwrap();
    let mut all = vec![h, logits];
    for id in last {
        let h = model.lower(&[*id], LAYER, &mut cache).unwrap();
        all.push(model.upper(&h, LAYER, &mut cache, Logits::Last).unwrap());
        all.push(h);
    }
    let mut short = model.cache(ids.len() + 1);
    let h = model.lower(prefix, LAYER, &mut short).unwrap();
    model.upper(&h, LAYER, &mut short, Logits::None).unwrap();
    let rows = h.narrow(0, 0, 5).unwrap();
    let states = model.alternatives(&rows, LAYER, &short).unwrap();
    all.push(model.logits(&states, Logits::At(&[4, 0])).unwrap());
    all.extend(model.lower_many(&[prefix, last, ids], LAYER).unwrap());
    let directions = rows.to_dtype(DType::F32).unwrap();
    all.push(model.unembed_directions(&directions).unwrap());
    all
}

/// Norms, softmax, rotary tables and soft caps are in f32 whatever the format. In f64 only rounding is between plain tensor operations and
/// the CPU's kernels, in half precision what a half-precision model loses.
#[test]
fn plain_tensor_operations_agree_with_the_kernels() {
    let mut cases = vec![
        (Device::Cpu, DType::F64, 1e-5),
        (Device::Cpu, DType::F16, 2e-2),
    ];
    if let Some(device) = named_device() {
        cases.push((device.clone(), DType::F32, 1e-4));
        cases.push((device, DType::BF16, 0.15));
    }
    for name in MODELS {
        let checkpoint = Checkpoint::open(fixtures().join(name)).unwrap();
        let kernels = load(name);
        let ids = prompt(&kernels, 90);
        let expected = everything(&kernels, &ids);
        for (device, dtype, bar) in &cases {
            let plain = checkpoint.load(device, *dtype, &mut |_| ()).unwrap();
            for (i, (found, expected)) in everything(&plain, &ids).iter().zip(&expected).enumerate()
            {
                let found = found.to_device(&Device::Cpu).unwrap();
                let found = found.to_dtype(DType::F32).unwrap();
                let error = relative_error(&found, expected);
                assert!(error < *bar, "{name} {dtype:?} {i}: {error}");
            }
        }
    }
}

/// bf16.json is what transformers computes from the demo pair in bf16; bf16.py beside it writes it anew.
#[test]
fn the_most_probable_tokens_are_those_of_a_bf16_reference() {
    let expected = std::fs::read(fixtures().join("bf16.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let demo: PathBuf = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/demo").into();
    for name in MODELS {
        let checkpoint = Checkpoint::open(demo.join(name)).unwrap();
        let on_cpu =
            |residence| checkpoint.load_to(&Device::Cpu, DType::F32, residence, &mut |_| ());
        let mut models = vec![on_cpu(Residence::Memory).unwrap()];
        models.push(on_cpu(Residence::Files).unwrap());
        if let Some(device) = named_device() {
            models.push(checkpoint.load(&device, DType::BF16, &mut |_| ()).unwrap());
        }
        for model in models {
            let (mut agree, mut all) = (0, 0);
            let sequences = expected[name]["ids"].as_array().unwrap();
            for (sequence, top) in sequences
                .iter()
                .zip(expected[name]["top"].as_array().unwrap())
            {
                let ids = ids(sequence);
                let mut cache = model.cache(ids.len());
                let forward = model.forward(&ids, &mut cache, None, None, Logits::All);
                let logits = forward.unwrap().logits.unwrap();
                let logits = logits.to_device(&Device::Cpu).unwrap();
                for (position, top) in top.as_array().unwrap().iter().enumerate() {
                    let found = common::argmax(&logits.get(position).unwrap());
                    agree += usize::from(common::ids(top).contains(&found));
                    all += 1;
                }
            }
            let share = f64::from(agree as u32) / f64::from(all as u32);
            println!("{name}, {:?}: {agree} of {all}", model.device());
            assert!(all >= 500 && share >= 0.99, "{name}: {agree} of {all}");
        }
    }
}
