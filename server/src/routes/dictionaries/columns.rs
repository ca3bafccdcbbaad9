//! `GET /api/v1/dictionaries/{dict}/columns`

use axum::{extract::State, http::header, response::IntoResponse};
use store::LatentQuery;

use crate::{
    App,
    extract::{Parameters, Segments},
    problem::{Answer, Problem},
};

/// Columns of the latent table as one binary block, for plots of every latent, or of those that match the filters of `/latents`.
///
/// The block is little-endian: `rows` as u32, `columns` as u32, then each column in the order asked for as `rows` f32 values, by rising
/// id. NaN is unknown. `class` and `verdict` are the index of the value in the schema's enumeration (class: chat-only 0, base-only 1,
/// shared 2, other 3; verdict: chat-specific 0, complete-shrinkage 1, latent-decoupling 2, both 3, unreliable 4), `dead` is 0 or 1.
#[utoipa::path(
    get,
    path = "/api/v1/dictionaries/{dict}/columns",
    tag = "latents",
    params(
        ("dict" = String, Path, description = "Slug of the dictionary"),
        ("names" = String, Query, description = "Columns of a latent's row, separated by commas; `label` is not a number and has no column", example = "nu_epsilon,nu_r,class"),
        ("q" = Option<String>, Query, description = "Only latents that match; likewise every other filter of `/latents`"),
    ),
    responses(
        (status = 200, description = "The block", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has this block (If-None-Match)"),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(dict): Segments<String>,
    parameters: Parameters,
) -> Answer<impl IntoResponse> {
    app.check_dictionary(&dict)?;
    let ([names], filters) = parameters.besides(["names"]);
    let query = LatentQuery::from_parameters(filters)?;
    let names: Vec<String> = names
        .ok_or_else(|| {
            Problem::invalid("names is missing; give columns separated by commas, for instance names=nu_epsilon,nu_r")
        })?
        .split(',')
        .map(str::to_owned)
        .collect();
    if names.len() > api::LATENT_COLUMNS.len() {
        return Err(Problem::invalid(format!(
            "names lists {} columns, a latent's row has {}",
            names.len(),
            api::LATENT_COLUMNS.len()
        )));
    }
    let block = app
        .ask(move |store| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Ok(block(&store.columns(&dict, &names, &query)?))
        })
        .await?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, block))
}

/// Columns as one little-endian block.
fn block(columns: &[Vec<f32>]) -> Vec<u8> {
    let rows = columns.first().map_or(0, Vec::len);
    let mut bytes = Vec::with_capacity(8 + 4 * rows * columns.len());
    bytes.extend_from_slice(&(rows as u32).to_le_bytes());
    bytes.extend_from_slice(&(columns.len() as u32).to_le_bytes());
    for value in columns.iter().flatten() {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_counts_then_its_columns() {
        let bytes = block(&[vec![1.0, f32::NAN], vec![-2.0, 3.0]]);
        assert_eq!(bytes.len(), 8 + 4 * 4);
        let word = |at: usize| <[u8; 4]>::try_from(&bytes[4 * at..4 * at + 4]).unwrap();
        assert_eq!(u32::from_le_bytes(word(0)), 2);
        assert_eq!(u32::from_le_bytes(word(1)), 2);
        assert!(f32::from_le_bytes(word(3)).is_nan());
        assert_eq!(f32::from_le_bytes(word(4)), -2.0);
    }
}
