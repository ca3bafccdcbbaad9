//! `GET /api/v1/dictionaries/{dict}/matches`

use api::MatchesPage;
use axum::{Json, extract::State};
use store::MatchQuery;

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::{Answer, Problem},
};

/// Latents beside the nearest ones of another dictionary, by cosine of the decoder rows as they act on the residual stream.
///
/// Every filter of `/latents` applies to the dictionary's own latents. `computed` says why there are no rows where the nearest latents are
/// not known.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/matches",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("with" = String, Query, description = "Slug of the other dictionary"),
        ("by" = Option<api::MatchBy>, Query, description = "`both`: the base row with the chat row behind it; `chat`: the chat row alone. By default both"),
        ("min_match_cosine" = Option<f64>, Query, description = "Least cosine, inclusive"),
        ("max_match_cosine" = Option<f64>, Query, description = "Largest cosine, inclusive; latents without a match pass"),
        ("class" = Option<String>, Query, description = "Classes to keep, separated by commas; likewise every other filter of `/latents`"),
        ("sort" = Option<String>, Query, description = "`match_cosine`, `-match_cosine`, or columns as in `/latents`", example = "-match_cosine"),
        ("offset" = Option<usize>, Query, description = "Rows of the order to pass over"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Rows of the page, by default 100"),
    ),
    responses(
        (status = 200, description = "A page of rows", body = MatchesPage),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<Json<MatchesPage>> {
    app.check_dictionary(&dict)?;
    let ([with], others) = parameters.besides(["with"]);
    let with = with.ok_or_else(|| {
        Problem::invalid("with is missing; give the slug of another dictionary of the study")
    })?;
    app.check_dictionary(with)?;
    let query = MatchQuery::from_parameters(others)?;
    let with = with.to_owned();
    let page = app
        .ask(move |store| store.matches(&dict, &with, &query))
        .await?;
    Ok(Json(page))
}
