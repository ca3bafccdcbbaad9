//! `GET /api/v1/dictionaries/{dict}/latents/{id}/decoder`

use api::DecoderRows;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments, latent_id},
    problem::Answer,
};

/// A latent's decoder rows, as they act on the residual stream after the study's layer. Read from the dictionary's weights; needs no models.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/latents/{id}/decoder",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("id" = u32, Path, description = "Latent id"),
    ),
    responses(
        (status = 200, description = "The rows", body = DecoderRows),
        (status = "4XX", description = "A problem; 404 also where the dictionary's weights are not on this machine", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments((dict, id)): Segments<(String, String)>,
    parameters: Parameters,
) -> Answer<Json<DecoderRows>> {
    app.check_dictionary(&dict)?;
    parameters.named([])?;
    let id = latent_id(&dict, &id)?;
    Ok(Json(app.decoder_rows(dict, id).await?))
}
