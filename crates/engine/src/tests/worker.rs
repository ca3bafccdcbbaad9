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

fn activations() -> ActivationsRequest {
    serde_json::from_value(json!({"dictionary": "l1", "prompt": {"text": "hi"}})).unwrap()
}

fn generation() -> GenerateRequest {
    let body = json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": [{"model": "chat"}], "sampling": {"max_new_tokens": 3}});
    serde_json::from_value(body).unwrap()
}

/// An engine whose models are there but whose worker is not: the queue's other end is handed out.
fn engine_without_worker(queue: usize) -> (Engine, mpsc::Receiver<worker::Job>, Arc<Shared>) {
    let (jobs, receiver) = mpsc::channel(queue);
    let shared = Arc::new(Shared {
        pair: OnceLock::from(Pair::load(&options(), &mut |_| ()).unwrap()),
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
