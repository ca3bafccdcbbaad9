//! The thread that says whose turn it is with the models: takes jobs from a bounded queue and survives whatever a job does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use api::{Readiness, ReadyState};
use tokio::sync::{mpsc, watch};

use crate::{Error, Options, Result, desk::Desk, job::Job, metrics::Counters, pair::Pair};

/// Turns an error into the problem that a stream ends with.
pub type Describe = fn(&Error) -> api::Problem;

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

/// Serves jobs until the queue's last sender is gone and none is left.
pub(crate) fn serve_all(pair: &Pair, shared: &Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut desk = Desk::new(pair, shared);
    loop {
        if desk.is_clear() {
            let Some(job) = jobs.blocking_recv() else {
                return;
            };
            desk.take(job);
        }
        desk.receive(&mut jobs);
        desk.turn();
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

/// Runs `work`; a panic becomes an error. What a job builds is dropped with it, and the models are never written to,
/// so nothing half-done survives.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Error::Computation(
            message.unwrap_or_else(|| "it stopped without saying why".into()),
        ))
    });
    result.map_err(Error::told_clearly)
}
