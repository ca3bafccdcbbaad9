//! This program's side: decoding, reading a prompt, and a prompt through a pair with a crosscoder.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use crosscoder::{Crosscoder, Residence};
use gemma::{Checkpoint, DeviceChoice, Logits, Model};
use harness::side::{Outcome, Task};
use serde_json::Value;

/// Numbers of a result that are compared.
const CHECKED: usize = 8;

/// The task that the setup names.
pub(crate) fn task(setup: &Value) -> Task {
    match setup["task"].as_str() {
        Some("decode") => decode(setup),
        Some("read") => read(setup),
        Some("lanes") => super::lanes::lanes(setup),
        _ => pair(setup),
    }
}

pub(crate) fn path<'a>(setup: &'a Value, key: &str) -> &'a Path {
    Path::new(setup[key].as_str().expect("a path in the setup"))
}

pub(crate) fn ids(setup: &Value) -> Vec<u32> {
    serde_json::from_value(setup["ids"].clone()).expect("ids in the setup")
}

pub(crate) fn count(setup: &Value, key: &str) -> usize {
    setup[key].as_u64().expect("a number in the setup") as usize
}

/// The device of the setup; the CPU where it names none.
pub(crate) fn device(setup: &Value) -> DeviceChoice {
    let name = setup["device"].as_str().unwrap_or("cpu");
    name.parse().expect("a device in the setup")
}

/// A model on a device, on a GPU in the setup's number format.
fn load(folder: &Path, device: &Device, setup: &Value) -> Model {
    let dtype = match setup["dtype"].as_str() {
        Some("bfloat16") if !device.is_cpu() => DType::BF16,
        _ => DType::F32,
    };
    Checkpoint::open(folder)
        .and_then(|checkpoint| checkpoint.load(device, dtype, &mut |_| {}))
        .expect("a model")
}

/// The model that the setup names, on its device.
fn model(setup: &Value) -> Model {
    let device = device(setup).open().expect("the device");
    load(path(setup, "model"), &device, setup)
}

/// Seconds since `start`, once the device has done what it was given.
fn seconds(start: Instant, device: &Device) -> f64 {
    device.synchronize().expect("a device that ends its work");
    start.elapsed().as_secs_f64()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    let row: Vec<f32> = x
        .flatten_all()
        .and_then(|x| x.to_vec1())
        .expect("numbers on the host");
    row[..CHECKED].iter().map(|x| f64::from(*x)).collect()
}

/// Reads all but the last ids, then the last ones one by one, as an answer is written; only these are timed.
fn decode(setup: &Value) -> Task {
    let (model, ids) = (model(setup), ids(setup));
    let new = count(setup, "new");
    let (prompt, answer) = (
        ids[..ids.len() - new].to_vec(),
        ids[ids.len() - new..].to_vec(),
    );
    Box::new(move || {
        let mut cache = model.cache(ids.len());
        let mut step = |ids: &[u32]| {
            let forward = model.forward(ids, &mut cache, None, None, Logits::Last);
            forward.expect("logits").logits.expect("logits")
        };
        let mut logits = step(&prompt);
        seconds(Instant::now(), model.device());
        let start = Instant::now();
        for id in &answer {
            logits = step(&[*id]);
        }
        Outcome {
            seconds: seconds(start, model.device()),
            check: numbers(&logits),
        }
    })
}

/// Reads the ids at once and computes the logits after the last.
fn read(setup: &Value) -> Task {
    let (model, ids) = (model(setup), ids(setup));
    Box::new(move || {
        let start = Instant::now();
        let mut cache = model.cache(ids.len());
        let forward = model.forward(&ids, &mut cache, None, None, Logits::Last);
        let logits = forward.expect("logits").logits.expect("logits");
        Outcome {
            seconds: seconds(start, model.device()),
            check: numbers(&logits),
        }
    })
}

/// A pair with its dictionary.
struct Pair {
    models: [Model; 2],
    crosscoder: Crosscoder,
}

/// The first repetition loads the pair and the dictionary; each one reads the ids through both models, encodes the residuals, and computes
/// the logits of every position or of the last, `prompts` times.
fn pair(setup: &Value) -> Task {
    let (setup, ids) = (setup.clone(), ids(setup));
    let (layer, prompts) = (count(&setup, "layer"), count(&setup, "prompts"));
    let device = device(&setup).open().expect("the device");
    let every = setup["every"] == true;
    let mut loaded = None;
    Box::new(move || {
        let start = Instant::now();
        let Some(Pair { models, crosscoder }) = &loaded else {
            let models = ["model", "chat"].map(|key| load(path(&setup, key), &device, &setup));
            let folder = path(&setup, "dictionary");
            let crosscoder = Crosscoder::load_to(folder, &device, Residence::Automatic);
            let crosscoder = crosscoder.expect("a dictionary");
            loaded = Some(Pair { models, crosscoder });
            return Outcome {
                seconds: seconds(start, &device),
                check: Vec::new(),
            };
        };
        let mut check = Vec::new();
        for _ in 0..prompts {
            let mut caches = models.each_ref().map(|model| model.cache(ids.len()));
            let [base, chat] = [0, 1].map(|m| {
                let lower = models[m].lower(&ids, layer, &mut caches[m]);
                lower.expect("a residual")
            });
            let x = Tensor::stack(&[&base, &chat], 1).expect("a pair");
            let codes = crosscoder.codes(&x).expect("codes");
            let wanted = if every { Logits::All } else { Logits::Last };
            let logits = [(0, &base), (1, &chat)].map(|(m, residual)| {
                let upper = models[m].upper(residual, layer, &mut caches[m], wanted);
                upper.expect("logits")
            });
            check = numbers(&logits[1]);
            check.push(codes.all().len() as f64 / ids.len() as f64);
        }
        Outcome {
            seconds: seconds(start, &device),
            check,
        }
    })
}
