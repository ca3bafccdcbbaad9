//! Lanes that advance in one pass are what each of them is alone.

use api::GenerateEvent;
use serde_json::{Value, json};

use super::*;
use crate::{lane::alike, metrics::Counters, tests::generation::*};

/// A lane's tokens and their log-probabilities.
fn line(events: &[GenerateEvent], lane: usize) -> Vec<(u32, f32)> {
    events
        .iter()
        .filter_map(|event| match event {
            GenerateEvent::Token(t) if t.lane == lane => Some((t.id, t.logprob)),
            _ => None,
        })
        .collect()
}

/// Fails unless two lines are the same; a GPU multiplies more rows in another order of sums.
fn assert_same(found: &[(u32, f32)], expected: &[(u32, f32)], number: usize) {
    let far = if pair().model(ModelName::Chat).device().is_cpu() {
        0.0
    } else {
        1e-4
    };
    assert_eq!(found.len(), expected.len(), "lane {number}");
    for (found, expected) in found.iter().zip(expected) {
        let near = (found.1 - expected.1).abs() <= far;
        assert!(
            found.0 == expected.0 && near,
            "lane {number}: {found:?}, {expected:?}"
        );
    }
}

/// Lanes of both models with every kind of edit, some of which end before others or need the other model for a while only.
fn lanes() -> Vec<Value> {
    let lane = |model: &str, edits: Value, tokens: usize, seed: usize| {
        let sampling = json!({"max_new_tokens": tokens, "temperature": 1.2, "seed": seed});
        json!({"model": model, "interventions": edits, "sampling": sampling})
    };
    let moved = json!({"kind": "move", "latents": "all", "scale": 2});
    let early = json!({"kind": "scale", "latents": [1, 2, 3], "factor": 5, "positions": [3, 20]});
    let later = json!({"kind": "clamp", "latents": [4], "value": 3, "positions": "generated"});
    let add = json!({"kind": "add", "latents": [{"id": 7, "strength": 2}]});
    let take = json!({"kind": "take", "from": "base"});
    let out = json!({"kind": "project_out", "latents": [9], "positions": "template"});
    let rebuilt = json!({"kind": "reconstruct", "decoder": "chat"});
    vec![
        lane("chat", json!([]), 14, 1),
        lane("base", json!([moved]), 9, 2),
        lane("chat", json!([moved, out]), 12, 3),
        lane("chat", json!([early]), 14, 4),
        lane("chat", json!([later]), 2, 5),
        lane("base", json!([add, rebuilt]), 14, 6),
        lane("chat", json!([take, later]), 11, 7),
        lane("chat", json!([add]), 1, 8),
    ]
}

#[test]
fn a_lane_has_the_same_tokens_and_bits_in_any_company() {
    for number in 0..2 {
        let (prompt, _) = conversation(number);
        let lanes = lanes();
        let run = |lanes: &[Value]| events(&request(prompt.clone(), json!(lanes), json!({})));
        let together = run(&lanes);
        for (number, lane) in lanes.iter().enumerate() {
            let alone = run(std::slice::from_ref(lane));
            assert!(!line(&alone, 0).is_empty());
            assert_same(&line(&together, number), &line(&alone, 0), number);
        }
        let backwards: Vec<Value> = lanes.iter().rev().cloned().collect();
        let backwards = run(&backwards);
        for number in 0..lanes.len() {
            let other = lanes.len() - 1 - number;
            assert_same(&line(&together, number), &line(&backwards, other), number);
        }
    }
}

#[test]
fn lanes_of_a_model_take_one_turn_a_token() {
    let (prompt, _) = conversation(0);
    let strength = |s: usize| json!([{"kind": "add", "latents": [{"id": 7, "strength": s}]}]);
    let lanes: Vec<Value> = (1..7)
        .map(|s| json!({"model": "chat", "interventions": strength(s)}))
        .collect();
    let request = request(prompt, json!(lanes), json!({"max_new_tokens": 10}));
    let (mut generating, _stream) = start(&request);
    let counters = Counters::default();
    let mut turns = 1;
    while generating.turn(&counters).unwrap() {
        turns += 1;
    }
    // The lower half of the prompt once, the upper half with six edits, ten tokens of all lanes.
    assert_eq!(turns, 1 + 6 + 10);
    assert_eq!(counters.snapshot().tokens_generated, 60);
}

#[test]
fn lanes_that_read_the_prompt_alike_read_it_once() {
    let ids = vec![6, 400, 21, 401, 22, 402];
    let prompt = Prompt::ids(ids.clone());
    let generated = json!([{"kind": "move", "latents": "all", "positions": "generated"}]);
    let early = json!([{"kind": "scale", "latents": [1], "factor": 3, "positions": [2, 4]}]);
    let listed = json!([{"kind": "scale", "latents": [1], "factor": 3, "positions": [2, 4, 9]}]);
    let edits = [json!([]), generated, early.clone(), listed, early];
    let lanes: Vec<Value> = edits
        .iter()
        .map(|edits| json!({"model": "chat", "interventions": edits}))
        .chain([json!({"model": "base"})])
        .collect();
    let request = request(prompt, json!(lanes), json!({"max_new_tokens": 8}));
    let extent = Extent {
        prompt: ids.len(),
        new: 8,
    };
    let plans: Vec<Plan> = request
        .lanes
        .iter()
        .map(|lane| Plan::new(lane, dictionary("batchtopk"), extent).unwrap())
        .collect();
    let places = Tracker::new(&pair().tokenizer).push(&ids, false);
    assert_eq!(alike(&plans, &places), [vec![0, 1], vec![2, 3, 4], vec![5]]);

    let (mut generating, _stream) = start(&request);
    let counters = Counters::default();
    while counters.snapshot().tokens_generated == 0 {
        assert!(generating.turn(&counters).unwrap());
    }
    assert_eq!(counters.snapshot().prefill_tokens, 3 * ids.len() as u64);
}
