//! `GET /readyz`

use api::{Readiness, ReadyState};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    App,
    problem::{self, Problem},
};

/// A problem body with the state of the models as extension members.
#[derive(Serialize)]
struct NotReady {
    #[serde(flatten)]
    problem: api::Problem,
    #[serde(flatten)]
    readiness: Extension,
}

#[derive(Serialize)]
struct Extension {
    state: ReadyState,
    fraction: f32,
}

/// Whether prompts can be run, or never will be.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    responses(
        (status = 200, description = "Ready, or serving without models", body = Readiness),
        (status = 503, description = "Loading, or loading failed: a problem body with `state` and `fraction` beside its own members", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(State(app): State<App>) -> Response {
    let readiness = app.readiness();
    let error = match readiness.state {
        ReadyState::Ready | ReadyState::BrowseOnly => {
            let mut response = Json(readiness).into_response();
            let none = HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, none);
            return response;
        }
        ReadyState::Loading => engine::Error::Loading {
            fraction: readiness.fraction,
        },
        ReadyState::Failed => engine::Error::Failed(readiness.detail.unwrap_or_default()),
    };
    let Problem { body, retry_after } = Problem::from(&error);
    let not_ready = NotReady {
        problem: body,
        readiness: Extension {
            state: readiness.state,
            fraction: readiness.fraction,
        },
    };
    let response = (StatusCode::SERVICE_UNAVAILABLE, Json(not_ready)).into_response();
    problem::with_headers(response, retry_after)
}
