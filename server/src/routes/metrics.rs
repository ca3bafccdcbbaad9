//! `GET /metrics`

use axum::{extract::State, http::header, response::IntoResponse};

use crate::{App, metrics};

/// The server's counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((status = 200, description = "Counters", body = String, content_type = "text/plain")))]
pub(crate) async fn get(State(app): State<App>) -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, metrics::text(&app))
}
