//! Lanes generating side by side, token by token, into one stream.

use std::time::Instant;

use api::{
    DoneEvent, DoneReason, GenerateEvent, GenerateRequest, MetaEvent, MetaLane, Problem, Sampling,
    Timings, TokenEvent, TokenInfo,
};
use gemma::{Sampler, StreamDecoder};
use tokio::sync::mpsc;

use crate::{
    Error, Result,
    job::Queued,
    lane::{LaneRun, Prefill},
    metrics::Counters,
    pair::Pair,
    plan::{Extent, Plan},
    prompt,
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

/// A generation under way: its prompt is read, then its lanes take turns.
pub(crate) struct Generating<'a> {
    pair: &'a Pair,
    job: GenerateJob,
    events: Events,
    /// When it was asked for.
    since: Instant,
    /// Time in line, then the time of the lower halves that all lanes share.
    shared: Timings,
    /// The lower halves, until every lane has taken its own.
    prefill: Option<Prefill>,
    streams: Vec<Stream<'a>>,
    /// The lane whose turn it is.
    next: usize,
}

/// A lane and what has come of it.
struct Stream<'a> {
    number: usize,
    run: LaneRun<'a>,
    /// Tokens that it may generate.
    room: usize,
    logits: Vec<f32>,
    sampler: Sampler,
    decoder: StreamDecoder<'a>,
    generated: usize,
    timings: Timings,
    done: bool,
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
        Self {
            pair,
            streams: Vec::with_capacity(job.plans.len()),
            job,
            events,
            since,
            shared: Timings {
                queue_ms: milliseconds(since),
                ..Timings::default()
            },
            prefill: None,
            next: 0,
        }
    }

    /// Does one piece of work: reads the prompt, readies a lane, or generates one token of one lane. Says whether there is more to do;
    /// there is none once the client has left.
    pub(crate) fn turn(&mut self, counters: &Counters) -> Result<bool> {
        if self.events.is_closed() {
            return Ok(false);
        }
        if self.streams.len() < self.job.plans.len() {
            self.read(counters)?;
            return Ok(true);
        }
        self.prefill = None;
        let lanes = self.streams.len();
        let turn = (0..lanes)
            .map(|step| (self.next + step) % lanes)
            .find(|lane| self.streams.get(*lane).is_some_and(|s| !s.done));
        let Some(stream) = turn.and_then(|lane| self.streams.get_mut(lane)) else {
            return Ok(false);
        };
        self.next = stream.number + 1;
        stream.advance(self.pair, &self.events, self.since, counters)?;
        Ok(self.streams.iter().any(|stream| !stream.done))
    }

    /// Runs the lower halves, or after them the next lane's upper half.
    fn read(&mut self, counters: &Counters) -> Result<()> {
        let (job, started) = (&self.job, Instant::now());
        let Some(prefill) = &mut self.prefill else {
            let most = job.samplings.iter().map(|s| s.max_new_tokens).max();
            let capacity = job.ids.len() + job.room.min(most.unwrap_or(0));
            self.prefill = Some(Prefill::run(self.pair, &job.ids, &job.plans, capacity)?);
            self.shared.prefill_ms = milliseconds(started);
            counters.prefilled(0, self.shared.prefill_ms);
            return Ok(());
        };
        let number = self.streams.len();
        let (Some(plan), Some(sampling)) = (job.plans.get(number), job.samplings.get(number))
        else {
            return Ok(());
        };
        let dictionary = self.pair.dictionary(&job.dictionary)?;
        let (run, hidden) = LaneRun::start(self.pair, dictionary, plan, prefill, (&job.ids, 0))?;
        let logits = hidden.last_logits()?;
        let own = milliseconds(started);
        counters.prefilled(job.ids.len(), own);
        self.streams.push(Stream {
            number,
            run,
            room: job.room.min(sampling.max_new_tokens),
            logits,
            sampler: Sampler::new(
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
                sampling.seed,
            ),
            decoder: self.pair.tokenizer.stream_decoder(),
            generated: 0,
            timings: Timings {
                prefill_ms: self.shared.prefill_ms + own,
                ..self.shared
            },
            done: false,
        });
        Ok(())
    }

    /// Ends every lane that is not done, because the server ends.
    pub(crate) fn cancel(mut self) {
        for stream in self.streams.iter_mut().filter(|stream| !stream.done) {
            stream.finish(DoneReason::Cancelled, &self.events);
        }
        for lane in self.streams.len()..self.job.plans.len() {
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

impl Stream<'_> {
    /// Chooses the next token, sends it and reads it, or ends the lane.
    fn advance(
        &mut self,
        pair: &Pair,
        events: &Events,
        since: Instant,
        counters: &Counters,
    ) -> Result<()> {
        if self.generated >= self.room {
            self.finish(DoneReason::Length, events);
            return Ok(());
        }
        let started = Instant::now();
        let (id, logprob) = self.sampler.sample(&self.logits)?;
        let stop = pair.stops(self.run.model(), id);
        let last = stop || self.generated + 1 >= self.room;
        let mut text = self.decoder.push(id);
        if last {
            text.push_str(&self.decoder.finish());
        }
        let token = TokenEvent {
            lane: self.number,
            index: self.generated,
            id,
            text,
            logprob,
        };
        // A client that has left is noticed at the next turn.
        let _ = events.send(GenerateEvent::Token(token));
        counters.token();
        if self.generated == 0 {
            counters.first_token(since.elapsed().as_secs_f64());
        }
        self.generated += 1;
        if !last {
            self.logits = self.run.step(id)?.last_logits()?;
        }
        let spent = milliseconds(started);
        counters.decoded(spent);
        self.timings.decode_ms += spent;
        if last {
            let reason = if stop {
                DoneReason::Stop
            } else {
                DoneReason::Length
            };
            self.finish(reason, events);
        }
        Ok(())
    }

    /// Sends the lane's last event.
    fn finish(&mut self, reason: DoneReason, events: &Events) {
        self.done = true;
        let done = DoneEvent {
            lane: self.number,
            reason,
            tokens: self.generated,
            timings: self.timings,
        };
        let _ = events.send(GenerateEvent::Done(done));
    }
}

fn milliseconds(since: Instant) -> f64 {
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
