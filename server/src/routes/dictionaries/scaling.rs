//! `GET /api/v1/dictionaries/{dict}/scaling`

use api::ScalingSummary;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::Answer,
};

/// Latent Scaling's ratios over the chat-only latents, as many shared ones, and random directions.
///
/// A group that was not computed is left out. `shared` is a fixed random choice; `random_direction` and `random_latent` hold the
/// ratios of the chat-only and those shared latents when their direction is replaced.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/scaling",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
    ),
    responses(
        (status = 200, description = "The groups", body = ScalingSummary),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<ScalingSummary>> {
    app.check_dictionary(&dict)?;
    parameters.named([])?;
    let summary = app.ask(move |store| store.scaling(&dict)).await?;
    Ok(Json(summary))
}
