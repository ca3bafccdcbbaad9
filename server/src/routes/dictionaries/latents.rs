//! `GET /api/v1/dictionaries/{dict}/latents`

use api::LatentsPage;
use axum::{Json, extract::State};
use store::LatentQuery;

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::Answer,
};

/// A page of the latents that match a filter.
///
/// `min_<column>` and `max_<column>` bound any numeric column of a row, inclusive; rows that lack the value fall out.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/latents",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("class" = Option<String>, Query, description = "Classes to keep, separated by commas"),
        ("verdict" = Option<String>, Query, description = "Verdicts to keep, separated by commas"),
        ("dead" = Option<bool>, Query, description = "Dead latents alone, or live ones alone"),
        ("q" = Option<String>, Query, description = "An id, a part of a label or of a token in the latent's examples"),
        ("min_delta_norm" = Option<f64>, Query, description = "Least Δ_norm; likewise min_ and max_ with any numeric column"),
        ("lasso" = Option<String>, Query, description = "A polygon on two numeric columns: their names, with `:log` or `:symlog` behind one whose axis is not linear, then its corners as pairs of places on the axes", example = "nu_epsilon,nu_r,0,0,0.2,0,0.2,0.5"),
        ("sort" = Option<String>, Query, description = "Columns separated by commas, `-` before a falling one; unknown values come last", example = "-nu_epsilon,id"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("offset" = Option<usize>, Query, description = "Rows of the order to pass over"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Rows of the page, by default 100"),
    ),
    responses(
        (status = 200, description = "A page of rows", body = LatentsPage),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<LatentsPage>> {
    app.check_dictionary(&dict)?;
    let query = LatentQuery::from_parameters(parameters.pairs())?;
    let page = app.ask(move |store| store.latents(&dict, &query)).await?;
    Ok(Json(page))
}
