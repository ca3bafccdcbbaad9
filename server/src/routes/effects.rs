//! `POST /api/v1/effects`

use api::{EffectsRequest, EffectsResponse};
use axum::{extract::State, response::IntoResponse};

use super::activations::json;
use crate::{App, extract::Json, problem::Answer};

/// Lanes under teacher forcing: what their edits do to the prediction at every position of a prompt.
#[utoipa::path(
    post,
    path = "/api/v1/effects",
    tag = "prompts",
    request_body = EffectsRequest,
    responses(
        (status = 200, description = "Per lane and position: divergence from both unedited models, most probable next tokens", body = EffectsResponse),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is full, or the models are loading or absent; Retry-After says when to try again", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<EffectsRequest>,
) -> Answer<impl IntoResponse> {
    let engine = app.engine_for(&request.dictionary)?;
    json(engine.effects(request).await?).await
}
