//! `POST /api/v1/activations`

use api::{ActivationsRequest, ActivationsResponse};
use axum::{extract::State, http::header, response::IntoResponse};

use crate::{
    App,
    extract::Json,
    problem::{Answer, Problem},
};

/// One prompt through both models and one dictionary.
///
/// For every latent, v = base + chat + w_j·b_j where it is active: the halves are what each model's residual puts in.
#[utoipa::path(
    post,
    path = "/api/v1/activations",
    tag = "prompts",
    request_body = ActivationsRequest,
    responses(
        (status = 200, description = "Per token: chosen latents, strongest latents, divergence, next tokens", body = ActivationsResponse),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is full, or the models are loading or absent; Retry-After says when to try again", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<ActivationsRequest>,
) -> Answer<impl IntoResponse> {
    let engine = app.engine_for(&request.dictionary)?;
    let response = engine.activations(request).await?;
    json(response).await
}

/// A possibly large answer as JSON, written on a thread where that may take a while.
pub(crate) async fn json<T: serde::Serialize + Send + 'static>(
    value: T,
) -> Answer<impl IntoResponse> {
    let text = tokio::task::spawn_blocking(move || serde_json::to_vec(&value)).await;
    match text {
        Ok(Ok(text)) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            Ok((kind, text))
        }
        failed => {
            tracing::error!(?failed, "an answer could not be written");
            Err(Problem::internal("the answer could not be written"))
        }
    }
}
