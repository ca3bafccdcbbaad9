//! `GET /api/v1/dictionaries/{dict}/truth`

use api::GroundTruth;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::Answer,
};

/// A dictionary held against the truth, for a pair whose prompts were written with their concepts: what both models do, which latents
/// tell which concept, what steering by them does, and how much of it depends on the dictionary's seed.
///
/// 404 for every other study.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/truth",
    tag = "latents",
    params(("dict" = String, Path, description = "Slug of the dictionary")),
    responses(
        (status = 200, description = "The truth", body = GroundTruth),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<GroundTruth>> {
    app.check_dictionary(&dict)?;
    parameters.named([])?;
    let truth = app.ask(move |store| store.truth(&dict)).await?;
    Ok(Json(truth))
}
