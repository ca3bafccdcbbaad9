//! Agreement of the forward pass with the reference implementation, for both models.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use candle_core::Tensor;
use common::{MODELS, argmax, expected, expected_tensors, ids, load, relative_error};
use gemma::{Hook, Logits, Model, Result};

/// The bar: largest error over the array's largest value.
const TOLERANCE: f32 = 1e-4;

/// Keeps every block's output.
#[derive(Default)]
struct Record(Vec<Tensor>);

impl Hook for Record {
    fn after_block(&mut self, block: usize, x: &Tensor) -> Result<Option<Tensor>> {
        assert_eq!(block, self.0.len());
        self.0.push(x.clone());
        Ok(None)
    }
}

#[test]
fn every_residual_and_all_logits() {
    let (json, tensors) = (expected(), expected_tensors());
    for name in MODELS {
        let model = load(name);
        for (i, conversation) in json["conversations"].as_array().unwrap().iter().enumerate() {
            let ids = ids(&conversation["ids"]);
            let mut record = Record::default();
            let forward = model
                .forward(
                    &ids,
                    &mut model.cache(ids.len()),
                    Some(&mut record),
                    None,
                    Logits::All,
                )
                .unwrap();
            let residuals = &tensors[&format!("c{i}.{name}.residual")];
            let embedded = model.embed(&ids).unwrap();
            for (block, found) in std::iter::once(&embedded).chain(&record.0).enumerate() {
                let error = relative_error(found, &residuals.get(block).unwrap());
                assert!(
                    error <= TOLERANCE,
                    "{name}, conversation {i}, residual {block}: {error}"
                );
            }
            assert_eq!(record.0.len() + 1, residuals.dim(0).unwrap());
            let error = relative_error(
                &forward.logits.unwrap(),
                &tensors[&format!("c{i}.{name}.logits")],
            );
            assert!(
                error <= TOLERANCE,
                "{name}, conversation {i}, logits: {error}"
            );
        }
    }
}

fn greedy_with_cache(model: &Model, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut cache = model.cache(prompt.len() + count);
    let mut step = prompt.to_vec();
    (0..count)
        .map(|_| {
            let logits = model
                .forward(&step, &mut cache, None, None, Logits::Last)
                .unwrap()
                .logits
                .unwrap();
            let id = argmax(&logits);
            step = vec![id];
            id
        })
        .collect()
}

fn greedy_without_cache(model: &Model, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut all = prompt.to_vec();
    for _ in 0..count {
        let logits = model
            .forward(&all, &mut model.cache(all.len()), None, None, Logits::Last)
            .unwrap()
            .logits
            .unwrap();
        all.push(argmax(&logits));
    }
    all.split_off(prompt.len())
}

#[test]
fn greedy_tokens_with_and_without_cache() {
    for name in MODELS {
        let model = load(name);
        for conversation in expected()["conversations"].as_array().unwrap() {
            let prompt = ids(&conversation["ids"]);
            let wanted = ids(&conversation[format!("greedy_{name}")]);
            assert_eq!(wanted.len(), 24);
            assert_eq!(
                greedy_with_cache(&model, &prompt, 24),
                wanted,
                "{name} with cache"
            );
            assert_eq!(
                greedy_without_cache(&model, &prompt, 24),
                wanted,
                "{name} without cache"
            );
        }
    }
}

#[test]
fn edited_residuals_give_the_reference_logits() {
    let (json, tensors) = (expected(), expected_tensors());
    let layer = json["layer"].as_u64().unwrap() as usize;
    let ids = ids(&json["conversations"][1]["ids"]);
    let (base, chat) = (load("base"), load("chat"));
    let h = base.lower(&ids, layer, &mut base.cache(ids.len())).unwrap();
    let logits = chat
        .upper(&h, layer, &mut chat.cache(ids.len()), Logits::All)
        .unwrap();
    let error = relative_error(&logits, &tensors["l1.edit.none.logits"]);
    assert!(error <= TOLERANCE, "{error}");
}

#[test]
fn a_direction_reads_out_as_the_final_norm_and_the_head_do() {
    let (model, tensors) = (load("chat"), expected_tensors());
    let weights = candle_core::safetensors::load(
        common::fixtures().join("chat/model-00001-of-00005.safetensors"),
        &candle_core::Device::Cpu,
    )
    .unwrap();
    let embed: Vec<Vec<f32>> = weights["model.embed_tokens.weight"].to_vec2().unwrap();
    let mut gamma = None;
    for shard in 1..=5 {
        let path = common::fixtures().join(format!("chat/model-0000{shard}-of-00005.safetensors"));
        let mut tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
        gamma = gamma.or(tensors.remove("model.norm.weight"));
    }
    let gamma: Vec<f32> = gamma.unwrap().to_vec1().unwrap();
    let direction: Vec<f32> = tensors["c0.chat.residual"]
        .get(2)
        .unwrap()
        .get(3)
        .unwrap()
        .to_vec1()
        .unwrap();
    let found = model.unembed_direction(&direction).unwrap();
    assert_eq!(found.len(), embed.len());
    for (row, found) in embed.iter().zip(&found) {
        let wanted: f64 = row
            .iter()
            .zip(&gamma)
            .zip(&direction)
            .map(|((e, g), d)| f64::from(*e) * (1.0 + f64::from(*g)) * f64::from(*d))
            .sum();
        assert!((f64::from(*found) - wanted).abs() <= 1e-4 * (1.0 + wanted.abs()));
    }
}
