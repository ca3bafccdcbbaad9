//! Long questions go on in turns, and the rest between them.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    worker::{activations, engine_with_limits, engine_without_worker, generation},
    *,
};
use crate::{Error, activations::ActivationsJob, desk::Desk, job::Job, worker::Shared};

/// Limits with which a computation pauses wherever it can.
fn short_turns() -> Limits {
    Limits {
        turn: Duration::ZERO,
        read_at_once: 2,
        prompt_cache: 0,
        ..Limits::default()
    }
}

/// A prompt of some pieces.
fn long() -> api::ActivationsRequest {
    api::ActivationsRequest {
        prompt: conversation(0).0,
        ..activations()
    }
}

/// Puts a request's computation on the desk.
fn ask(
    desk: &mut Desk<'_>,
    shared: &Arc<Shared>,
    request: &api::ActivationsRequest,
) -> oneshot::Receiver<Result<api::ActivationsResponse>> {
    let (reply, answer) = oneshot::channel();
    shared.counters.wait(8).unwrap();
    let job = ActivationsJob::new(request, shared.pair.get().unwrap()).unwrap();
    desk.take(Job::question(
        move |pair, turns| job.run(pair, turns),
        reply,
    ));
    answer
}

#[tokio::test]
async fn a_question_in_turns_has_the_answer_that_it_has_in_one() {
    let whole = ActivationsJob::new(&long(), pair()).unwrap();
    let whole = whole.run(pair(), &Turns::endless()).unwrap();
    let (_engine, _receiver, shared) = engine_with_limits(short_turns());
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    let mut answer = ask(&mut desk, &shared, &long());
    let mut turns = 1;
    let found = loop {
        match answer.try_recv() {
            Ok(found) => break found.unwrap(),
            Err(oneshot::error::TryRecvError::Empty) => desk.turn(),
            Err(error) => panic!("{error}"),
        }
        turns += 1;
    };
    // Each model's lower half, the codes and each model's upper half, piece by piece; then the predictions.
    let pieces = found.tokens.len().div_ceil(2);
    assert!(turns >= 5 * pieces, "{turns} turns for {pieces} pieces");
    assert_eq!(found.tokens, whole.tokens);
    for (found, whole) in found.top.iter().zip(&whole.top) {
        let ids = |top: &[api::TopLatent]| top.iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(ids(found), ids(whole));
    }
    let (found, whole) = (found.kl_chat_base.unwrap(), whole.kl_chat_base.unwrap());
    assert_eq!(found.len(), whole.len());
    assert!(found.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[tokio::test]
async fn what_comes_during_a_long_question_goes_between_its_turns() {
    let (engine, mut receiver, shared) = engine_with_limits(short_turns());
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    let mut slow = ask(&mut desk, &shared, &long());
    let mut short = engine.generate(generation()).await.unwrap();
    desk.receive(&mut receiver);
    let mut last = None;
    while !matches!(last, Some(api::GenerateEvent::Done(_))) {
        assert!(slow.try_recv().is_err(), "the long one took all turns");
        desk.turn();
        last = std::iter::from_fn(|| short.try_recv().ok()).last().or(last);
    }
    while !desk.is_clear() {
        desk.turn();
    }
    assert!(slow.try_recv().unwrap().is_ok());
}

#[tokio::test]
async fn a_question_ends_when_nobody_waits_for_it_or_the_engine_ends() {
    let (engine, _receiver, shared) = engine_with_limits(short_turns());
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    drop(ask(&mut desk, &shared, &long()));
    for _ in 0..3 {
        desk.turn();
    }
    assert!(desk.is_clear());
    let counters = shared.counters.snapshot();
    assert_eq!((counters.skipped, counters.failures), (1, 0));

    let answer = ask(&mut desk, &shared, &long());
    engine.shutdown();
    desk.turn();
    assert!(desk.is_clear());
    assert!(matches!(answer.await.unwrap(), Err(Error::Stopping)));
    assert_eq!(shared.counters.snapshot().failures, 0);
}

#[tokio::test]
async fn questions_beyond_the_limit_wait_in_line_and_are_all_answered() {
    let (_engine, _receiver, shared) = engine_with_limits(Limits {
        generations: 2,
        ..short_turns()
    });
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    let mut answers: Vec<_> = (0..5).map(|_| ask(&mut desk, &shared, &long())).collect();
    assert_eq!(shared.counters.snapshot().queue_depth, 3);
    while !desk.is_clear() {
        desk.turn();
    }
    assert!(answers.iter_mut().all(|a| a.try_recv().unwrap().is_ok()));
    assert_eq!(shared.counters.snapshot().queue_depth, 0);
}

#[tokio::test]
async fn whoever_waits_longer_comes_first_and_whoever_leaves_waits_no_more() {
    let (_engine, _receiver, shared) = engine_with_limits(Limits {
        generations: 1,
        ..short_turns()
    });
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    let mut first = ask(&mut desk, &shared, &long());
    let mut second = ask(&mut desk, &shared, &long());
    drop(ask(&mut desk, &shared, &long()));
    assert_eq!(shared.counters.snapshot().queue_depth, 2);
    desk.turn();
    let counters = shared.counters.snapshot();
    assert_eq!((counters.queue_depth, counters.skipped), (1, 1));
    while first.try_recv().is_err() {
        desk.turn();
    }
    let mut late = ask(&mut desk, &shared, &long());
    while second.try_recv().is_err() {
        assert!(late.try_recv().is_err(), "the late one overtook");
        desk.turn();
    }
    while !desk.is_clear() {
        desk.turn();
    }
    assert!(late.try_recv().unwrap().is_ok());
}

#[tokio::test]
async fn a_question_of_a_moment_is_answered_in_its_first_turn() {
    let (_engine, _receiver, shared) = engine_without_worker(8);
    let mut desk = Desk::new(shared.pair.get().unwrap(), &shared);
    let (reply, answer) = oneshot::channel();
    shared.counters.wait(8).unwrap();
    let (jobs, mut queue) = mpsc::channel(1);
    let job = Job::question(
        |_, turns| turns.pause().map(|()| thread::current().id()),
        reply,
    );
    jobs.try_send(job).ok().unwrap();
    desk.receive(&mut queue);
    assert!(desk.is_clear());
    assert_ne!(answer.await.unwrap().unwrap(), thread::current().id());
}
