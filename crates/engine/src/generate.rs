//! Lanes generating side by side, token by token, into one stream.

use std::{sync::Arc, time::Instant};

use api::{
    DoneEvent, DoneReason, GenerateEvent, GenerateRequest, MetaEvent, MetaLane, Problem, Sampling,
    Timings, TokenInfo,
};
use crosscoder::Codes;
use tokio::sync::mpsc;

use crate::{
    Error, Result,
    coding::Coding,
    group::Group,
    job::Queued,
    lane,
    metrics::Counters,
    next::Hidden,
    pair::Pair,
    places::{Place, Tracker},
    plan::{Extent, Plan},
    prompt,
    reading::{LowerWork, Read, Reading, Readings, Upper, UpperWork},
    stream::{Party, Row, Stream},
    turns::Turns,
};

/// Where a stream's events go. It is unbounded so that a slow reader never holds up the worker; a stream has at most
/// lanes × (max_new_tokens + 1) + 1 events, and one for each place in line.
pub(crate) type Events = mpsc::UnboundedSender<GenerateEvent>;

/// A request that can be served.
pub(crate) struct GenerateJob {
    dictionary: String,
    ids: Vec<u32>,
    plans: Vec<Plan>,
    /// How each lane's tokens are chosen.
    samplings: Vec<Sampling>,
    /// Tokens that fit into the context after the prompt.
    room: usize,
}

/// A generation under way: its prompt is read, then its lanes advance together, those of one model in one turn.
pub(crate) struct Generating<'a> {
    pair: &'a Pair,
    job: GenerateJob,
    events: Events,
    /// When it was asked for.
    since: Instant,
    /// Time in line, then the time of the lower halves and codes that all lanes share.
    shared: Timings,
    /// Has read the prompt, and says where its tokens stand.
    tracker: Tracker<'a>,
    places: Vec<Place>,
    /// The lower halves, until every lane has begun.
    readings: Readings,
    /// The whole dictionary's codes, where a lane's edit reads them, until then too.
    codes: Option<Codes>,
    /// Lanes that have not begun, by what they read alike; the last set is the next.
    waiting: Vec<Vec<usize>>,
    /// Half a model or the codes on their way over the prompt.
    work: Option<Work>,
    /// Milliseconds spent on the next lanes' upper half.
    own: f64,
    /// The lanes of each model that go on, the first lane's first.
    parties: Vec<Party<'a>>,
    /// The party whose turn it is.
    next: usize,
}

/// What reading the prompt asks for next.
enum Work {
    Lower(Read<Reading, LowerWork>),
    /// The whole dictionary's codes.
    Codes(Coding),
    /// The next lanes' upper half, and how many tokens it has to run.
    Upper(Read<Upper, UpperWork>, usize),
}

impl GenerateJob {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or [`Error::Invalid`] for a bad prompt, sampling or intervention.
    pub(crate) fn new(request: &GenerateRequest, pair: &Pair) -> Result<Self> {
        let dictionary = pair.dictionary(&request.dictionary)?;
        pair.check_lanes(&request.lanes)?;
        let own = |lane: &api::Lane| lane.sampling.unwrap_or(request.sampling);
        let samplings: Vec<Sampling> = request.lanes.iter().map(own).collect();
        for sampling in samplings.iter().chain([&request.sampling]) {
            check_sampling(sampling, pair.limits.new_tokens)?;
        }
        let ids = pair.encode(&request.prompt)?;
        let room = pair.context.saturating_sub(ids.len());
        let plans = request
            .lanes
            .iter()
            .zip(&samplings)
            .map(|(lane, sampling)| {
                let extent = Extent {
                    prompt: ids.len(),
                    new: sampling.max_new_tokens,
                };
                Plan::new(lane, dictionary, extent)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            dictionary: request.dictionary.clone(),
            ids,
            plans,
            samplings,
            room,
        })
    }

    /// The prompt's tokens.
    pub(crate) fn tokens(&self, pair: &Pair) -> Vec<TokenInfo> {
        prompt::describe(&self.ids, &pair.tokenizer)
    }

