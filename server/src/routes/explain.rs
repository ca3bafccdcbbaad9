//! `POST /api/v1/explain`

use api::{ExplainRequest, ExplainResponse};
use axum::{extract::State, response::IntoResponse};

use super::activations::json;
use crate::{App, extract::Json, problem::Answer};

/// The latents that explain the two models' difference at one token: each moved alone, at this token, into the chat model on base's
/// residual.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    tag = "prompts",
    request_body = ExplainRequest,
    responses(
        (status = 200, description = "The active latents that shift the residual most, and the divergence from the chat model before and after moving each", body = ExplainResponse),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is full, or the models are loading or absent; Retry-After says when to try again", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<ExplainRequest>,
) -> Answer<impl IntoResponse> {
    let engine = app.engine_for(&request.dictionary)?;
    json(engine.explain(request).await?).await
}
