//! Checked requests on their way to the worker.

use std::time::Instant;

use api::GenerateEvent;
use tokio::sync::oneshot;

use crate::{
    Error, Result,
    generate::{Events, GenerateJob},
    metrics::Counters,
    pair::Pair,
    turns::{Baton, Turns},
    worker::{Describe, guarded},
};

/// A checked request.
pub(crate) enum Job {
    /// One computation that ends with one answer.
    Answer(Box<dyn Question>),
    /// A stream of tokens.
    Generate(Queued),
}

/// A generation that has not begun.
pub(crate) struct Queued {
    pub job: GenerateJob,
    pub events: Events,
    /// When it was asked for.
    pub since: Instant,
}

/// A computation with one answer.
pub(crate) trait Question: Send {
    /// Whether nobody waits for the answer any more.
    fn abandoned(&self) -> bool;

    /// Computes and delivers the answer, or a failure; a client that left meanwhile is no fault.
    fn answer(self: Box<Self>, pair: &Pair, baton: &Baton, counters: &Counters);

    /// Tells a client that is still there why there is no answer.
    fn refuse(self: Box<Self>, error: Error);
}

struct Asked<T, F> {
    compute: F,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Question for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Pair, &Turns<'_>) -> Result<T> + Send,
{
    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, pair: &Pair, baton: &Baton, counters: &Counters) {
        let Self { compute, reply } = *self;
        let abandoned = || reply.is_closed();
        let result = guarded(|| compute(pair, &Turns::with(baton, &abandoned)));
        match &result {
            Ok(_) | Err(Error::Stopping) => (),
            Err(Error::Abandoned) => counters.abandon(),
            Err(error) => counters.failure(error),
        }
        let _ = reply.send(result);
    }

    fn refuse(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

impl Job {
    /// A computation whose result goes to `reply`.
    pub(crate) fn question<T: Send + 'static>(
        compute: impl FnOnce(&Pair, &Turns<'_>) -> Result<T> + Send + 'static,
        reply: oneshot::Sender<Result<T>>,
    ) -> Self {
        Self::Answer(Box::new(Asked { compute, reply }))
    }

    /// Whether nobody waits for the result any more.
    pub(crate) fn abandoned(&self) -> bool {
        match self {
            Self::Answer(question) => question.abandoned(),
            Self::Generate(queued) => queued.events.is_closed(),
        }
    }

    /// Tells a client that is still there why the job is not done.
    pub(crate) fn refuse(self, error: Error, describe: Describe) {
        match self {
            Self::Answer(question) => question.refuse(error),
            Self::Generate(queued) => {
                let _ = queued.events.send(GenerateEvent::Error(describe(&error)));
            }
        }
    }
}
