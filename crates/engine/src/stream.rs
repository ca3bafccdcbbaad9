//! Lanes' tokens on their way out: each lane chooses and sends its own, then all lanes of a model read theirs in one pass.

use std::{ops::Range, sync::Arc, time::Instant};

use api::{DoneEvent, DoneReason, GenerateEvent, Sampling, Timings, TokenEvent};
use gemma::{Sampler, StreamDecoder};
use rayon::prelude::*;

use crate::{
    Result,
    generate::{Events, milliseconds},
    group::Group,
    metrics::Counters,
    pair::Pair,
};

/// A lane's logits [V] among those of others.
pub(crate) struct Row {
    all: Arc<Vec<f32>>,
    range: Range<usize>,
}

impl Row {
    /// Row `number` of rows of `width`.
    pub(crate) fn of(all: &Arc<Vec<f32>>, number: usize, width: usize) -> Self {
        Self {
            all: Arc::clone(all),
            range: number * width..(number + 1) * width,
        }
    }

    fn logits(&self) -> &[f32] {
        self.all.get(self.range.clone()).unwrap_or_default()
    }
}

/// A lane that goes on.
pub(crate) struct Stream<'a> {
    number: usize,
    /// Tokens that it may generate.
    room: usize,
    logits: Row,
    sampler: Sampler,
    decoder: StreamDecoder<'a>,
    generated: usize,
    timings: Timings,
}

impl<'a> Stream<'a> {
    /// A lane that has read its prompt; `room` is what the context leaves.
    pub(crate) fn new(
        number: usize,
        sampling: &Sampling,
        room: usize,
        logits: Row,
        timings: Timings,
        pair: &'a Pair,
    ) -> Self {
        Self {
            number,
            room: room.min(sampling.max_new_tokens),
            logits,
            sampler: Sampler::new(
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
                sampling.seed,
            ),
            decoder: pair.tokenizer.stream_decoder(),
            generated: 0,
            timings,
        }
    }

    /// Chooses the next token and the logarithm of its probability; `None` where there is no room for one.
    fn choose(&mut self) -> Result<Option<(u32, f32)>> {
        if self.generated >= self.room {
            return Ok(None);
        }
        Ok(Some(self.sampler.sample(self.logits.logits())?))
    }

    /// Sends a chosen token; says why it is the last, where it is.
    fn send(
        &mut self,
        (id, logprob): (u32, f32),
        stops: impl Fn(u32) -> bool,
        events: &Events,
    ) -> Option<DoneReason> {
        self.generated += 1;
        let last = if stops(id) {
            Some(DoneReason::Stop)
        } else {
            (self.generated >= self.room).then_some(DoneReason::Length)
        };
        let mut text = self.decoder.push(id);
        if last.is_some() {
            text.push_str(&self.decoder.finish());
        }
        let token = TokenEvent {
            lane: self.number,
            index: self.generated - 1,
            id,
            text,
            logprob,
        };
        // A client that has left is noticed at the next turn.
        let _ = events.send(GenerateEvent::Token(token));
        last
    }

    /// Sends the lane's last event.
    pub(crate) fn finish(self, reason: DoneReason, events: &Events) {
        let done = DoneEvent {
            lane: self.number,
            reason,
            tokens: self.generated,
            timings: self.timings,
        };
        let _ = events.send(GenerateEvent::Done(done));
    }
}

/// The lanes of one model that go on.
pub(crate) struct Party<'a> {
    pub group: Group<'a>,
    /// By number.
    pub streams: Vec<Stream<'a>>,
}

impl<'a> Party<'a> {
    /// A party whose lanes have yet to join.
    pub(crate) fn new(group: Group<'a>) -> Self {
        Self {
            group,
            streams: Vec::new(),
        }
    }

    /// Takes in a lane of the group that has read its prompt.
    pub(crate) fn join(&mut self, stream: Stream<'a>) {
        self.streams.push(stream);
        self.streams.sort_by_key(|stream| stream.number);
    }

    /// Generates one token of every lane; says whether some lane goes on.
    pub(crate) fn advance(
        &mut self,
        pair: &Pair,
        events: &Events,
        since: Instant,
        counters: &Counters,
    ) -> Result<bool> {
        let started = Instant::now();
        let model = self.group.model();
        let mut ids: Vec<(usize, u32)> = Vec::with_capacity(self.streams.len());
        let mut on = Vec::with_capacity(self.streams.len());
        let streams = self.streams.par_iter_mut();
        let chosen: Vec<_> = streams.map(Stream::choose).collect::<Result<_>>()?;
        for (mut stream, chosen) in std::mem::take(&mut self.streams).into_iter().zip(chosen) {
            let last = if let Some(chosen) = chosen {
                let last = stream.send(chosen, |id| pair.stops(model, id), events);
                counters.token();
                if stream.generated == 1 {
                    counters.first_token(since.elapsed().as_secs_f64());
                }
                ids.push((stream.number, chosen.0));
                last
            } else {
                Some(DoneReason::Length)
            };
            let Some(reason) = last else {
                on.push(stream);
                continue;
            };
            self.group.remove(stream.number)?;
            stream.timings.decode_ms += milliseconds(started);
            stream.finish(reason, events);
        }
        self.streams = on;
        self.read(&ids)?;
        let spent = milliseconds(started);
        counters.decoded(spent);
        for stream in &mut self.streams {
            stream.timings.decode_ms += spent;
        }
        Ok(!self.streams.is_empty())
    }

    /// Reads the tokens of the lanes that go on.
    fn read(&mut self, chosen: &[(usize, u32)]) -> Result<()> {
        let order: Vec<usize> = self.group.numbers().collect();
        if order.is_empty() {
            return Ok(());
        }
        let of = |lane: &usize| chosen.iter().find(|(number, _)| number == lane);
        let ids: Vec<u32> = order.iter().filter_map(of).map(|(_, id)| *id).collect();
        let logits = Arc::new(self.group.step(&ids)?);
        let width = logits.len() / order.len();
        for stream in &mut self.streams {
            if let Some(row) = order.iter().position(|lane| *lane == stream.number) {
                stream.logits = Row::of(&logits, row, width);
            }
        }
        Ok(())
    }
}
