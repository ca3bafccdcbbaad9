//! `POST /api/v1/generate`

use std::{convert::Infallible, time::Duration};

use api::{GenerateEvent, GenerateRequest};
use axum::{
    extract::State,
    http::header,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};

use crate::{
    App,
    extract::Json,
    problem::Answer,
    runs::{Generation, Runs},
    transcript::Transcript,
};

/// A comment is sent after so long without an event, so that nothing between takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Lanes generating side by side, as one stream of server-sent events.
///
/// Events are `meta` (first), `queued` (the place in line, while others are served first), `token` (per lane and token, the stop token included), `done` (per lane) and `error` (a problem body, in
/// place of the rest). Each has one line of JSON as its data. Closing the stream ends the generation.
#[utoipa::path(
    post,
    path = "/api/v1/generate",
    tag = "prompts",
    request_body = GenerateRequest,
    responses(
        (status = 200, description = "A stream of events", content(
            (api::MetaEvent = "text/event-stream"),
        )),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is full, or the models are loading or absent; Retry-After says when to try again", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<GenerateRequest>,
) -> Answer<impl IntoResponse> {
    let engine = app.engine_for(&request.dictionary)?;
    let mut recorder = Recorder::new(app.runs().clone(), request.clone());
    let events = UnboundedReceiverStream::new(engine.generate(request).await?);
    let sse = Sse::new(events.map(move |event| {
        recorder.hear(&event);
        Ok::<_, Infallible>(encode(&event))
    }))
    .keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Reverse proxies that buffer would hold the tokens back.
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, sse))
}

/// Listens in on a stream, so that a run that is saved afterwards need not be computed again.
struct Recorder {
    runs: Runs,
    request: GenerateRequest,
    generation: Option<Generation>,
    transcript: Transcript,
}

impl Recorder {
    fn new(runs: Runs, request: GenerateRequest) -> Self {
        Self {
            transcript: Transcript::new(request.lanes.len()),
            runs,
            request,
            generation: None,
        }
    }

    fn hear(&mut self, event: &GenerateEvent) {
        if let GenerateEvent::Meta(meta) = event {
            self.generation = Some(Generation::new(&self.request, &meta.tokens));
        }
        self.transcript.hear(event);
        if matches!(event, GenerateEvent::Done(_))
            && let Some(outputs) = self.transcript.whole()
            && let Some(generation) = self.generation.take()
        {
            self.runs.remember(generation, outputs);
        }
    }
}

fn encode(event: &GenerateEvent) -> Event {
    let data = match event {
        GenerateEvent::Meta(meta) => serde_json::to_string(meta),
        GenerateEvent::Queued(queued) => serde_json::to_string(queued),
        GenerateEvent::Token(token) => serde_json::to_string(token),
        GenerateEvent::Done(done) => serde_json::to_string(done),
        GenerateEvent::Error(problem) => serde_json::to_string(problem),
    };
    let event = Event::default().event(event.name());
    match data {
        Ok(data) => event.data(data),
        Err(error) => event.comment(error.to_string()),
    }
}
