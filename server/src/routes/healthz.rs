//! `GET /healthz`

use axum::{Json, response::IntoResponse};
use serde_json::json;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, description = "The process answers", body = serde_json::Value)))]
pub(crate) async fn get() -> impl IntoResponse {
    Json(json!({"status": "ok"}))
}
