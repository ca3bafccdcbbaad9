//! One training step, forward to update, against the authors' trainers in PyTorch.

use std::path::Path;
use std::time::Instant;

use crosscoder::Kind;
use crosscoder::train::{Origin, Settings, Trainer};
use serde_json::{Value, json};

use crate::case::{Case, Outcome, Task, folder, number};
use crate::data::{Noise, write_tensors};

/// Batches that the repetitions go through in turn.
const BATCHES: usize = 2;
/// Directions that a token is mixed of.
const MIXED: usize = 20;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (hidden, latents, batch, k) in [(256, 8192, 2048, 50), (2304, 8192, 2048, 100)] {
        for (kind, name, bar) in [("l1", "L1", 1.3), ("batchtopk", "BatchTopK", 5.0)] {
            cases.push(Case {
                name: format!("{name} step, D {hidden}, F {latents}, batch {batch}"),
                task: "train",
                setup: json!({
                    "kind": kind, "hidden": hidden, "latents": latents, "batch": batch, "k": k,
                }),
                repetitions: 5,
                bar,
                note: "Training step: from a batch in memory to the updated weights, in f32, from the same initial weights, where about half \
                       of L1's codes are positive. The numbers compared are the losses.",
                prepare,
            });
        }
    }
    cases
}

fn settings(setup: &Value) -> Settings {
    let l1 = setup["kind"] == "l1";
    Settings {
        kind: if l1 { Kind::L1 } else { Kind::BatchTopK },
        k: number(setup, "k"),
        lr: Some(1e-4),
        l1_penalty: 0.041,
        norm_init_scale: Some(if l1 { 0.005 } else { 1.0 }),
        steps: 100_000,
        seed: 1,
        ..Settings::default()
    }
}

fn trainer(setup: &Value) -> Trainer {
    let (hidden, latents) = (number(setup, "hidden"), number(setup, "latents"));
    Trainer::new(settings(setup), hidden, latents, None).expect("settings that can be trained")
}

/// Writes the initial weights and the batches.
fn prepare(setup: &Value, folder: &Path) {
    trainer(setup)
        .save(folder, &Origin::default())
        .expect("initial weights");
    let shape = vec![number(setup, "batch"), 2, number(setup, "hidden")];
    let batches = (0..BATCHES).map(|i| (i.to_string(), (shape.clone(), batch(setup, i))));
    write_tensors(&folder.join("batches.safetensors"), &batches.collect());
}

/// Sparse mixtures of planted directions with a little noise, [batch, 2, hidden].
fn batch(setup: &Value, i: usize) -> Vec<f32> {
    let width = 2 * number(setup, "hidden");
    let mut noise = Noise(7);
    let planted: Vec<f32> = (0..512 * width).map(|_| noise.number(1.0)).collect();
    let mut noise = Noise(100 + i as u64);
    let mut x: Vec<f32> = (0..number(setup, "batch") * width)
        .map(|_| noise.number(0.3))
        .collect();
    for row in x.chunks_exact_mut(width) {
        for _ in 0..MIXED {
            let direction = &planted[noise.below(512) * width..];
            let f = noise.number(1.0).abs();
            row.iter_mut().zip(direction).for_each(|(x, d)| *x += f * d);
        }
    }
    x
}

pub(crate) fn ours(setup: &Value) -> Task {
    assert!(folder(setup).join("model.safetensors").exists());
    let mut trainer = trainer(setup);
    let batches: Vec<Vec<f32>> = (0..BATCHES).map(|i| batch(setup, i)).collect();
    let mut steps = 0;
    // The first step finds the decoder bias, once in a training.
    let mut step = move || {
        let batch = &batches[steps % BATCHES];
        steps += 1;
        let start = Instant::now();
        let metrics = trainer.step(batch).expect("a step");
        Outcome {
            seconds: start.elapsed().as_secs_f64(),
            check: vec![metrics.loss],
        }
    };
    step();
    Box::new(step)
}
