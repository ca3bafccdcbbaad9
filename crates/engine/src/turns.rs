//! Long computations in turns: each has a thread of its own, and one at a time goes on.

use std::{
    cell::Cell,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Result, job::Question, worker::Shared};

/// The places at which a computation lets others have their turn.
pub(crate) struct Turns<'a> {
    baton: Option<&'a Baton>,
    /// Whether nobody waits for the result any more.
    abandoned: &'a dyn Fn() -> bool,
}

impl<'a> Turns<'a> {
    /// Those of a computation that hands on the baton.
    pub(crate) fn with(baton: &'a Baton, abandoned: &'a dyn Fn() -> bool) -> Self {
        Self {
            baton: Some(baton),
            abandoned,
        }
    }

    /// One turn without end.
    pub(crate) fn endless() -> Self {
        Self {
            baton: None,
            abandoned: &|| false,
        }
    }

    /// Ends the turn if it has lasted long enough, and waits for the next one.
    ///
    /// # Errors
    /// [`Error::Abandoned`] when nobody waits for the result any more, [`Error::Stopping`] when the engine ends.
    pub(crate) fn pause(&self) -> Result<()> {
        self.baton.map_or(Ok(()), Baton::hand_on)?;
        if (self.abandoned)() {
            return Err(Error::Abandoned);
        }
        Ok(())
    }
}

/// A thread's right to compute, which it has until it hands it back.
pub(crate) struct Baton {
    begin: Receiver<()>,
    end: SyncSender<()>,
    length: Duration,
    until: Cell<Option<Instant>>,
}

impl Baton {
    /// Waits for a turn.
    fn take(&self) -> Result<()> {
        self.begin.recv().map_err(|_| Error::Stopping)?;
        self.until.set(Instant::now().checked_add(self.length));
        Ok(())
    }

    /// Ends a turn that has lasted long enough, and waits for the next one.
    fn hand_on(&self) -> Result<()> {
        if self.until.get().is_none_or(|until| Instant::now() < until) {
            return Ok(());
        }
        self.end.send(()).map_err(|_| Error::Stopping)?;
        self.take()
    }
}

/// A computation whose turns are given to it; it fails with [`Error::Stopping`] when this is dropped.
pub(crate) struct Underway {
    begin: SyncSender<()>,
    ended: Receiver<()>,
}

impl Underway {
    /// Makes a thread for a question, which waits for its first turn.
    pub(crate) fn new(question: Box<dyn Question>, shared: &Arc<Shared>) -> Result<Self> {
        let (begin, theirs) = sync_channel(0);
        let (end, ended) = sync_channel(0);
        let shared = Arc::clone(shared);
        let compute = move || {
            let Some(pair) = shared.pair.get() else {
                return;
            };
            let baton = Baton {
                begin: theirs,
                end,
                length: pair.limits.turn,
                until: Cell::new(None),
            };
            match baton.take() {
                Ok(()) => question.answer(pair, &baton, &shared.counters),
                Err(error) => question.refuse(error),
            }
        };
        thread::Builder::new()
            .name("question".into())
            .spawn(compute)
            .map_err(|e| Error::Computation(format!("no thread for it: {e}")))?;
        Ok(Self { begin, ended })
    }

    /// Lets it have a turn; says whether there is another.
    pub(crate) fn turn(&self) -> bool {
        self.begin.send(()).is_ok() && self.ended.recv().is_ok()
    }
}
