//! Lanes generating: the reference's tokens, caches under edits, stops, limits, leaving clients.

use std::time::Instant;

use api::{DoneReason, GenerateEvent, GenerateRequest, Prompt};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::*;
use crate::{
    generate::{GenerateJob, Generating},
    job::Queued,
    metrics::Counters,
};

pub(super) fn request(prompt: Prompt, lanes: Value, sampling: Value) -> GenerateRequest {
    let prompt = serde_json::to_value(prompt).unwrap();
    let body =
        json!({"dictionary": "batchtopk", "prompt": prompt, "lanes": lanes, "sampling": sampling});
    serde_json::from_value(body).unwrap()
}

/// A generation that starts at once, and its stream.
pub(super) fn start(
    request: &GenerateRequest,
) -> (Generating<'static>, UnboundedReceiver<GenerateEvent>) {
    let job = GenerateJob::new(request, pair()).unwrap();
    let (events, receiver) = mpsc::unbounded_channel();
    let since = Instant::now();
    let queued = Queued { job, events, since };
    (Generating::new(queued, pair()), receiver)
}

/// Runs a request to its end.
pub(super) fn events(request: &GenerateRequest) -> Vec<GenerateEvent> {
    let (mut generating, mut receiver) = start(request);
    let counters = Counters::default();
    while generating.turn(&counters).unwrap() {}
    drop(generating);
    std::iter::from_fn(|| receiver.blocking_recv()).collect()
}

/// A lane's tokens.
pub(super) fn tokens(events: &[GenerateEvent], lane: usize) -> Vec<u32> {
    events
        .iter()
        .filter_map(|event| match event {
            GenerateEvent::Token(token) if token.lane == lane => Some(token.id),
            _ => None,
        })
        .collect()
}

pub(super) fn reasons(events: &[GenerateEvent]) -> Vec<(usize, DoneReason, usize)> {
    events
        .iter()
        .filter_map(|event| match event {
            GenerateEvent::Done(done) => Some((done.lane, done.reason, done.tokens)),
            _ => None,
        })
        .collect()
}

#[test]
fn greedy_tokens_are_the_reference_s() {
    for number in 0..2 {
        let (prompt, _) = conversation(number);
        let events = events(&request(
            prompt,
            json!([{"model": "base"}, {"model": "chat"}]),
            json!({"max_new_tokens": 24}),
        ));
        for (lane, key) in ["greedy_base", "greedy_chat"].into_iter().enumerate() {
            let expected: Vec<u32> =
                serde_json::from_value(expected()["conversations"][number][key].clone()).unwrap();
            assert_eq!(
                tokens(&events, lane),
                expected,
                "conversation {number}, {key}"
            );
        }
        assert_eq!(reasons(&events).len(), 2);
        assert!(
            reasons(&events)
                .iter()
                .all(|(_, r, n)| *r == DoneReason::Length && *n == 24)
        );
    }
}

#[test]
fn token_events_number_the_tokens_and_join_to_the_text() {
    let (prompt, _) = conversation(0);
    let events = events(&request(
        prompt,
        json!([{"model": "chat"}]),
        json!({"max_new_tokens": 24}),
    ));
    let (mut text, mut index) = (String::new(), 0);
    for event in &events {
        if let GenerateEvent::Token(token) = event {
            assert_eq!(token.index, index);
            assert!(token.logprob <= 0.0);
            index += 1;
            text.push_str(&token.text);
        }
    }
    assert_eq!(text, pair().tokenizer.decode(&tokens(&events, 0)));
    assert!(matches!(events.last(), Some(GenerateEvent::Done(_))));
}

#[test]
fn generating_with_edits_predicts_what_teacher_forcing_predicts() {
    let (prompt, ids) = conversation(0);
    let sets = [
        json!("all"),
        json!("prompt"),
        json!("generated"),
        json!("template"),
        json!("content"),
        json!("first_answer:3"),
        json!([2, 9, 15, 17, 20]),
    ];
    for positions in sets {
        for edit in [
            json!({"kind": "move", "latents": "all", "scale": -3}),
            json!({"kind": "take", "from": "base"}),
            json!({"kind": "scale", "latents": [0, 1, 2, 3, 4, 5, 6, 7], "factor": 9}),
            json!({"kind": "add", "latents": [{"id": 3, "strength": 2}], "unit": "max_activation"}),
            json!({"kind": "clamp", "latents": [0, 1, 2, 3], "value": 6}),
            json!({"kind": "project_out", "latents": [5, 6, 7]}),
            json!({"kind": "reconstruct", "decoder": "base"}),
        ] {
            let mut edit = edit;
            edit["positions"] = positions.clone();
            let lanes = json!([{"model": "chat", "interventions": [edit]}, {"model": "chat"}]);
            let events = events(&request(
                prompt.clone(),
                lanes,
                json!({"max_new_tokens": 12}),
            ));
            let generated = tokens(&events, 0);

            let whole: Vec<u32> = ids.iter().chain(&generated).copied().collect();
            // Under teacher forcing nothing is generated: the same places are named by their numbers.
            if positions == json!("generated") {
                edit["positions"] = json!((ids.len()..whole.len()).collect::<Vec<_>>());
            } else if positions == json!("prompt") {
                edit["positions"] = json!((0..ids.len()).collect::<Vec<_>>());
            }
            let logits = forced(&chat(json!([edit])), "batchtopk", &whole);
            let predicted: Vec<u32> = logits[ids.len() - 1..whole.len() - 1]
                .iter()
                .map(|row| greedy(row))
                .collect();
            assert_eq!(generated, predicted, "{edit}");
        }
    }
}

fn greedy(row: &[f32]) -> u32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter().position(|x| *x == largest).unwrap() as u32
}

