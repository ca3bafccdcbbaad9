//! Tests over the reference checkpoints, and what they share.

#![allow(clippy::needless_pass_by_value)] // json! literals are handed over

mod apart;
mod device;
mod explain;
mod generation;
mod kept;
mod kinds;
mod laws;
mod memory;
mod parity;
mod positions;
mod refusals;
mod rounding;
mod together;
mod turns;
mod worker;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use api::{Lane, ModelName, Positions, Prompt};
use candle_core::Tensor;
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

use crate::{
    DeviceChoice, Dictionary, DictionaryOptions, Limits, Options, Precision, Result, WeightChoice,
    lane,
    next::Hidden,
    pair::Pair,
    places::Tracker,
    plan::{Extent, Plan},
    reading::Readings,
    turns::Turns,
};

/// The reference's folder.
fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"))
}

/// Both reference models and both reference dictionaries; latents 0 to 99 have a known maximum: 2, but latent 5 none and latent 6 a
/// huge one.
fn options() -> Options {
    let max_activations: Vec<Option<f32>> = (0..128)
        .map(|id| match id {
            5 => Some(0.0),
            6 => Some(3e38),
            0..100 => Some(2.0),
            _ => None,
        })
        .collect();
    let dictionary = |slug: &str| DictionaryOptions {
        slug: slug.into(),
        path: fixtures().join(format!("crosscoder-{slug}")),
        max_activations: max_activations.clone(),
    };
    Options {
        base: fixtures().join("base"),
        chat: fixtures().join("chat"),
        layer: 2,
        dictionaries: vec![dictionary("l1"), dictionary("batchtopk")],
        device: DeviceChoice::Cpu,
        model_devices: [None; 2],
        memory: None,
        beside: 0,
        precision: Precision::F32,
        weights: WeightChoice::Auto,
        rounded: std::env::temp_dir(),
        limits: Limits::default(),
    }
}

/// The device to test: the one that STEREOSCOPE_TEST_DEVICE names, or the CPU.
fn device() -> DeviceChoice {
    let named = std::env::var("STEREOSCOPE_TEST_DEVICE");
    named.map_or(DeviceChoice::Cpu, |name| name.parse().unwrap())
}

/// The loaded pair, once for all tests, on the device to test.
fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    let options = || Options {
        device: device(),
        ..options()
    };
    PAIR.get_or_init(|| Pair::load(&options(), &mut |_| ()).unwrap())
}

/// Rows of a residual [T, 48], where a pair's chat model is.
fn on_device(pair: &Pair, rows: Vec<f32>) -> Tensor {
    let shape = (rows.len() / 48, 48);
    Tensor::from_vec(rows, shape, pair.model(ModelName::Chat).device()).unwrap()
}

fn dictionary(slug: &str) -> &'static Dictionary {
    pair().dictionary(slug).unwrap()
}

/// expected.json.
fn expected() -> Value {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// An array of expected.safetensors, f32 or f64, as f64.
fn reference(name: &str) -> Vec<f64> {
    let bytes = std::fs::read(fixtures().join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    match tensor.dtype() {
        safetensors::Dtype::F64 => tensor
            .data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect(),
        _ => tensor
            .data()
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect(),
    }
}

/// A reference conversation as a prompt, and its ids.
fn conversation(number: usize) -> (Prompt, Vec<u32>) {
    let value = expected()["conversations"][number].clone();
    let ids = serde_json::from_value(value["ids"].clone()).unwrap();
    let prompt = json!({"messages": value["messages"], "add_generation_prompt": value["add_generation_prompt"]});
    (serde_json::from_value(prompt).unwrap(), ids)
}

fn lane(value: Value) -> Lane {
    serde_json::from_value(value).unwrap()
}

/// A lane of the chat model.
fn chat(interventions: Value) -> Lane {
    lane(json!({"model": "chat", "interventions": interventions}))
}

fn compile(lane: &Lane, slug: &str, prompt: usize) -> Result<Plan> {
    Plan::new(lane, dictionary(slug), Extent { prompt, new: 0 })
}

/// A lane's logits at every position under teacher forcing.
fn forced(lane: &Lane, slug: &str, ids: &[u32]) -> Vec<Vec<f32>> {
    let plan = compile(lane, slug, ids.len()).unwrap();
    forced_by(pair(), dictionary(slug), &plan, ids)
}

fn forced_by(pair: &Pair, dictionary: &Dictionary, plan: &Plan, ids: &[u32]) -> Vec<Vec<f32>> {
    let readings = Readings::of_both(pair, ids, &Turns::endless()).unwrap();
    let places = Tracker::new(&pair.tokenizer).push(ids, false);
    let turns = Turns::endless();
    let plans = std::slice::from_ref(plan);
    let codes = lane::codes(pair, dictionary, plans, &places, &readings, &turns).unwrap();
    let upper = lane::upper(pair, dictionary, plan, &places, &readings, &codes, &turns).unwrap();
    let hidden = Hidden::new(pair, plan.model, &upper);
    hidden.logits(0, ids.len()).unwrap()
}

/// Largest difference as a share of the largest reference value.
fn error(found: impl IntoIterator<Item = f32>, reference: &[f64]) -> f64 {
    let found: Vec<f64> = found.into_iter().map(f64::from).collect();
    assert_eq!(found.len(), reference.len());
    let largest = reference.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let worst = found
        .iter()
        .zip(reference)
        .fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
    worst / largest
}

/// Positions as JSON.
fn positions(value: Value) -> Positions {
    serde_json::from_value(value).unwrap()
}

/// A copy of a reference dictionary whose tensors' shapes and bytes `change` may edit.
fn edited_dictionary(
    dir: &Path,
    name: &str,
    change: impl Fn(&str, &mut Vec<usize>, &mut Vec<u8>),
) -> PathBuf {
    let from = fixtures().join(name);
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let (mut shape, mut data) = (view.shape().to_vec(), view.data().to_vec());
        change(&name, &mut shape, &mut data);
        tensors.push((name, view.dtype(), shape, data));
    }
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let to = dir.join("edited");
    std::fs::create_dir(&to).unwrap();
    safetensors::serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
    for json in ["config.json", "trainer_config.json"] {
        std::fs::copy(from.join(json), to.join(json)).unwrap();
    }
    to
}
