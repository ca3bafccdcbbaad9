//! Running the lanes: one stream for both, stoppable, run again when the address says so.

use api::{
    DictionaryInfo, DoneEvent, DoneReason, GenerateRequest, Problem, QueuedEvent, TokenEvent,
    TokenInfo,
};
use leptos::{prelude::*, web_sys::AbortController};

use crate::parts::signal::{Memo, RwSignal};
use crate::{
    explorer::explorer,
    net::{
        answer::{self, Answer},
        fault::Fault,
        fetch,
        json::Json,
        request::Request,
        sse::Event,
        stream,
    },
    state::lab::LabState,
};

/// Lanes of the page: the plain one, the steered one and its control.
const LANES: usize = 3;

/// What a lane has said so far.
#[derive(Clone, Copy)]
pub(super) struct Output {
    /// Its tokens.
    pub(super) tokens: RwSignal<Vec<TokenEvent>>,
    /// Why and when it ended.
    pub(super) done: RwSignal<Option<DoneEvent>>,
}

/// The generation under way, or the last one.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Plain, steered, control.
    pub(super) outputs: [Output; LANES],
    /// The stream is open.
    pub(super) busy: RwSignal<bool>,
    /// Why it gave nothing.
    pub(super) fault: RwSignal<Option<Fault>>,
    /// Place in line, while others are served first; 0 for none.
    pub(super) place: RwSignal<usize>,
    /// Ids of the prompt's tokens.
    pub(super) prompt: RwSignal<Vec<u32>>,
    /// What was asked.
    pub(super) asked: RwSignal<Option<GenerateRequest>>,
    controller: StoredValue<Option<AbortController>, LocalStorage>,
    wish: RwSignal<u32>,
}

impl Run {
    /// Follows the address: a link with `run=1` runs as soon as the models are there.
    pub(super) fn new(url: Memo<LabState>, dictionary: Memo<Option<DictionaryInfo>>) -> Self {
        let output = || Output {
            tokens: RwSignal::new(Vec::new()),
            done: RwSignal::new(None),
        };
        let run = Self {
            outputs: [output(), output(), output()],
            busy: RwSignal::new(false),
            fault: RwSignal::new(None),
            place: RwSignal::new(0),
            prompt: RwSignal::new(Vec::new()),
            asked: RwSignal::new(None),
            controller: StoredValue::new_local(None),
            wish: RwSignal::new(0),
        };
        let ready = explorer().ready;
        Effect::new(move |before: Option<u32>| {
            let wish = run.wish.get();
            let slug = dictionary.read().as_ref().map(|d| d.slug.clone());
            let state = url.get();
            let request = slug
                .and_then(|slug| state.generate(&slug))
                .filter(|_| state.run && ready.get());
            if let Some(request) = request {
                let wished = before.is_some_and(|before| before != wish);
                if wished || run.asked.read_untracked().as_ref() != Some(&request) {
                    run.start(request);
                }
            }
            wish
        });
        on_cleanup(move || run.abort());
        run
    }

    /// Runs what the address says even if it has just been run.
    pub(super) fn again(self) {
        self.wish.update(|n| *n += 1);
    }

    /// Ends the stream; what came stays.
    pub(super) fn stop(self) {
        self.abort();
        self.busy.set(false);
        for (lane, output) in self.outputs.iter().enumerate() {
            if output.done.read_untracked().is_none() {
                let tokens = output.tokens.read_untracked().len();
                let timings = api::Timings::default();
                output.done.set(Some(DoneEvent {
                    lane,
                    reason: DoneReason::Cancelled,
                    tokens,
                    timings,
                }));
            }
        }
        explorer().announce("Generation stopped.");
    }

    fn abort(self) {
        if let Some(controller) = self.controller.try_update_value(Option::take).flatten() {
            controller.abort();
        }
    }

    fn start(self, request: GenerateRequest) {
        self.abort();
        let Some(controller) = fetch::controller() else {
            return;
        };
        let signal = controller.signal();
        self.controller.set_value(Some(controller));
        self.fault.set(None);
        self.busy.set(true);
        self.place.set(0);
        let lanes = request.lanes.len();
        for output in self.outputs {
            output.tokens.set(Vec::new());
            output.done.set(None);
        }
        let sent = Request::generate(&request);
        self.asked.set(Some(request));
        let explorer = explorer();
        explorer.announce("Generating.");
        fetch::start(async move {
            let ended = stream::events(&sent, &signal, |event| {
                if !signal.aborted() {
                    self.take(&event);
                }
            })
            .await;
            if signal.aborted() {
                return;
            }
            self.busy.set(false);
            let finished = self
                .outputs
                .iter()
                .take(lanes)
                .all(|output| output.done.read_untracked().is_some());
            let fault = match ended {
                Err(fault) => Some(fault),
                Ok(()) if !finished && self.fault.read_untracked().is_none() => Some(
                    Fault::Garbled("The stream ended before its lanes did.".into()),
                ),
                Ok(()) => None,
            };
            if fault.is_some() {
                self.fault.set(fault);
            }
            explorer.announce("Generation ended.");
        });
    }

    fn take(self, event: &Event) {
        let taken = match event.name.as_str() {
            "meta" => {
                let json = Json::parse(event.data.as_bytes()).unwrap_or(Json::Null);
                let tokens: Result<Vec<TokenInfo>, _> = answer::field(&json, "tokens");
                let tokens = tokens.map_err(|field| Fault::Garbled(field.into()));
                tokens.map(|tokens| {
                    let ids = tokens.into_iter().map(|token| token.id);
                    self.prompt.set(ids.collect());
                })
            }
            "queued" => read::<QueuedEvent>(event).map(|queued| self.place.set(queued.position)),
            "token" => read::<TokenEvent>(event).map(|token| {
                self.place.set(0);
                if let Some(output) = self.outputs.get(token.lane) {
                    output.tokens.update(|tokens| tokens.push(token));
                }
            }),
            "done" => read::<DoneEvent>(event).map(|done| {
                if let Some(output) = self.outputs.get(done.lane) {
                    output.done.set(Some(done));
                }
            }),
            "error" => {
                read::<Problem>(event).map(|problem| self.fault.set(Some(Fault::Problem(problem))))
            }
            _ => Ok(()),
        };
        if let Err(fault) = taken {
            self.fault.set(Some(fault));
        }
    }
}

fn read<T: Answer>(event: &Event) -> Result<T, Fault> {
    answer::read(event.data.as_bytes()).map_err(Fault::Garbled)
}
