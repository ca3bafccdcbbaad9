//! A pair on the device to test, which on a GPU is in bf16, against the CPU's f32.

use api::Lane;
use serde_json::json;

use super::{chat, conversation, device, forced_by, lane, options};
use crate::{
    DeviceChoice, Options, Precision,
    pair::Pair,
    plan::{Extent, Plan},
};

/// Lanes of every kind of edit.
fn lanes() -> Vec<Lane> {
    let mut lanes: Vec<Lane> = ["base", "chat"]
        .map(|model| lane(json!({"model": model})))
        .to_vec();
    lanes.extend(
        [
            json!({"kind": "take", "from": "base", "positions": "prompt"}),
            json!({"kind": "add", "latents": [{"id": 1, "strength": 2}]}),
            json!({"kind": "scale", "latents": [0, 1, 2], "factor": 0}),
            json!({"kind": "clamp", "latents": [3], "value": 1}),
            json!({"kind": "move", "latents": "all"}),
            json!({"kind": "project_out", "latents": [4]}),
            json!({"kind": "reconstruct"}),
        ]
        .map(|edit| chat(json!([edit]))),
    );
    lanes
}

#[test]
fn edits_on_the_device_are_those_on_the_cpu() {
    let (_, ids) = conversation(1);
    let load = |options: &Options| Pair::load(options, &mut |_| ()).unwrap();
    // The CPU computes in f32 alone.
    let (precision, bar) = match device() {
        DeviceChoice::Cpu => (Precision::F32, 1e-6),
        _ => (Precision::Bf16, 0.15),
    };
    let there = load(&Options {
        device: device(),
        precision,
        ..options()
    });
    let cpu = load(&options());
    for lane in lanes() {
        let logits = |pair: &Pair| {
            let dictionary = pair.dictionary("batchtopk").unwrap();
            let extent = Extent {
                prompt: ids.len(),
                new: 0,
            };
            let plan = Plan::new(&lane, dictionary, extent).unwrap();
            forced_by(pair, dictionary, &plan, &ids).concat()
        };
        let (found, expected) = (logits(&there), logits(&cpu));
        let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let error = apart.fold(0f32, f32::max) / largest;
        assert!(error <= bar, "{:?}: {error}", lane.interventions);
    }
}
