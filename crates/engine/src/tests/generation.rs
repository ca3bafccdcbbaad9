//! Lanes generating: the reference's tokens, caches under edits, stops, limits, leaving clients.

use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use api::{DoneReason, GenerateEvent, GenerateRequest, Prompt};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::{generate::GenerateJob, metrics::Counters};

fn request(prompt: Prompt, lanes: Value, sampling: Value) -> GenerateRequest {
    let prompt = serde_json::to_value(prompt).unwrap();
    let body =
        json!({"dictionary": "batchtopk", "prompt": prompt, "lanes": lanes, "sampling": sampling});
    serde_json::from_value(body).unwrap()
}

/// Runs a request to its end.
fn events(request: &GenerateRequest) -> Vec<GenerateEvent> {
    let job = GenerateJob::new(request, pair()).unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    job.run(
        pair(),
        &sender,
        Instant::now(),
        &Counters::default(),
        &|| false,
    )
    .unwrap();
    drop(sender);
    std::iter::from_fn(|| receiver.blocking_recv()).collect()
}

/// A lane's tokens.
fn tokens(events: &[GenerateEvent], lane: usize) -> Vec<u32> {
    events
        .iter()
        .filter_map(|event| match event {
            GenerateEvent::Token(token) if token.lane == lane => Some(token.id),
            _ => None,
        })
        .collect()
}

fn reasons(events: &[GenerateEvent]) -> Vec<(usize, DoneReason, usize)> {
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
fn a_client_that_leaves_ends_the_generation_within_two_tokens() {
    let (prompt, _) = conversation(0);
    let request = request(
        prompt,
        json!([{"model": "chat"}]),
        json!({"max_new_tokens": 100, "temperature": 1.0}),
    );
    let job = GenerateJob::new(&request, pair()).unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let (receiver, turns, counters) = (
        RefCell::new(Some(receiver)),
        Cell::new(0),
        Counters::default(),
    );
    // The client leaves before the fifth token.
    let leave = || {
        turns.set(turns.get() + 1);
        if turns.get() == 5 {
            receiver.borrow_mut().take();
        }
        false
    };
    job.run(pair(), &sender, Instant::now(), &counters, &leave)
        .unwrap();
    assert_eq!(counters.snapshot().tokens_generated, 4);
    assert_eq!(turns.get(), 5);
}

#[test]
fn an_ending_server_cancels_every_lane() {
    let (prompt, _) = conversation(0);
    let request = request(
        prompt,
        json!([{"model": "chat"}, {"model": "base"}]),
        json!({"max_new_tokens": 100}),
    );
    let job = GenerateJob::new(&request, pair()).unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let turns = Cell::new(0);
    let stopping = || {
        turns.set(turns.get() + 1);
        turns.get() > 6
    };
    job.run(
        pair(),
        &sender,
        Instant::now(),
        &Counters::default(),
        &stopping,
    )
    .unwrap();
    drop(sender);
    let events: Vec<_> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
    assert_eq!(
        reasons(&events),
        [(0, DoneReason::Cancelled, 3), (1, DoneReason::Cancelled, 3)]
    );
}