#[test]
fn equal_lanes_give_equal_tokens_and_seeds_differ() {
    let (prompt, _) = conversation(0);
    let edits = json!([{"kind": "move", "latents": [1, 2], "scale": 2}]);
    let lanes = json!([{"model": "chat"}, {"model": "chat"}, {"model": "chat", "interventions": edits}, {"model": "chat", "interventions": edits}]);
    let run = |seed: u64| {
        let sampling =
            json!({"max_new_tokens": 16, "temperature": 1.5, "top_p": 0.95, "seed": seed});
        events(&request(prompt.clone(), lanes.clone(), sampling))
    };
    let first = run(7);
    assert_eq!(tokens(&first, 0), tokens(&first, 1));
    assert_eq!(tokens(&first, 2), tokens(&first, 3));
    assert_eq!(tokens(&first, 0), tokens(&run(7), 0));
    assert_ne!(tokens(&first, 0), tokens(&run(8), 0));
}

#[test]
fn lanes_take_turns_token_by_token() {
    let (prompt, _) = conversation(0);
    let events = events(&request(
        prompt,
        json!([{"model": "base"}, {"model": "chat"}]),
        json!({"max_new_tokens": 5}),
    ));
    let order: Vec<(usize, usize)> = events
        .iter()
        .filter_map(|event| match event {
            GenerateEvent::Token(token) => Some((token.lane, token.index)),
            _ => None,
        })
        .collect();
    assert_eq!(
        order,
        (0..5).flat_map(|i| [(0, i), (1, i)]).collect::<Vec<_>>()
    );
}

#[test]
fn a_stop_token_ends_its_lane_and_is_sent() {
    let (prompt, _) = conversation(0);
    let sampling = |seed: u64| json!({"max_new_tokens": 200, "temperature": 3.0, "seed": seed});
    let stopped = (0..20).find_map(|seed| {
        let events = events(&request(
            prompt.clone(),
            json!([{"model": "chat"}]),
            sampling(seed),
        ));
        let done = reasons(&events)[0];
        (done.1 == DoneReason::Stop).then(|| (tokens(&events, 0), done.2))
    });
    let (tokens, count) = stopped.expect("at temperature 3 a stop token comes up");
    assert_eq!(tokens.len(), count);
    let special = &expected()["special"];
    let stops =
        [&special["<eos>"], &special["<end_of_turn>"]].map(|id| id.as_u64().unwrap() as u32);
    let (last, before) = tokens.split_last().unwrap();
    assert!(stops.contains(last));
    assert!(before.iter().all(|id| !stops.contains(id)));
}

#[test]
fn a_full_context_ends_with_length() {
    let ids: Vec<u32> = std::iter::once(6)
        .chain((0..249).map(|i| 300 + i % 100))
        .collect();
    let prompt = Prompt {
        ids: Some(ids),
        ..Prompt::default()
    };
    let events = events(&request(
        prompt,
        json!([{"model": "chat", "interventions": [{"kind": "move", "latents": "all"}]}]),
        json!({"max_new_tokens": 40}),
    ));
    // The models take 256 positions.
    assert_eq!(reasons(&events), [(0, DoneReason::Length, 6)]);
}

#[test]
fn a_client_that_leaves_ends_the_generation_at_the_next_token() {
    let (prompt, _) = conversation(0);
    let request = request(
        prompt,
        json!([{"model": "chat"}]),
        json!({"max_new_tokens": 100, "temperature": 1.0}),
    );
    let (mut generating, receiver) = start(&request);
    let counters = Counters::default();
    let tokens = || counters.snapshot().tokens_generated;
    while tokens() < 4 {
        assert!(generating.turn(&counters).unwrap());
    }
    drop(receiver);
    assert!(!generating.turn(&counters).unwrap());
    assert_eq!(tokens(), 4);
}

#[test]
fn reading_and_generating_are_counted() {
    // No other test reads this prompt, so none has left it behind.
    let ids = vec![6, 300, 17, 301, 18, 302];
    let prompt = Prompt::ids(ids.clone());
    let lanes = json!([{"model": "chat"}, {"model": "base"}]);
    let (mut generating, _stream) = start(&request(prompt, lanes, json!({"max_new_tokens": 3})));
    let counters = Counters::default();
    while generating.turn(&counters).unwrap() {}
    let metrics = counters.snapshot();
    assert_eq!(metrics.prefill_tokens, 2 * ids.len() as u64);
    assert_eq!(metrics.tokens_generated, 6);
    assert!(metrics.prefill_seconds > 0.0 && metrics.decode_seconds > 0.0);
}

#[test]
fn an_ending_server_cancels_every_lane() {
    let (prompt, _) = conversation(0);
    let request = request(
        prompt,
        json!([{"model": "chat"}, {"model": "base"}]),
        json!({"max_new_tokens": 100}),
    );
    let (mut generating, mut receiver) = start(&request);
    let counters = Counters::default();
    while counters.snapshot().tokens_generated < 6 {
        assert!(generating.turn(&counters).unwrap());
    }
    generating.cancel();
    let events: Vec<_> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
    assert_eq!(
        reasons(&events),
        [(0, DoneReason::Cancelled, 3), (1, DoneReason::Cancelled, 3)]
    );
}

#[test]
fn a_generation_cancelled_before_it_begins_ends_every_lane() {
    let (prompt, _) = conversation(0);
    let lanes = json!([{"model": "chat"}, {"model": "base"}]);
    let (generating, mut receiver) = start(&request(prompt, lanes, json!({})));
    generating.cancel();
    let events: Vec<_> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
    assert_eq!(
        reasons(&events),
        [(0, DoneReason::Cancelled, 0), (1, DoneReason::Cancelled, 0)]
    );
}
