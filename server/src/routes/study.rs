//! `GET /api/v1/study`

use api::StudyInfo;
use axum::{extract::State, http::header, response::IntoResponse};

use crate::{
    App, caching,
    extract::Parameters,
    problem::{Answer, Problem},
};

/// What is loaded, what is available and why not.
#[utoipa::path(
    get,
    path = "/api/v1/study",
    tag = "study",
    responses(
        (status = 200, description = "The study", body = StudyInfo),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    parameters: Parameters,
) -> Answer<impl IntoResponse> {
    parameters.named([])?;
    // Besides the data, the manifest and the state of the models decide the answer.
    let text = serde_json::to_vec(&app.info()).map_err(|error| {
        tracing::error!(%error, "the study could not be written");
        Problem::internal("the study could not be written")
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::ETAG, caching::etag(&caching::digest(&text))),
    ];
    Ok((headers, text))
}
