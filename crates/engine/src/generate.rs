//! Lanes generating side by side, token by token, into one stream.

use std::time::Instant;

use api::{
    DoneEvent, DoneReason, GenerateEvent, GenerateRequest, MetaEvent, MetaLane, Sampling, Timings,
    TokenEvent,
};
use gemma::{Sampler, StreamDecoder};
use tokio::sync::mpsc;

use crate::{
    Error, Result,
    lane::{LaneRun, Prefill},
    metrics::Counters,
    pair::Pair,
    plan::{Extent, Plan},
    prompt,
};

/// Where a stream's events go. It is unbounded so that a slow reader never holds up the worker; a stream has at most
/// lanes × (max_new_tokens + 1) + 1 events.
pub(crate) type Events = mpsc::UnboundedSender<GenerateEvent>;

/// A request that can be served.
pub(crate) struct GenerateJob {
    dictionary: String,
    ids: Vec<u32>,
    plans: Vec<Plan>,
    sampling: Sampling,
    /// Tokens that each lane may generate before the context is full.
    room: usize,
}

/// Why the lanes stop early.
struct Gone;

/// A lane and what has come of it.
struct Stream<'a> {
    number: usize,
    run: LaneRun<'a>,
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
    /// [`Error::UnknownDictionary`], [`Error::NotBuilt`], or [`Error::Invalid`] for a bad prompt, sampling or intervention.
    pub(crate) fn new(request: &GenerateRequest, pair: &Pair) -> Result<Self> {
        let dictionary = pair.dictionary(&request.dictionary)?;
        pair.check_lanes(&request.lanes)?;
        check_sampling(&request.sampling, pair.limits.new_tokens)?;
        let ids = pair.encode(&request.prompt)?;
        let room = request
            .sampling
            .max_new_tokens
            .min(pair.context.saturating_sub(ids.len()));
        let extent = Extent {
            prompt: ids.len(),
            new: request.sampling.max_new_tokens,
        };
        let plans = request
            .lanes
            .iter()
            .map(|lane| Plan::new(lane, dictionary, extent))
            .collect::<Result<_>>()?;
        Ok(Self {
            dictionary: request.dictionary.clone(),
            ids,
            plans,
            sampling: request.sampling,
            room,
        })
    }

    /// The stream's first event.
    pub(crate) fn meta(&self, pair: &Pair) -> GenerateEvent {
        GenerateEvent::Meta(MetaEvent {
            tokens: prompt::describe(&self.ids, &pair.tokenizer),
            lanes: (0..)
                .zip(&self.plans)
                .map(|(lane, plan)| MetaLane {
                    lane,
                    model: plan.model,
                })
                .collect(),
        })
    }

    /// Generates until every lane is done, the client has gone, or `stopping` says that the server ends.
    pub(crate) fn run(
        &self,
        pair: &Pair,
        events: &Events,
        queued: Instant,
        counters: &Counters,
        stopping: &dyn Fn() -> bool,
    ) -> Result<()> {
        let queue_ms = milliseconds(queued);
        let dictionary = pair.dictionary(&self.dictionary)?;
        let started = Instant::now();
        let capacity = self.ids.len() + self.room;
        let mut prefill = Prefill::run(pair, &self.ids, &self.plans, capacity)?;
        let shared_ms = milliseconds(started);
        let mut streams = Vec::with_capacity(self.plans.len());
        for (number, plan) in self.plans.iter().enumerate() {
            if events.is_closed() {
                return Ok(());
            }
            let started = Instant::now();
            let (run, hidden) = LaneRun::start(pair, dictionary, plan, &mut prefill, &self.ids)?;
            streams.push(Stream {
                number,
                run,
                logits: hidden.last_logits()?,
                sampler: Sampler::new(
                    self.sampling.temperature,
                    self.sampling.top_p,
                    self.sampling.seed,
                ),
                decoder: pair.tokenizer.stream_decoder(),
                generated: 0,
                timings: Timings {
                    queue_ms,
                    prefill_ms: shared_ms + milliseconds(started),
                    decode_ms: 0.0,
                },
                done: false,
            });
        }
        drop(prefill);
        while streams.iter().any(|stream| !stream.done) {
            for stream in streams.iter_mut().filter(|stream| !stream.done) {
                if stopping() {
                    let _ = stream.finish(DoneReason::Cancelled, events);
                } else if stream
                    .advance(self, pair, events, queued, counters)?
                    .is_err()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Stream<'_> {
    /// Chooses the next token, sends it and reads it, or ends the lane. The inner error says that nobody listens any more.
    fn advance(
        &mut self,
        job: &GenerateJob,
        pair: &Pair,
        events: &Events,
        queued: Instant,
        counters: &Counters,
    ) -> Result<std::result::Result<(), Gone>> {
        if self.generated >= job.room {
            return Ok(self.finish(DoneReason::Length, events));
        }
        let started = Instant::now();
        let (id, logprob) = self.sampler.sample(&self.logits)?;
        let stop = pair.stops(self.run.model(), id);
        let last = stop || self.generated + 1 >= job.room;
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
        if events.send(GenerateEvent::Token(token)).is_err() {
            return Ok(Err(Gone));
        }
        counters.token();
        if self.generated == 0 {
            counters.first_token(queued.elapsed().as_secs_f64());
        }
        self.generated += 1;
        if last {
            self.timings.decode_ms += milliseconds(started);
            let reason = if stop {
                DoneReason::Stop
            } else {
                DoneReason::Length
            };
            return Ok(self.finish(reason, events));
        }
        self.logits = self.run.step(id)?.last_logits()?;
        self.timings.decode_ms += milliseconds(started);
        Ok(Ok(()))
    }

    /// Sends the lane's last event.
    fn finish(&mut self, reason: DoneReason, events: &Events) -> std::result::Result<(), Gone> {
        self.done = true;
        let done = DoneEvent {
            lane: self.number,
            reason,
            tokens: self.generated,
            timings: self.timings,
        };
        events.send(GenerateEvent::Done(done)).map_err(|_| Gone)
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
