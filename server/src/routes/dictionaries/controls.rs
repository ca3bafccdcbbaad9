//! `GET /api/v1/dictionaries/{dict}/controls`

use api::ControlLatent;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::{Answer, Problem},
};

/// For each chosen latent a random one to compare it with: live, of similar largest activation, and not chosen itself.
///
/// A control is drawn from the 32 latents whose largest activation is nearest in ratio. The same seed draws the same controls.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/controls",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("latents" = String, Query, description = "The chosen latents, separated by commas", example = "3,17"),
        ("seed" = Option<u64>, Query, description = "Which draw, by default 0"),
    ),
    responses(
        (status = 200, description = "One control for each chosen latent, in their order", body = Vec<ControlLatent>),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<Vec<ControlLatent>>> {
    app.check_dictionary(&dict)?;
    let [latents, seed] = parameters.named(["latents", "seed"])?;
    let latents = latents.unwrap_or_default();
    let latents: Vec<u32> = latents
        .split(',')
        .map(|id| {
            let bad = |_| {
                Problem::invalid(format!(
                    "latents holds {id:?}, expected ids separated by commas"
                ))
            };
            id.parse().map_err(bad)
        })
        .collect::<Answer<_>>()?;
    let seed = match seed {
        Some(seed) => seed.parse().map_err(|_| {
            Problem::invalid(format!(
                "seed is {seed:?}, expected a whole number that is not negative"
            ))
        })?,
        None => 0,
    };
    let controls = app
        .ask(move |store| store.controls(&dict, &latents, seed))
        .await?;
    Ok(Json(controls))
}
