//! `GET /api/v1/dictionaries/{dict}/latents/export`

use axum::{extract::State, http::header, response::IntoResponse};
use store::{ExportFormat, LatentQuery};

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::{Answer, Problem},
};

/// Every latent that matches the filters of `/latents`, as a file.
///
/// The columns are those of a latent's row, in its order; numbers are never rounded, and the rows come in the order of `sort`.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/latents/export",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("format" = String, Query, description = "`csv`, `json` or `parquet`"),
        ("class" = Option<String>, Query, description = "Classes to keep, separated by commas; likewise every other filter of `/latents`, and `sort`"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<impl IntoResponse> {
    app.check_dictionary(&dict)?;
    let ([format], filters) = parameters.besides(["format"]);
    let format = ExportFormat::named(format.unwrap_or_default())?;
    let query = LatentQuery::from_parameters(filters)?;
    if query.cursor.is_some() || query.offset.is_some() || query.limit.is_some() {
        return Err(Problem::invalid(
            "a file has every row that matches; leave cursor, offset and limit out",
        ));
    }
    let kind = match format {
        ExportFormat::Csv => "text/csv; charset=utf-8",
        ExportFormat::Json => "application/json",
        ExportFormat::Parquet => "application/vnd.apache.parquet",
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = dict.replace(|c| !plain(c), "_");
    let disposition = format!(
        "attachment; filename=\"{name}-latents.{}\"",
        format.ending()
    );
    let file = app
        .ask(move |store| store.export(&dict, &query, format))
        .await?;
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, file))
}
