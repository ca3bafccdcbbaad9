//! The worker's desk: generations under way take turns token by token, others wait in line, and short requests go between two turns.

use std::collections::VecDeque;

use api::{GenerateEvent, QueuedEvent};
use tokio::sync::mpsc;

use crate::{
    Error,
    generate::Generating,
    job::{Job, Queued},
    pair::Pair,
    worker::{Shared, guarded},
};

/// What the worker has before it.
pub(crate) struct Desk<'a> {
    pair: &'a Pair,
    shared: &'a Shared,
    /// Generations in line, and the place last told to each.
    waiting: VecDeque<(Queued, usize)>,
    running: VecDeque<Generating<'a>>,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(pair: &'a Pair, shared: &'a Shared) -> Self {
        Self {
            pair,
            shared,
            waiting: VecDeque::new(),
            running: VecDeque::new(),
        }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Takes what has come in: generations join the line, and one short request is answered, so that however many come, the
    /// generations go on between them.
    pub(crate) fn receive(&mut self, jobs: &mut mpsc::Receiver<Job>) {
        while let Ok(job) = jobs.try_recv() {
            if self.take(job) {
                break;
            }
        }
    }

    /// Takes a job; says whether it took time.
    pub(crate) fn take(&mut self, job: Job) -> bool {
        if self.shared.stopping() || job.abandoned() {
            self.shared.counters.skip();
            job.refuse(Error::Stopping, self.shared.describe);
            return false;
        }
        match job {
            Job::Answer(question) => {
                self.shared.counters.start();
                question.answer(self.pair, &self.shared.counters);
                true
            }
            Job::Generate(queued) => {
                self.waiting.push_back((queued, 0));
                false
            }
        }
    }

    /// Lets the next generation take its turn, after those in line have moved up.
    pub(crate) fn turn(&mut self) {
        self.seat();
        let Some(mut generating) = self.running.pop_front() else {
            return;
        };
        if self.shared.stopping() {
            generating.cancel();
            return;
        }
        match guarded(|| generating.turn(&self.shared.counters)) {
            Ok(true) => self.running.push_back(generating),
            Ok(false) => (),
            Err(error) => {
                self.shared.counters.failure(&error);
                generating.fail((self.shared.describe)(&error));
            }
        }
    }

    /// Starts generations while there is room, and tells the others their place in line.
    fn seat(&mut self) {
        let shared = self.shared;
        let stopping = shared.stopping();
        self.waiting.retain(|(queued, _)| {
            let stays = !stopping && !queued.events.is_closed();
            if !stays {
                shared.counters.skip();
                let problem = (shared.describe)(&Error::Stopping);
                let _ = queued.events.send(GenerateEvent::Error(problem));
            }
            stays
        });
        while self.running.len() < self.pair.limits.generations.max(1)
            && let Some((queued, _)) = self.waiting.pop_front()
        {
            shared.counters.start();
            let (pair, events) = (self.pair, queued.events.clone());
            match guarded(|| Ok(Generating::new(queued, pair))) {
                Ok(generating) => self.running.push_back(generating),
                Err(error) => {
                    shared.counters.failure(&error);
                    let _ = events.send(GenerateEvent::Error((shared.describe)(&error)));
                }
            }
        }
        for (place, (queued, told)) in (1..).zip(&mut self.waiting) {
            if *told != place {
                *told = place;
                let event = GenerateEvent::Queued(QueuedEvent { position: place });
                let _ = queued.events.send(event);
            }
        }
    }
}
