//! Prompts that are kept change how soon an answer comes, and no bit of it.

use api::{ActivationsRequest, GenerateEvent, GenerateRequest, ModelName};
use candle_core::Tensor;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::{
    activations::ActivationsJob,
    generate::{GenerateJob, Generating},
    job::Queued,
    metrics::Counters,
};

/// A pair that keeps so many bytes of prompts, which it reads in pieces of 16 tokens.
fn keeping(bytes: u64) -> Pair {
    let mut options = options();
    options.limits.prompt_cache = bytes;
    options.limits.read_at_once = 16;
    Pair::load(&options, &mut |_| ()).unwrap()
}

/// BOS and words that depend on a seed.
fn words(seed: u32, count: u32) -> Vec<u32> {
    let word = |i: u32| 300 + (i * 7 + seed * 13) % 90;
    std::iter::once(6).chain((1..count).map(word)).collect()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let numbers: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    numbers.into_iter().map(f32::to_bits).collect()
}

/// Prompts that are one another's beginnings to a different extent.
fn prompts() -> Vec<Vec<u32>> {
    let long = words(1, 70);
    let mut other = long.clone();
    other.truncate(40);
    other.extend(&words(2, 20)[1..]);
    vec![
        long.clone(),
        long[..50].to_vec(),
        long.clone(),
        other.clone(),
        long[..16].to_vec(),
        long[..17].to_vec(),
        words(3, 33),
        other,
        long[..15].to_vec(),
    ]
}

#[test]
fn what_is_kept_has_the_bits_of_reading_anew() {
    let (with, without) = (keeping(64_000_000), keeping(0));
    for ids in prompts() {
        for model in ModelName::BOTH {
            let [found, anew] = [&with, &without].map(|pair| {
                let reading = pair.read(model, &ids, &Turns::endless()).unwrap();
                let upper = reading.upper(pair, &Turns::endless()).unwrap();
                (reading, upper)
            });
            assert_eq!(bits(&found.0.residual), bits(&anew.0.residual));
            assert_eq!(bits(&found.1.states), bits(&anew.1.states));
        }
    }
    let counts = with.kept.counts();
    // By each model: the second begins with 48 tokens of the first, the third is the first, the fourth begins with 32, the fifth and
    // the sixth with 16, the eighth is the fourth.
    assert_eq!((counts.hits, counts.misses), (2 * 6, 2 * 3));
    assert_eq!(counts.tokens, 2 * (48 + 70 + 32 + 16 + 16 + 59));
    let nothing = without.kept.counts();
    assert_eq!((nothing.hits, nothing.tokens, nothing.bytes), (0, 0, 0));
}

/// What a request streams, but for its times.
fn stream(pair: &Pair, request: &GenerateRequest) -> Vec<(usize, u32, u32)> {
    let job = GenerateJob::new(request, pair).unwrap();
    let (events, mut receiver) = mpsc::unbounded_channel();
    let since = std::time::Instant::now();
    let mut generating = Generating::new(Queued { job, events, since }, pair);
    while generating.turn(&Counters::default()).unwrap() {}
    drop(generating);
    let mut all = Vec::new();
    while let Some(event) = receiver.blocking_recv() {
        if let GenerateEvent::Token(t) = event {
            all.push((t.lane, t.id, t.logprob.to_bits()));
        }
    }
    all
}

#[test]
fn answers_are_the_same_whatever_was_asked_before() {
    let (with, without) = (keeping(64_000_000), keeping(0));
    let edits = json!([{"kind": "move", "latents": "all", "scale": 2}]);
    for ids in prompts() {
        let body = json!({
            "dictionary": "l1",
            "prompt": {"ids": ids},
            "lanes": [{"model": "chat"}, {"model": "base", "interventions": edits}, {"model": "chat", "interventions": edits}],
            "sampling": {"max_new_tokens": 5, "temperature": 1, "seed": 4},
        });
        let request: GenerateRequest = serde_json::from_value(body).unwrap();
        assert_eq!(stream(&with, &request), stream(&without, &request));
        let body = json!({"dictionary": "l1", "prompt": {"ids": ids}, "latents": [1, 2]});
        let request: ActivationsRequest = serde_json::from_value(body).unwrap();
        let run = |pair| {
            ActivationsJob::new(&request, pair)
                .unwrap()
                .run(pair, &Turns::endless())
        };
        assert_eq!(run(&with).unwrap(), run(&without).unwrap());
    }
    assert!(with.kept.counts().hits > 0);
}

