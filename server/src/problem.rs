//! Error answers: `application/problem+json` (RFC 9457) for every 4xx and 5xx.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Seconds after which a client may try again when the server is busy.
const RETRY_BUSY: u64 = 1;
/// … when the models are loading, or absent and perhaps back after a restart.
const RETRY_LOADING: u64 = 2;
const RETRY_ABSENT: u64 = 60;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub body: api::Problem,
    /// Seconds for `Retry-After`, with 429 and 503.
    pub retry_after: Option<u64>,
}

/// Result of a handler.
pub(crate) type Answer<T> = Result<T, Problem>;

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            body: api::Problem {
                kind: format!("/problems/{kind}"),
                title: title.into(),
                status: status.as_u16(),
                detail: detail.into(),
            },
            retry_after: None,
        }
    }

    fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 400: the body is not JSON.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        let title = "The request is malformed";
        Self::new(StatusCode::BAD_REQUEST, "malformed", title, detail)
    }

    /// 404: no such route.
    pub(crate) fn unknown_route(path: &str) -> Self {
        let detail =
            format!("there is nothing at {path}; /api/v1/openapi.json describes the routes");
        let title = "No such route";
        Self::new(StatusCode::NOT_FOUND, "unknown-route", title, detail)
    }

    /// 404: no such dictionary.
    pub(crate) fn unknown_dictionary(detail: impl Into<String>) -> Self {
        let title = "No such dictionary";
        Self::new(StatusCode::NOT_FOUND, "unknown-dictionary", title, detail)
    }

    /// 404: no such latent.
    pub(crate) fn unknown_latent(detail: impl Into<String>) -> Self {
        let title = "No such latent";
        Self::new(StatusCode::NOT_FOUND, "unknown-latent", title, detail)
    }

    /// 404: nobody held the dictionary against ground truth.
    pub(crate) fn no_truth(detail: impl Into<String>) -> Self {
        let title = "There is no ground truth";
        Self::new(StatusCode::NOT_FOUND, "no-truth", title, detail)
    }

    /// 404: the dictionary's weights are not on this machine.
    pub(crate) fn no_weights(slug: &str) -> Self {
        let title = "The weights are not here";
        let detail = format!(
            "the weights of dictionary {slug} are not on this machine, which shows what was analysed elsewhere; put them where \
             study.toml says and start the server again"
        );
        Self::new(StatusCode::NOT_FOUND, "no-weights", title, detail)
    }

    /// 404: no such run.
    pub(crate) fn unknown_run(detail: impl Into<String>) -> Self {
        let title = "No such run";
        Self::new(StatusCode::NOT_FOUND, "unknown-run", title, detail)
    }

    /// 507: a run cannot be kept.
    pub(crate) fn not_kept(detail: impl Into<String>) -> Self {
        let title = "The run cannot be kept";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "not-kept", title, detail)
    }

    /// 405: the route has other methods.
    pub(crate) fn method_not_allowed(method: &str, path: &str) -> Self {
        let detail = format!("{path} does not take {method}; the Allow header names what it takes");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            detail,
        )
    }

    /// 408: the body did not arrive in time.
    pub(crate) fn slow_body() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "The body did not arrive in time",
            "the request's body took too long to arrive; send it again",
        )
    }

    /// 413: the body is too large.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            format!(
                "the request's body is over {limit} bytes; send a shorter prompt or fewer lanes"
            ),
        )
    }

    /// 415: the body is not declared as JSON.
    pub(crate) fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body is not JSON",
            "send the body as JSON, with the header Content-Type: application/json",
        )
    }

    /// 422: a value that cannot be used.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        let title = "A value cannot be used";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", title, detail)
    }

    /// 429: this client asks for more than the server gives one client.
    pub(crate) fn too_many(detail: impl Into<String>, wait: Duration) -> Self {
        let title = "Too many requests";
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", title, detail).retry(seconds)
    }

    /// 500: a fault of ours. The detail is for the reader; what lies behind it is in the log.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        let title = "The server failed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, detail)
    }

    /// 503: this server has no models.
    pub(crate) fn no_models(reason: &str) -> Self {
        Self::unavailable("no-models", "There are no models", reason).retry(RETRY_ABSENT)
    }

    fn unavailable(kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail)
    }
}

impl From<&engine::Error> for Problem {
    fn from(error: &engine::Error) -> Self {
        use engine::Error as E;
        let detail = error.to_string();
        match error {
            E::Invalid(_) => Self::invalid(detail),
            E::UnknownDictionary { .. } => Self::unknown_dictionary(detail),
            E::Busy { .. } => {
                Self::unavailable("busy", "The queue is full", detail).retry(RETRY_BUSY)
            }
            E::Loading { .. } => {
                Self::unavailable("loading", "The models are loading", detail).retry(RETRY_LOADING)
            }
            E::Failed(_) => {
                Self::unavailable("no-models", "The models could not be loaded", detail)
                    .retry(RETRY_ABSENT)
            }
            // Nobody is there to read of an abandoned one.
            E::Stopping | E::Abandoned => {
                Self::unavailable("stopping", "The server is ending", detail).retry(RETRY_LOADING)
            }
            E::DeviceMemory(_) => {
                Self::unavailable("device-memory", "The GPU has no memory left", detail)
                    .retry(RETRY_LOADING)
            }
            E::Check(_)
            | E::Memory { .. }
            | E::Computation(_)
            | E::Gemma(_)
            | E::Crosscoder(_)
            | E::Tensor(_) => Self::internal(detail),
        }
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        Self::from(&error)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let detail = error.to_string();
        match error {
            store::Error::UnknownDictionary { .. } => Self::unknown_dictionary(detail),
            store::Error::UnknownLatent { .. } => Self::unknown_latent(detail),
            store::Error::NoTruth { .. } => Self::no_truth(detail),
            store::Error::UnknownRun { .. } => Self::unknown_run(detail),
            store::Error::Runs { .. } | store::Error::RunsFull { .. } => Self::not_kept(detail),
            // Only saved runs are written while a server runs, and another server has them open.
            store::Error::Busy { .. } => {
                Self::unavailable("runs-busy", "The saved runs are in use", detail)
                    .retry(RETRY_LOADING)
            }
            store::Error::Invalid(_) => Self::invalid(detail),
            other => {
                tracing::error!(error = %other, "the study could not be read");
                Self::internal(detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        with_headers((status, Json(self.body)).into_response(), self.retry_after)
    }
}

/// Marks an answer as a problem body.
pub(crate) fn with_headers(mut response: Response, retry_after: Option<u64>) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
