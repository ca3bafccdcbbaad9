//! Reading one latent's answer.

use api::{
    ActivityShare, ConceptScore, Correlated, ExampleGroup, Histogram, LatentDetail, LatentRow,
    LogitLens, Neighbour, ScalingFit,
};
use serde::Deserialize;

use super::{
    load::{Load, use_body},
    request::Request,
};

/// What the answer has beside the numbers of the table.
#[derive(Deserialize)]
struct Rest {
    histogram: Option<Histogram>,
    lens_base: Option<LogitLens>,
    lens_chat: Option<LogitLens>,
    neighbours: Vec<Neighbour>,
    twins: Vec<Neighbour>,
    correlated: Vec<Correlated>,
    shares: Vec<ActivityShare>,
    fits: Vec<ScalingFit>,
    groups: Vec<ExampleGroup>,
    concepts: Vec<ConceptScore>,
}

/// One latent, asked for whenever `latent` changes.
pub(crate) fn use_detail(
    latent: impl Fn() -> Option<(String, u32)> + Send + Sync + 'static,
) -> Load<LatentDetail> {
    let request = move || latent().map(|(dictionary, id)| Request::latent(&dictionary, id));
    use_body(request, read)
}

/// Reads the answer's one flat object in two passes: the derived reader of both at once is several kilobytes larger.
fn read(body: &[u8]) -> Result<LatentDetail, String> {
    let sentence = |error: serde_json::Error| format!("{error}.");
    let row: LatentRow = serde_json::from_slice(body).map_err(sentence)?;
    let rest: Rest = serde_json::from_slice(body).map_err(sentence)?;
    let Rest {
        histogram,
        lens_base,
        lens_chat,
        neighbours,
        twins,
        correlated,
        shares,
        fits,
        groups,
        concepts,
    } = rest;
    Ok(LatentDetail {
        row,
        histogram,
        lens_base,
        lens_chat,
        neighbours,
        twins,
        correlated,
        shares,
        fits,
        groups,
        concepts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_passes_read_what_the_wire_type_writes() {
        let row = serde_json::json!({ "id": 3, "class": "chat-only", "norm_base": 0.5, "norm_chat": 1.5, "nu_r": 0.25, "beta_error_chat": 2.0 });
        let lens = LogitLens {
            top: vec![api::LensToken {
                id: 9,
                text: " no".into(),
                value: 1.5,
            }],
            bottom: Vec::new(),
        };
        let detail = LatentDetail {
            row: serde_json::from_value(row).unwrap(),
            histogram: Some(Histogram {
                edges: vec![0.0, 1.0],
                counts: vec![7],
            }),
            lens_base: None,
            lens_chat: Some(lens),
            neighbours: Vec::new(),
            twins: Vec::new(),
            correlated: Vec::new(),
            shares: Vec::new(),
            fits: Vec::new(),
            groups: Vec::new(),
            concepts: Vec::new(),
        };
        let written = serde_json::to_vec(&detail).unwrap();
        assert_eq!(read(&written).unwrap(), detail);
        assert!(read(b"{\"id\": 3}").is_err());
    }
}