    /// The stream's first event.
    pub(crate) fn meta(&self, pair: &Pair) -> GenerateEvent {
        GenerateEvent::Meta(MetaEvent {
            tokens: self.tokens(pair),
            lanes: (0..)
                .zip(&self.plans)
                .map(|(lane, plan)| MetaLane {
                    lane,
                    model: plan.model,
                })
                .collect(),
        })
    }
}

impl<'a> Generating<'a> {
    /// Begins a generation whose turn in line has come.
    pub(crate) fn new(queued: Queued, pair: &'a Pair) -> Self {
        let Queued { job, events, since } = queued;
        let mut tracker = Tracker::new(&pair.tokenizer);
        let places = tracker.push(&job.ids, false);
        let mut waiting = lane::alike(&job.plans, &places);
        waiting.reverse();
        Self {
            pair,
            job,
            events,
            since,
            shared: Timings {
                queue_ms: milliseconds(since),
                ..Timings::default()
            },
            tracker,
            places,
            readings: Readings::default(),
            codes: None,
            waiting,
            work: None,
            own: 0.0,
            parties: Vec::new(),
            next: 0,
        }
    }

    /// Does one piece of work: reads or encodes a piece of the prompt, or generates one token of every lane of a model. Says whether there is
    /// more to do; there is none once the client has left.
    pub(crate) fn turn(&mut self, counters: &Counters) -> Result<bool> {
        if self.events.is_closed() {
            return Ok(false);
        }
        if !self.waiting.is_empty() {
            self.read(counters)?;
            return Ok(true);
        }
        if self.next >= self.parties.len() {
            self.next = 0;
        }
        let Some(party) = self.parties.get_mut(self.next) else {
            return Ok(false);
        };
        if party.advance(self.pair, &self.events, self.since, counters)? {
            self.next += 1;
        } else {
            self.parties.remove(self.next);
        }
        Ok(!self.parties.is_empty())
    }

