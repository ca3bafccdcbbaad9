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

use crate::{App, extract::Json, problem::Answer};

/// A comment is sent after so long without an event, so that nothing between takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Lanes generating side by side, as one stream of server-sent events.
///
/// Events are `meta` (first), `token` (per lane and token, the stop token included), `done` (per lane) and `error` (a problem body, in
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
    let events = UnboundedReceiverStream::new(engine.generate(request).await?);
    let sse = Sse::new(events.map(|event| Ok::<_, Infallible>(encode(&event))))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Reverse proxies that buffer would hold the tokens back.
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, sse))
}

fn encode(event: &GenerateEvent) -> Event {
    let data = match event {
        GenerateEvent::Meta(meta) => serde_json::to_string(meta),
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
