//! The one thread that owns the models: takes jobs from a bounded queue, one at a time, and survives whatever a job does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use api::{ActivationsResponse, EffectsResponse, GenerateEvent, Readiness, ReadyState};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Error, Options, Result,
    activations::ActivationsJob,
    effects::EffectsJob,
    generate::{Events, GenerateJob},
    metrics::Counters,
    pair::Pair,
};

/// Turns an error into the problem that a stream ends with.
pub type Describe = fn(&Error) -> api::Problem;

/// A checked request on its way to the worker.
pub(crate) enum Job {
    Activations(ActivationsJob, oneshot::Sender<Result<ActivationsResponse>>),
    Effects(EffectsJob, oneshot::Sender<Result<EffectsResponse>>),
    Generate(GenerateJob, Events, Instant),
}

/// What the worker and its callers share.
pub(crate) struct Shared {
    /// The models, once loaded.
    pub pair: OnceLock<Pair>,
    pub counters: Counters,
    pub stopping: AtomicBool,
    pub readiness: watch::Sender<Readiness>,
    pub describe: Describe,
}

impl Shared {
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Loads the models, then serves jobs until the queue's last sender is gone.
pub(crate) fn work(options: &Options, shared: &Arc<Shared>, jobs: mpsc::Receiver<Job>) {
    if let Some(pair) = load(options, shared) {
        serve_all(pair, shared, jobs);
    }
}

/// Serves jobs until the queue's last sender is gone.
pub(crate) fn serve_all(pair: &Pair, shared: &Shared, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        shared.counters.queue.fetch_sub(1, Ordering::Relaxed);
        if shared.stopping() || job.abandoned() {
            shared.counters.skipped.fetch_add(1, Ordering::Relaxed);
            job.refuse(Error::Stopping, shared.describe);
            continue;
        }
        serve(job, pair, shared);
    }
}

/// Reads the weights and reports how it went.
fn load<'a>(options: &Options, shared: &'a Arc<Shared>) -> Option<&'a Pair> {
    let report = |state, fraction, detail| {
        shared.readiness.send_replace(Readiness {
            state,
            fraction,
            detail,
        });
    };
    let mut progress = |fraction| report(ReadyState::Loading, fraction, None);
    let loaded = guarded(|| Pair::load(options, &mut progress));
    match loaded {
        Ok(pair) => {
            let pair = shared.pair.get_or_init(|| pair);
            report(ReadyState::Ready, 1.0, None);
            tracing::info!("the models are loaded");
            Some(pair)
        }
        Err(error) => {
            tracing::error!(%error, "the models could not be loaded");
            report(ReadyState::Failed, 0.0, Some(error.to_string()));
            None
        }
    }
}

/// Does a job and delivers its result; a client that left meanwhile is no fault.
fn serve(job: Job, pair: &Pair, shared: &Shared) {
    match job {
        Job::Activations(job, reply) => {
            let result = guarded(|| job.run(pair));
            note(result.as_ref().err(), shared);
            let _ = reply.send(result);
        }
        Job::Effects(job, reply) => {
            let result = guarded(|| job.run(pair));
            note(result.as_ref().err(), shared);
            let _ = reply.send(result);
        }
        Job::Generate(job, events, queued) => {
            let stopping = || shared.stopping();
            let result = guarded(|| job.run(pair, &events, queued, &shared.counters, &stopping));
            note(result.as_ref().err(), shared);
            if let Err(error) = result {
                let _ = events.send(GenerateEvent::Error((shared.describe)(&error)));
            }
        }
    }
}

fn note(error: Option<&Error>, shared: &Shared) {
    if let Some(error) = error {
        shared.counters.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "a request failed");
    }
}

/// Runs `work`; a panic becomes an error. What a job builds is dropped with it, and the models are never written to,
/// so nothing half-done survives.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Error::Computation(
            message.unwrap_or_else(|| "it stopped without saying why".into()),
        ))
    })
}

impl Job {
    /// Whether nobody waits for the result any more.
    fn abandoned(&self) -> bool {
        match self {
            Self::Activations(_, reply) => reply.is_closed(),
            Self::Effects(_, reply) => reply.is_closed(),
            Self::Generate(_, events, _) => events.is_closed(),
        }
    }

    /// Tells a client that is still there why the job is not done.
    fn refuse(self, error: Error, describe: Describe) {
        match self {
            Self::Activations(_, reply) => {
                let _ = reply.send(Err(error));
            }
            Self::Effects(_, reply) => {
                let _ = reply.send(Err(error));
            }
            Self::Generate(_, events, _) => {
                let _ = events.send(GenerateEvent::Error(describe(&error)));
            }
        }
    }
}