    /// Reads a piece of the prompt: with the lower halves, then for the codes where an edit reads them, then with the upper half of the next
    /// lanes that read it alike, which begin when it has been read.
    fn read(&mut self, counters: &Counters) -> Result<()> {
        let (pair, started) = (self.pair, Instant::now());
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.next_work()?,
        };
        let more = match &mut work {
            Work::Lower(Read::Under(under)) => under.step(pair)?,
            Work::Codes(coding) => coding.step(pair.dictionary(&self.job.dictionary)?)?,
            Work::Upper(Read::Under(under), _) => under.step(pair)?,
            Work::Lower(Read::Done(_)) | Work::Upper(Read::Done(_), _) => false,
        };
        let of_upper = matches!(work, Work::Upper(..));
        let mut read = 0;
        match work {
            work if more => self.work = Some(work),
            Work::Lower(Read::Done(reading)) => self.readings.put(reading),
            Work::Lower(Read::Under(under)) => {
                self.readings.put(under.end(pair, &Turns::endless())?);
            }
            Work::Codes(coding) => self.codes = Some(coding.done()),
            Work::Upper(Read::Done(upper), _) => self.begin(&upper, started)?,
            Work::Upper(Read::Under(under), tokens) => {
                let upper = under.end(pair, &Turns::endless())?;
                self.begin(&upper, started)?;
                read = tokens;
            }
        }
        let spent = milliseconds(started);
        counters.prefilled(read, spent);
        match (of_upper, more) {
            (false, _) => self.shared.prefill_ms += spent,
            (true, true) => self.own += spent,
            (true, false) => self.own = 0.0,
        }
        Ok(())
    }

    /// The first lower half that is missing, after them the codes, after them the next lanes' upper half.
    fn next_work(&self) -> Result<Work> {
        let (job, pair) = (&self.job, self.pair);
        if let Some(model) = self.readings.missing(&job.plans) {
            return Ok(Work::Lower(pair.begin(model, &job.ids)?));
        }
        let dictionary = pair.dictionary(&job.dictionary)?;
        let plan = self.next_plan()?;
        let none = Codes::default();
        let codes = match &self.codes {
            Some(codes) => codes,
            None => match lane::to_code(pair, &job.plans, &self.places, &self.readings) {
                Some(coding) => return Ok(Work::Codes(coding)),
                None => &none,
            },
        };
        let upper = lane::begin_upper(pair, dictionary, plan, &self.places, &self.readings, codes)?;
        let tokens = match &upper {
            Read::Done(_) => 0,
            Read::Under(work) => work.tokens(),
        };
        Ok(Work::Upper(upper, tokens))
    }

    /// The plan of the next lanes to begin; all of them read the prompt as its model and edits say.
    fn next_plan(&self) -> Result<&Plan> {
        let first = self.waiting.last().and_then(|set| set.first());
        let plan = first.and_then(|first| self.job.plans.get(*first));
        plan.ok_or_else(|| Error::Computation("no lane waits".into()))
    }

    /// Lets the next lanes begin, whose upper half is there since the turn that `started` then.
    fn begin(&mut self, upper: &Upper, started: Instant) -> Result<()> {
        let (pair, model) = (self.pair, self.next_plan()?.model);
        let logits = Arc::new(Hidden::new(pair, model, upper).last_logits()?);
        let job = &self.job;
        let at = self.parties.iter().position(|p| p.group.model() == model);
        let at = at.unwrap_or(self.parties.len());
        if at == self.parties.len() {
            let all = job.plans.iter().cloned().enumerate();
            let lanes = all.filter(|(_, plan)| plan.model == model);
            let most = job.samplings.iter().map(|s| s.max_new_tokens).max();
            self.parties.push(Party::new(Group::new(
                pair,
                pair.dictionary(&job.dictionary)?,
                model,
                lanes.collect(),
                &self.tracker,
                job.ids.len() + job.room.min(most.unwrap_or(0)),
            )));
        }
        let Some(party) = self.parties.get_mut(at) else {
            return Ok(());
        };
        let set = self.waiting.pop().unwrap_or_default();
        for number in &set {
            party.group.begin(*number, &self.readings, upper)?;
        }
        let timings = Timings {
            prefill_ms: self.shared.prefill_ms + self.own + milliseconds(started),
            ..self.shared
        };
        for number in set {
            if let Some(sampling) = job.samplings.get(number) {
                let row = Row::of(&logits, 0, logits.len());
                party.join(Stream::new(number, sampling, job.room, row, timings, pair));
            }
        }
        if self.waiting.is_empty() {
            (self.readings, self.codes) = (Readings::default(), None);
        }
        Ok(())
    }

    /// Ends every lane that is not done, because the server ends.
    pub(crate) fn cancel(self) {
        for stream in self.parties.into_iter().flat_map(|party| party.streams) {
            stream.finish(DoneReason::Cancelled, &self.events);
        }
        let mut waiting: Vec<usize> = self.waiting.into_iter().flatten().collect();
        waiting.sort_unstable();
        for lane in waiting {
            let done = DoneEvent {
                lane,
                reason: DoneReason::Cancelled,
                tokens: 0,
                timings: self.shared,
            };
            let _ = self.events.send(GenerateEvent::Done(done));
        }
    }

    /// Ends the stream with a problem.
    pub(crate) fn fail(self, problem: Problem) {
        let _ = self.events.send(GenerateEvent::Error(problem));
    }
}

pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn check_sampling(sampling: &Sampling, most: usize) -> Result<()> {
    if sampling.max_new_tokens == 0 || sampling.max_new_tokens > most {
        return Err(Error::invalid(format!(
            "sampling.max_new_tokens is {}; expected 1 to {most}",
            sampling.max_new_tokens
        )));
    }
    if !(sampling.temperature.is_finite() && sampling.temperature >= 0.0) {
        return Err(Error::invalid(format!(
            "sampling.temperature is {}; expected a finite number that is not negative, 0 for greedy",
            sampling.temperature
        )));
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return Err(Error::invalid(format!(
            "sampling.top_p is {}; expected a number above 0 and at most 1",
            sampling.top_p
        )));
    }
    Ok(())
}
