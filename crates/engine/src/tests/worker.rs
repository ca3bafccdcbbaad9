//! The worker and its queue: loading, refusing, skipping, surviving.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use api::{ActivationsRequest, GenerateEvent, GenerateRequest, Readiness, ReadyState};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    Engine, Error,
    desk::Desk,
    job::Job,
    metrics::Counters,
    worker::{self, Shared},
};

fn describe(error: &Error) -> api::Problem {
    api::Problem {
        kind: "/problems/test".into(),
        title: "test".into(),
        status: 500,
        detail: error.to_string(),
    }
}

pub(super) fn activations() -> ActivationsRequest {
    serde_json::from_value(json!({"dictionary": "l1", "prompt": {"text": "hi"}})).unwrap()
}

pub(super) fn generation() -> GenerateRequest {
    let body = json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": [{"model": "chat"}], "sampling": {"max_new_tokens": 3}});
    serde_json::from_value(body).unwrap()
}

/// An engine whose models are there but whose worker is not: the queue's other end is handed out.
pub(super) fn engine_without_worker(queue: usize) -> (Engine, mpsc::Receiver<Job>, Arc<Shared>) {
    engine_with_limits(Limits {
        queue,
        ..Limits::default()
    })
}

pub(super) fn engine_with_limits(limits: Limits) -> (Engine, mpsc::Receiver<Job>, Arc<Shared>) {
    let (jobs, receiver) = mpsc::channel(limits.queue);
    let options = Options {
        limits,
        ..options()
    };
    let shared = Arc::new(Shared {
        pair: OnceLock::from(Pair::load(&options, &mut |_| ()).unwrap()),
        counters: Counters::default(),
        stopping: false.into(),
        readiness: watch::Sender::new(Readiness {
            state: ReadyState::Ready,
            fraction: 1.0,
            detail: None,
        }),
        describe,
    });
    let engine = Engine::from_parts(
        Arc::clone(&shared),
        jobs,
        ["l1".to_owned(), "batchtopk".to_owned()].into(),
    );
    (engine, receiver, shared)
}

#[tokio::test]
async fn an_engine_loads_answers_and_streams() {
    let engine = Engine::start(options(), describe).unwrap();
    let mut watch = engine.watch();
    let ready = watch
        .wait_for(|r| r.state != ReadyState::Loading)
        .await
        .unwrap()
        .clone();
    assert_eq!(
        ready,
        Readiness {
            state: ReadyState::Ready,
            fraction: 1.0,
            detail: None
        }
    );
    let answer = engine.activations(activations()).await.unwrap();
    assert_eq!(answer.tokens.len(), answer.top.len());
    let mut stream = engine.generate(generation()).await.unwrap();
    let mut names = Vec::new();
    while let Some(event) = stream.recv().await {
        names.push(event.name());
    }
    assert_eq!(names, ["meta", "token", "token", "token", "done"]);
    let metrics = engine.metrics();
    assert_eq!(
        (
            metrics.queue_depth,
            metrics.tokens_generated,
            metrics.failures
        ),
        (0, 3, 0)
    );
    assert_eq!(metrics.first_token.iter().sum::<u64>(), 1);
    engine.shutdown();
    assert!(matches!(
        engine.activations(activations()).await,
        Err(Error::Stopping)
    ));
}

#[tokio::test]
async fn a_failed_load_is_reported_and_refuses() {
    let mut broken = options();
    broken.chat = PathBuf::from("/nowhere/at/all");
    let engine = Engine::start(broken, describe).unwrap();
    let mut watch = engine.watch();
    let failed = watch
        .wait_for(|r| r.state == ReadyState::Failed)
        .await
        .unwrap()
        .clone();
    assert!(failed.detail.unwrap().contains("nowhere"));
    let error = engine.activations(activations()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Failed(detail) if detail.contains("nowhere")),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_the_door() {
    let (engine, _receiver, _) = engine_without_worker(1);
    let _stream = engine.generate(generation()).await.unwrap();
    assert_eq!(engine.metrics().queue_depth, 1);
    assert!(matches!(
        engine.generate(generation()).await,
        Err(Error::Busy { waiting: 1 })
    ));
    assert!(matches!(
        engine.activations(activations()).await,
        Err(Error::Busy { .. })
    ));
    assert_eq!(engine.metrics().queue_depth, 1);
}

#[tokio::test]
async fn a_job_whose_client_has_gone_is_skipped() {
    let (engine, receiver, shared) = engine_without_worker(8);
    drop(engine.generate(generation()).await.unwrap());
    let pending =
        tokio::time::timeout(Duration::from_millis(50), engine.activations(activations()));
    assert!(pending.await.is_err());
    let mut stays = engine.generate(generation()).await.unwrap();
    drop(engine);
    let theirs = Arc::clone(&shared);
    tokio::task::spawn_blocking(move || {
        worker::serve_all(theirs.pair.get().unwrap(), &theirs, receiver);
    })
    .await
    .unwrap();
    let metrics = shared.counters.snapshot();
    assert_eq!(
        (
            metrics.skipped,
            metrics.tokens_generated,
            metrics.queue_depth
        ),
        (2, 3, 0)
    );
    let mut last = None;
    while let Some(event) = stays.recv().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(GenerateEvent::Done(_))));
}

