//! Sequences that grow together, one token of each at a time, are what they are alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use common::{MODELS, argmax, fixtures, load, relative_error};
use gemma::{Checkpoint, KvCache, Logits, Model, Residence};

const LAYER: usize = 1;
/// Tokens that each sequence generates.
const STEPS: usize = 12;

fn bits(tensor: &Tensor) -> Vec<u32> {
    let numbers: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    numbers.into_iter().map(f32::to_bits).collect()
}

/// A prompt whose length may reach beyond the reference models' window.
fn prompt(model: &Model, tokens: u32) -> Vec<u32> {
    let words = u32::try_from(model.config().vocab_size).unwrap();
    (0..tokens).map(|i| (i * 37 + 5) % words).collect()
}

/// Reads the prompt with another number in the residual for every sequence; gives its cache and its first token.
fn read(model: &Model, prompt: &[u32], number: usize) -> (KvCache, u32) {
    let mut cache = model.cache(prompt.len());
    let h = model.lower(prompt, LAYER, &mut cache).unwrap();
    let h = (h + 0.3 * number as f64).unwrap();
    let logits = model.upper(&h, LAYER, &mut cache, Logits::Last).unwrap();
    (cache, argmax(&logits))
}

/// Generates so many tokens of each of some sequences; gives every sequence's logits, step by step.
fn generate(model: &Model, prompt: &[u32], steps: &[usize]) -> Vec<Vec<Tensor>> {
    let blocks = 0..model.config().num_layers;
    let mut cache = model.caches(steps.len(), prompt.len() + STEPS);
    let mut ids = Vec::new();
    for number in 0..steps.len() {
        let (one, first) = read(model, prompt, number);
        cache
            .begin(number, blocks.clone(), &one, prompt.len())
            .unwrap();
        ids.push(first);
    }
    let mut left: Vec<usize> = (0..steps.len()).collect();
    let mut all = vec![Vec::new(); steps.len()];
    for step in 0..STEPS {
        let h = model.lower(&ids, LAYER, &mut cache).unwrap();
        let x = model.blocks(&h, LAYER + 1..blocks.end, &mut cache).unwrap();
        let logits = model.logits_apart(&x).unwrap();
        for (row, number) in left.iter().enumerate() {
            let own = logits.narrow(0, row, 1).unwrap();
            ids[row] = argmax(&own);
            all[*number].push(own);
        }
        for row in (0..left.len()).rev() {
            if steps[left[row]] == step + 1 {
                cache.remove(row).unwrap();
                left.swap_remove(row);
                ids.swap_remove(row);
            }
        }
        if left.is_empty() {
            break;
        }
    }
    all
}

/// A model in memory and the same left in its file, in bf16.
fn both(name: &str) -> [Model; 2] {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures().join(name);
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let mut tensors = HashMap::new();
    for file in std::fs::read_dir(&from).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            for (name, tensor) in candle_core::safetensors::load(path, &Device::Cpu).unwrap() {
                tensors.insert(name, tensor.to_dtype(DType::BF16).unwrap());
            }
        }
    }
    candle_core::safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
    [Residence::Memory, Residence::Files].map(|residence| {
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let to = (&Device::Cpu, DType::F32);
        checkpoint
            .load_to(to.0, to.1, residence, &mut |_| {})
            .unwrap()
    })
}

#[test]
fn a_sequence_has_the_same_bits_in_any_company() {
    for model in MODELS.iter().flat_map(|name| both(name)) {
        for length in [9, 70] {
            let prompt = prompt(&model, length);
            let together = generate(&model, &prompt, &[STEPS, 3, 7, STEPS, 1, STEPS]);
            for (number, steps) in [STEPS, 3, 7, STEPS, 1, STEPS].into_iter().enumerate() {
                // Alone, with the same beginning: the others end at once.
                let mut alone = [1; 6];
                alone[number] = steps;
                let alone = generate(&model, &prompt, &alone);
                assert_eq!(together[number].len(), steps);
                for (a, b) in together[number].iter().zip(&alone[number]) {
                    assert_eq!(bits(a), bits(b), "sequence {number} of {length}");
                }
            }
        }
    }
}

#[test]
fn growing_together_is_reading_on() {
    let model = load("chat");
    let prompt = prompt(&model, 9);
    let together = generate(&model, &prompt, &[STEPS; 3]);
    for (number, logits) in together.iter().enumerate() {
        let (mut cache, mut next) = (model.cache(prompt.len() + STEPS), 0);
        for (step, expected) in logits.iter().enumerate() {
            let h = if step == 0 {
                next = read(&model, &prompt, number).1;
                let h = model.lower(&prompt, LAYER, &mut cache).unwrap();
                let h = (h + 0.3 * number as f64).unwrap();
                model.upper(&h, LAYER, &mut cache, Logits::None).unwrap();
                model.lower(&[next], LAYER, &mut cache).unwrap()
            } else {
                model.lower(&[next], LAYER, &mut cache).unwrap()
            };
            let found = model.upper(&h, LAYER, &mut cache, Logits::Last).unwrap();
            assert!(relative_error(&found, expected) <= 1e-5, "{number}, {step}");
            next = argmax(&found);
        }
    }
}

#[test]
fn sequences_that_do_not_fit_are_refused() {
    let model = load("base");
    let ids = prompt(&model, 5);
    let (one, _) = read(&model, &ids, 0);
    let blocks = 0..model.config().num_layers;
    let mut cache = model.caches(2, 6);
    assert_eq!((cache.sequences(), cache.bytes()), (2, 0));
    assert!(cache.begin(2, blocks.clone(), &one, 5).is_err());
    assert!(cache.begin(0, blocks.clone(), &one, 6).is_err());
    assert!(cache.begin(0, 0..blocks.end + 1, &one, 5).is_err());
    assert!(
        model
            .caches(2, 4)
            .begin(0, blocks.clone(), &one, 5)
            .is_err()
    );
    cache.begin(0, blocks.clone(), &one, 5).unwrap();
    cache.begin(1, blocks.clone(), &one, 5).unwrap();
    let numbers = one.bytes() / 5 * 6 * 2;
    assert_eq!(cache.bytes(), numbers);
    // Three tokens are not equally many of each of two, and a further one of each is too many.
    assert!(model.lower(&[1, 2, 3], LAYER, &mut cache).is_err());
    assert!(model.lower(&[1, 2, 3, 4], LAYER, &mut cache).is_err());
    let x = model.lower(&[1, 2], LAYER, &mut cache).unwrap();
    assert!(model.alternatives(&x, LAYER, &cache).is_err());
    assert!(cache.remove(2).is_err());
    cache.remove(1).unwrap();
    cache.remove(0).unwrap();
    assert!(cache.remove(0).is_err());
    assert!(model.lower(&[1], LAYER, &mut cache).is_err());
}