#[test]
fn what_is_kept_stays_within_its_bound_and_the_oldest_goes_first() {
    let one = keeping(64_000_000);
    let chat = ModelName::Chat;
    one.read(chat, &words(1, 32), &Turns::endless()).unwrap();
    let bytes = one.kept.counts().bytes;
    assert!(bytes > 0);
    // Room for two of a model, lower halves alone.
    let pair = keeping(2 * 2 * bytes);
    for seed in [1, 2, 1, 3] {
        pair.read(chat, &words(seed, 32), &Turns::endless())
            .unwrap();
        assert!(pair.kept.counts().bytes <= 2 * bytes);
    }
    let hits = |seed: u32| {
        let before = pair.kept.counts().hits;
        pair.read(chat, &words(seed, 32), &Turns::endless())
            .unwrap();
        pair.kept.counts().hits - before
    };
    assert_eq!([hits(1), hits(3), hits(2)], [1, 1, 0]);
    // Larger than all room: it is used and not kept, and takes nobody's place but its own.
    pair.read(chat, &words(4, 100), &Turns::endless()).unwrap();
    assert_eq!([hits(2), hits(3)], [1, 1]);
    // An upper half counts as well.
    let reading = pair.read(chat, &words(3, 32), &Turns::endless()).unwrap();
    reading.upper(&pair, &Turns::endless()).unwrap();
    assert!(pair.kept.counts().bytes <= 2 * bytes);
}

#[test]
fn a_long_prompt_is_read_a_piece_a_turn() {
    let pair = keeping(0);
    let body = json!({
        "dictionary": "l1",
        "prompt": {"ids": words(5, 70)},
        "lanes": [{"model": "chat"}, {"model": "base"}],
        "sampling": {"max_new_tokens": 3},
    });
    let job = GenerateJob::new(&serde_json::from_value(body).unwrap(), &pair).unwrap();
    let (events, mut receiver) = mpsc::unbounded_channel();
    let since = std::time::Instant::now();
    let mut generating = Generating::new(Queued { job, events, since }, &pair);
    let counters = Counters::default();
    let mut turns = 0;
    while counters.snapshot().tokens_generated == 0 {
        assert!(generating.turn(&counters).unwrap());
        turns += 1;
    }
    // Five pieces by two halves of two models, and the first token.
    assert_eq!(turns, 4 * 5 + 1);
    assert_eq!(counters.snapshot().prefill_tokens, 2 * 70);
    // Whoever leaves while a prompt is read is noticed at the next piece.
    receiver.close();
    assert!(!generating.turn(&counters).unwrap());
}

/// Turns until two lanes have read a prompt of five pieces and generated a token, each with its own edit.
fn turns_of(edits: [Value; 2]) -> usize {
    let pair = keeping(0);
    let body = json!({
        "dictionary": "l1",
        "prompt": {"ids": words(5, 70)},
        "lanes": edits.map(|edit| json!({"model": "chat", "interventions": [edit]})),
        "sampling": {"max_new_tokens": 1},
    });
    let job = GenerateJob::new(&serde_json::from_value(body).unwrap(), &pair).unwrap();
    let (events, mut receiver) = mpsc::unbounded_channel();
    let since = std::time::Instant::now();
    let mut generating = Generating::new(Queued { job, events, since }, &pair);
    let counters = Counters::default();
    let mut turns = 1;
    while generating.turn(&counters).unwrap() {
        turns += 1;
    }
    let mut tokens = 0;
    while let Ok(event) = receiver.try_recv() {
        assert!(!matches!(event, GenerateEvent::Error(_)), "{event:?}");
        tokens += usize::from(matches!(event, GenerateEvent::Token(_)));
    }
    assert_eq!(tokens, 2);
    turns
}

#[test]
fn a_plan_counts_what_may_be_kept() {
    let needed = |bytes: u64| {
        let mut options = options();
        options.limits.prompt_cache = bytes;
        crate::plan(&options).unwrap().rooms[0].needed
    };
    assert_eq!(needed(1_000_000), needed(0) + 1_000_000);
}

#[test]
fn codes_of_a_long_prompt_are_made_a_piece_a_turn_once_for_all_lanes() {
    let moved = |scale: f64| json!({"kind": "move", "latents": "all", "scale": scale});
    // Five pieces by both lower halves, the codes, and each lane's upper half; then the token of both.
    assert_eq!(turns_of([moved(0.5), moved(2.0)]), 5 * (2 + 1 + 2) + 1);
    // A few latents' codes are made with the edit itself.
    let scaled = |factor: f64| json!({"kind": "scale", "latents": [2], "factor": factor});
    assert_eq!(turns_of([scaled(0.5), scaled(2.0)]), 5 * (2 + 2) + 1);
}
