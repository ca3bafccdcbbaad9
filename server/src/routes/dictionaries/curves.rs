//! `GET /api/v1/dictionaries/{dict}/curves`

use api::TrainingCurves;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::Answer,
};

/// Numbers logged while the dictionary was trained: on training batches (`train/…`) and on held-out tokens (`val/…`).
///
/// Empty for a dictionary that was trained elsewhere. Long runs are thinned to a few hundred steps; validations all stay.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/curves",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
    ),
    responses(
        (status = 200, description = "The curves", body = TrainingCurves),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<TrainingCurves>> {
    app.check_dictionary(&dict)?;
    parameters.named([])?;
    let curves = app.ask(move |store| store.curves(&dict)).await?;
    Ok(Json(curves))
}
