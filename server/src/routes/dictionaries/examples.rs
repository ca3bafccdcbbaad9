//! `GET /api/v1/dictionaries/{dict}/latents/{id}/examples`

use api::ExamplesPage;
use axum::{Json, extract::State};

use crate::{
    App,
    extract::{Parameters, Segments, latent_id},
    problem::{Answer, Problem},
};

/// Sequences on which a latent fires, strongest first.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/latents/{id}/examples",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("id" = u32, Path, description = "Latent id"),
        ("group" = Option<u32>, Query, description = "Quantile group, 0 (weakest) to 5; unset: all"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<usize>, Query, description = "Examples of the page"),
        ("source" = Option<String>, Query, description = "Only examples whose source begins with this, for instance a corpus file's name"),
        ("sequences" = Option<String>, Query, description = "Instead of a page: the examples that are these sequences, separated by commas", example = "7,19"),
    ),
    responses(
        (status = 200, description = "A page of examples", body = ExamplesPage),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments((dict, id)): Segments<(String, String)>,
    parameters: Parameters,
) -> Answer<Json<ExamplesPage>> {
    app.check_dictionary(&dict)?;
    let id = latent_id(&dict, &id)?;
    let [group, cursor, limit, source, sequences] =
        parameters.named(["group", "cursor", "limit", "source", "sequences"])?;
    if let Some(sequences) = sequences {
        if group.or(cursor).or(limit).or(source).is_some() {
            return Err(Problem::invalid(
                "sequences stands instead of group, cursor, limit and source; leave these out",
            ));
        }
        let sequences = sequences.split(',').map(|s| whole("sequences", s));
        let sequences: Vec<u64> = sequences.collect::<Answer<_>>()?;
        let page = app
            .ask_of_latent(dict, id, move |store, dict| {
                store.examples_on(dict, id, &sequences)
            })
            .await?;
        return Ok(Json(page));
    }
    let group = group.map(|g| whole("group", g)).transpose()?;
    let limit = limit.map(|l| whole("limit", l)).transpose()?;
    let cursor = cursor.map(str::to_owned);
    let source = source.map(str::to_owned);
    let page = app
        .ask_of_latent(dict, id, move |store, dict| {
            store.examples_from(dict, id, group, cursor.as_deref(), limit, source.as_deref())
        })
        .await?;
    Ok(Json(page))
}

fn whole<T: std::str::FromStr>(name: &str, text: &str) -> Answer<T> {
    text.parse()
        .map_err(|_| Problem::invalid(format!("{name} is {text:?}, expected a whole number")))
}
