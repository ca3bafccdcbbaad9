//! Fixtures and comparisons shared by the tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use gemma::{Checkpoint, Message, Model};
use serde_json::Value;

/// The two reference models.
pub(crate) const MODELS: [&str; 2] = ["base", "chat"];

pub(crate) fn fixtures() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures").into()
}

pub(crate) fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap()
}

pub(crate) fn expected_tensors() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixtures().join("expected.safetensors"), &Device::Cpu).unwrap()
}

pub(crate) fn load(name: &str) -> Model {
    Checkpoint::open(fixtures().join(name))
        .unwrap()
        .load(&Device::Cpu, DType::F32, &mut |_| {})
        .unwrap()
}

pub(crate) fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

pub(crate) fn messages(value: &Value) -> Vec<Message> {
    serde_json::from_value(value.clone()).unwrap()
}

/// So many tokens of a model's vocabulary, in no order.
pub(crate) fn prompt(model: &Model, count: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 37 + 11) % model.config().vocab_size) as u32)
        .collect()
}

/// Largest difference over largest magnitude.
pub(crate) fn relative_error(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let largest = |x: Tensor| {
        x.abs()
            .unwrap()
            .flatten_all()
            .unwrap()
            .max(0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    largest((found - expected).unwrap()) / largest(expected.clone())
}

/// The row-wise largest logits' ids.
pub(crate) fn argmax(logits: &Tensor) -> u32 {
    let row: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    gemma::Sampler::new(0.0, 1.0, 0, 0).sample(&row).unwrap().0
}
