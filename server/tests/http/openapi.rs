//! The interface's description is kept as a file, so that a change of it is seen.

use std::path::Path;

#[test]
fn the_description_is_the_one_kept() {
    let now = server::openapi_document().to_pretty_json().unwrap() + "\n";
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json"));
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        now == kept,
        "the interface's description changed; if it should, run UPDATE_OPENAPI=1 cargo test -p server openapi"
    );
}

#[test]
fn every_route_and_every_event_is_described() {
    let document = serde_json::to_value(server::openapi_document()).unwrap();
    for path in [
        "/api/v1/study",
        "/api/v1/dictionaries/{dict}/latents",
        "/api/v1/dictionaries/{dict}/latents/{id}",
        "/api/v1/dictionaries/{dict}/latents/{id}/decoder",
        "/api/v1/dictionaries/{dict}/latents/{id}/examples",
        "/api/v1/dictionaries/{dict}/latents/export",
        "/api/v1/dictionaries/{dict}/columns",
        "/api/v1/dictionaries/{dict}/scaling",
        "/api/v1/dictionaries/{dict}/effects",
        "/api/v1/dictionaries/{dict}/curves",
        "/api/v1/dictionaries/{dict}/truth",
        "/api/v1/activations",
        "/api/v1/effects",
        "/api/v1/dictionaries/{dict}/controls",
        "/api/v1/explain",
        "/api/v1/generate",
        "/api/v1/runs",
        "/api/v1/runs/{id}",
        "/api/v1/runs/{id}/verify",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    let schemas = &document["components"]["schemas"];
    for schema in [
        "Problem",
        "MetaEvent",
        "TokenEvent",
        "DoneEvent",
        "QueuedEvent",
        "Run",
        "Verification",
        "Intervention",
        "LatentRow",
        "StudyInfo",
    ] {
        assert!(schemas.get(schema).is_some(), "{schema}");
    }
}
