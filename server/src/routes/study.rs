//! `GET /api/v1/study`

use api::StudyInfo;
use axum::{
    Json,
    extract::State,
    http::header,
    response::{AppendHeaders, IntoResponse},
};

use crate::{App, caching, extract::Parameters, problem::Answer};

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
    let info = app.info();
    // Besides the data, the state of the models decides the answer.
    let reason = info.models.reason.as_deref().unwrap_or("ready");
    let state = format!("{}-{}", info.revision, caching::digest(reason.as_bytes()));
    let headers = AppendHeaders([(header::ETAG, caching::etag(&state))]);
    Ok((headers, Json(info)))
}