#[tokio::test]
async fn jobs_left_when_the_engine_stops_are_told_so() {
    let (engine, receiver, shared) = engine_without_worker(8);
    let mut stream = engine.generate(generation()).await.unwrap();
    engine.shutdown();
    drop(engine);
    assert!(shared.stopping.load(Ordering::Relaxed));
    tokio::task::spawn_blocking(move || {
        worker::serve_all(shared.pair.get().unwrap(), &shared, receiver);
    })
    .await
    .unwrap();
    assert!(matches!(stream.recv().await, Some(GenerateEvent::Meta(_))));
    assert!(
        matches!(stream.recv().await, Some(GenerateEvent::Error(problem)) if problem.detail.contains("ending"))
    );
}

#[test]
fn a_panic_becomes_an_error() {
    let result: Result<()> = worker::guarded(|| panic!("a tensor fell over"));
    assert!(matches!(result, Err(Error::Computation(message)) if message.contains("fell over")));
}

/// Serves what waits, on a thread of its own, until the engine is gone.
pub(super) async fn serve(shared: &Arc<Shared>, receiver: mpsc::Receiver<Job>) {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || {
        worker::serve_all(shared.pair.get().unwrap(), &shared, receiver);
    })
    .await
    .unwrap();
}

fn drain(mut stream: crate::Generation) -> Vec<GenerateEvent> {
    std::iter::from_fn(|| stream.try_recv().ok()).collect()
}

fn names(events: &[GenerateEvent]) -> Vec<&'static str> {
    events.iter().map(GenerateEvent::name).collect()
}

#[tokio::test]
async fn generations_beyond_the_limit_hear_their_place_in_line() {
    let (engine, receiver, shared) = engine_with_limits(Limits {
        generations: 1,
        ..Limits::default()
    });
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(engine.generate(generation()).await.unwrap());
    }
    assert_eq!(engine.metrics().queue_depth, 3);
    drop(engine);
    serve(&shared, receiver).await;
    let places: Vec<Vec<usize>> = streams
        .into_iter()
        .map(|stream| {
            let events = drain(stream);
            assert_eq!(names(&events).last(), Some(&"done"));
            let place = |event: &GenerateEvent| match event {
                GenerateEvent::Queued(queued) => Some(queued.position),
                _ => None,
            };
            events.iter().filter_map(place).collect()
        })
        .collect();
    assert_eq!(places, [vec![], vec![1], vec![2, 1]]);
    assert_eq!(shared.counters.snapshot().queue_depth, 0);
}

#[tokio::test]
async fn generations_take_turns_and_short_requests_go_between_two_tokens() {
    let (engine, mut receiver, shared) = engine_without_worker(8);
    let mut long = generation();
    long.sampling.max_new_tokens = 60;
    let _long = engine.generate(long).await.unwrap();
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    let tokens = || shared.counters.snapshot().tokens_generated;
    desk.receive(&mut receiver);
    while tokens() < 5 {
        desk.turn();
    }
    // What comes now need not wait for the other 55 tokens: an answer comes before the next one …
    let (reply, answer) = tokio::sync::oneshot::channel();
    shared.counters.wait(8).unwrap();
    let (jobs, mut queue) = mpsc::channel(8);
    let ids = Job::question(|pair, _| pair.encode(&Prompt::text("hi")), reply);
    jobs.try_send(ids).ok().unwrap();
    desk.receive(&mut queue);
    assert!(!answer.await.unwrap().unwrap().is_empty());
    assert_eq!(tokens(), 5);
    // … and three tokens more come after as many of the other, and the turns for reading the prompt.
    let mut short = engine.generate(generation()).await.unwrap();
    desk.receive(&mut receiver);
    let mut events = Vec::new();
    while !matches!(events.last(), Some(GenerateEvent::Done(_))) {
        desk.turn();
        events.extend(std::iter::from_fn(|| short.try_recv().ok()));
    }
    assert_eq!(names(&events), ["meta", "token", "token", "token", "done"]);
    assert!(tokens() <= 5 + 3 + 6, "{}", tokens());
    drop(desk);
}

#[tokio::test]
async fn a_panic_in_one_request_fails_that_request_alone() {
    let (engine, receiver, shared) = engine_without_worker(8);
    let (reply, fallen) = tokio::sync::oneshot::channel::<Result<()>>();
    shared.counters.wait(8).unwrap();
    let (jobs, queue) = mpsc::channel(8);
    let panics = Job::question(|_, _| panic!("a tensor fell over"), reply);
    jobs.send(panics).await.ok().unwrap();
    drop(jobs);
    serve(&shared, queue).await;
    assert!(matches!(fallen.await, Ok(Err(Error::Computation(_)))));
    let stream = engine.generate(generation()).await.unwrap();
    drop(engine);
    serve(&shared, receiver).await;
    assert_eq!(
        names(&drain(stream)),
        ["meta", "token", "token", "token", "done"]
    );
    let metrics = shared.counters.snapshot();
    assert_eq!((metrics.failures, metrics.queue_depth), (1, 0));
}
