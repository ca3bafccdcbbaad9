//! `GET /api/v1/openapi.json`

use axum::{Json, response::IntoResponse};

use crate::openapi;

/// The description of this interface, generated from its types.
pub(crate) async fn get() -> impl IntoResponse {
    Json(openapi::document())
}
