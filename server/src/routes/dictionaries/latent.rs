//! `GET /api/v1/dictionaries/{dict}/latents/{id}`

use api::LatentDetail;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments, latent_id},
    problem::Answer,
};

/// Everything of a latent but its examples.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/latents/{id}",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("id" = u32, Path, description = "Latent id"),
    ),
    responses(
        (status = 200, description = "The latent", body = LatentDetail),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments((dict, id)): Segments<(String, String)>,
    parameters: Parameters,
) -> Answer<Json<LatentDetail>> {
    app.check_dictionary(&dict)?;
    parameters.named([])?;
    let id = latent_id(&dict, &id)?;
    let detail = app
        .ask_of_latent(dict, id, move |store, dict| store.latent(dict, id))
        .await?;
    Ok(Json(detail))
}
