//! `GET /api/v1/dictionaries/{dict}/effects`

use api::CausalEffects;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::Answer,
};

/// What moving sets of latents from base to chat does to the chat model's predictions, over dialogues under teacher forcing. Without
/// setups where nothing was measured.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/effects",
    tag = "latents",
    params(("dict" = String, Path, description = "Slug of the dictionary")),
    responses(
        (status = 200, description = "The effects", body = CausalEffects),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<CausalEffects>> {
    app.check_dictionary(&dict)?;
    parameters.named([])?;
    let effects = app.ask(move |store| store.effects(&dict)).await?;
    Ok(Json(effects))
}
