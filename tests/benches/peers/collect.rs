//! Residuals after the study's block, against transformers with a forward hook.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use gemma::{Checkpoint, Model};
use serde_json::{Value, json};

use crate::case::{Case, Outcome, Task, folder, number};
use crate::data::{Noise, Shape, write_json, write_model};

/// Six blocks and a hook after the third, so that the head and the upper half have the weight that they have in a whole Gemma-2 2B.
const BLOCKS: usize = 6;
const LAYER: usize = 2;
/// Lengths of documents: short and long ones in no order.
const LENGTHS: [usize; 12] = [384, 47, 1024, 32, 210, 96, 640, 61, 152, 33, 318, 75];

/// How the peer runs: whole model or cut after the hook, documents per batch, by length or as they come.
const VARIANTS: [(&str, bool, usize, bool); 3] = [
    ("whole model, batches of 4 padded", false, 4, false),
    (
        "model cut after the hook, batches of 4 by length",
        true,
        4,
        true,
    ),
    ("model cut after the hook, one by one", true, 1, false),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let tokens: usize = LENGTHS.iter().sum();
    for (hidden, vocabulary) in [(256, 8192), (2304, 32_000)] {
        for (name, cut, together, sorted) in VARIANTS {
            cases.push(Case {
                name: format!(
                    "collect {tokens} tokens in {} documents, D {hidden}; theirs: {name}",
                    LENGTHS.len()
                ),
                task: "collect",
                setup: json!({
                    "hidden": hidden, "vocabulary": vocabulary, "layer": LAYER,
                    "cut": cut, "together": together, "sorted": sorted,
                }),
                repetitions: if hidden < 1024 { 7 } else { 3 },
                bar: 1.0,
                note: "Collection: one random model in Gemma-2's proportions, 6 blocks, hook after the third, f32, eager attention, \
                       documents of 32 to 1024 tokens, rows of all tokens kept in memory on both sides.",
                prepare,
            });
        }
    }
    cases
}

fn prepare(setup: &Value, folder: &Path) {
    let vocabulary = number(setup, "vocabulary");
    let shape = Shape::new(number(setup, "hidden"), BLOCKS, vocabulary);
    write_model(&folder.join("model"), &shape, 1);
    let mut noise = Noise(2);
    let ids: Vec<Vec<usize>> = LENGTHS
        .into_iter()
        .map(|length| (0..length).map(|_| noise.below(vocabulary)).collect())
        .collect();
    write_json(&folder.join("ids.json"), &json!(ids));
}

pub(crate) fn ours(setup: &Value) -> Task {
    let layer = number(setup, "layer");
    let model = Checkpoint::open(folder(setup).join("model"))
        .and_then(|checkpoint| checkpoint.load(&Device::Cpu, DType::F32, &mut |_| {}))
        .expect("a model");
    let ids = std::fs::read(folder(setup).join("ids.json")).expect("the ids");
    let documents: Vec<Vec<u32>> = serde_json::from_slice(&ids).expect("ids in JSON");
    Box::new(move || {
        let start = Instant::now();
        let rows = residuals(&model, layer, &documents).expect("residuals");
        let seconds = start.elapsed().as_secs_f64();
        let check = rows
            .iter()
            .zip(&documents)
            .flat_map(|(rows, ids)| {
                let width = rows.len() / ids.len();
                rows[(ids.len() - 1) * width..][..8].to_vec()
            })
            .map(f64::from)
            .collect();
        Outcome { seconds, check }
    })
}

/// Rows [T, D] of every document, as `collect` computes them.
fn residuals(model: &Model, layer: usize, documents: &[Vec<u32>]) -> gemma::Result<Vec<Vec<f32>>> {
    let documents: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
    let rows = |x: &Tensor| Ok(x.flatten_all()?.to_vec1()?);
    model
        .lower_many(&documents, layer)?
        .iter()
        .map(rows)
        .collect()
}
