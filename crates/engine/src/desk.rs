//! The worker's desk: what is under way takes turns, token by token or for a moment each, and the rest waits in line.

use std::{collections::VecDeque, sync::Arc};

use api::{GenerateEvent, QueuedEvent};
use tokio::sync::mpsc;

use crate::{
    Error,
    generate::Generating,
    job::{Job, Question, Queued},
    pair::Pair,
    turns::Underway,
    worker::{Shared, guarded},
};

/// What the worker has before it.
pub(crate) struct Desk<'a> {
    pair: &'a Pair,
    shared: &'a Arc<Shared>,
    /// Generations in line, and the place last told to each.
    waiting: VecDeque<(Queued, usize)>,
    /// Questions in line.
    questions: VecDeque<Box<dyn Question>>,
    running: VecDeque<Running<'a>>,
}

/// Something under way.
enum Running<'a> {
    Generating(Box<Generating<'a>>),
    Answering(Underway),
}

impl<'a> Desk<'a> {
    pub(crate) fn new(pair: &'a Pair, shared: &'a Arc<Shared>) -> Self {
        Self {
            pair,
            shared,
            waiting: VecDeque::new(),
            questions: VecDeque::new(),
            running: VecDeque::new(),
        }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && self.questions.is_empty() && self.running.is_empty()
    }

    /// Takes what has come in: generations join the line, and one question has its first turn, in which a short one is answered. So
    /// however many come, the rest goes on between them.
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
                self.questions.push_back(question);
                self.begin_next()
            }
            Job::Generate(queued) => {
                self.waiting.push_back((queued, 0));
                false
            }
        }
    }

    /// Lets what is next take its turn, after those in line have moved up.
    pub(crate) fn turn(&mut self) {
        self.seat();
        match self.running.pop_front() {
            Some(Running::Generating(generating)) => self.generate(generating),
            Some(Running::Answering(answering)) => self.answer(answering),
            None => (),
        }
    }

    fn generate(&mut self, mut generating: Box<Generating<'a>>) {
        if self.shared.stopping() {
            generating.cancel();
            return;
        }
        match guarded(|| generating.turn(&self.shared.counters)) {
            Ok(true) => self.running.push_back(Running::Generating(generating)),
            Ok(false) => (),
            Err(error) => {
                self.shared.counters.failure(&error);
                generating.fail((self.shared.describe)(&error));
            }
        }
    }

    /// Lets a question have its turn; when the engine ends, it is let go of, which tells it so.
    fn answer(&mut self, answering: Underway) {
        if !self.shared.stopping() && answering.turn() {
            self.running.push_back(Running::Answering(answering));
        }
    }

    /// Gives the next question in line its first turn where there is room; says whether that took time.
    fn begin_next(&mut self) -> bool {
        if !self.has_room(Running::is_answer) {
            return false;
        }
        let Some(question) = self.questions.pop_front() else {
            return false;
        };
        self.shared.counters.start();
        match Underway::new(question, self.shared) {
            Ok(answering) => self.answer(answering),
            Err(error) => self.shared.counters.failure(&error),
        }
        true
    }

    /// Whether another of a kind may be under way.
    fn has_room(&self, kind: impl Fn(&Running<'a>) -> bool) -> bool {
        let under_way = self.running.iter().filter(|running| kind(running)).count();
        under_way < self.pair.limits.generations.max(1)
    }

    /// Starts what waits while there is room, and tells the other generations their place in line.
    fn seat(&mut self) {
        let shared = self.shared;
        let stopping = shared.stopping();
        self.questions.retain(|question| {
            let stays = !stopping && !question.abandoned();
            if !stays {
                shared.counters.skip();
            }
            stays
        });
        self.begin_next();
        self.waiting.retain(|(queued, _)| {
            let stays = !stopping && !queued.events.is_closed();
            if !stays {
                shared.counters.skip();
                let problem = (shared.describe)(&Error::Stopping);
                let _ = queued.events.send(GenerateEvent::Error(problem));
            }
            stays
        });
        while self.has_room(|running| !running.is_answer())
            && let Some((queued, _)) = self.waiting.pop_front()
        {
            shared.counters.start();
            let (pair, events) = (self.pair, queued.events.clone());
            match guarded(|| Ok(Generating::new(queued, pair))) {
                Ok(generating) => {
                    let generating = Running::Generating(Box::new(generating));
                    self.running.push_back(generating);
                }
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

impl Running<'_> {
    fn is_answer(&self) -> bool {
        matches!(self, Self::Answering(_))
    }
}
