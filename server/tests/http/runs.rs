//! `/runs`, `/explain` and `/dictionaries/{dict}/controls`.

use std::path::{Path, PathBuf};

use api::{Run, RunToken};
use axum::http::StatusCode;
use serde_json::{Value, json};
use server::App;
use store::Runs;

use crate::common::{Answer, Site, analyse, manifest, options, study};

fn body(seed: u64) -> Value {
    json!({"dictionary": "batchtopk", "prompt": {"text": "hi"}, "lanes": [
        {"model": "chat"},
        {"model": "chat", "interventions": [{"kind": "clamp", "latents": [3], "value": 4}]},
    ], "sampling": {"max_new_tokens": 5, "temperature": 1.2, "seed": seed}})
}

fn run(answer: &Answer, status: StatusCode) -> Run {
    assert_eq!(answer.status, status, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

async fn generated(site: &Site) -> f64 {
    let text = site.get("/metrics").await.text();
    let line = text
        .lines()
        .find(|line| line.starts_with("stereoscope_tokens_generated_total"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_streamed_generation_is_saved_without_being_computed_again() {
    let site = Site::new().await;
    let events = site.post("/api/v1/generate", &body(7)).await.events();
    let tokens = |lane: usize| -> Vec<Value> {
        let tokens = events.iter().filter(|(name, _)| name == "token");
        tokens
            .filter(|(_, data)| data["lane"] == lane)
            .map(|(_, data)| data["id"].clone())
            .collect()
    };
    let before = generated(&site).await;
    let answer = site.post("/api/v1/runs", &body(7)).await;
    let saved = run(&answer, StatusCode::CREATED);
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/runs/{}", saved.id)
    );
    assert_eq!(generated(&site).await, before);
    assert_eq!(saved.outputs.len(), 2);
    for (lane, output) in saved.outputs.iter().enumerate() {
        let ids: Vec<Value> = output.tokens.iter().map(|t| json!(t.id)).collect();
        assert_eq!(ids, tokens(lane));
    }
    assert_eq!(
        saved.tokens.iter().map(|t| t.id).collect::<Vec<_>>(),
        saved.inputs.ids
    );

    // Saving again changes nothing, and reading gives what was saved.
    let again = site.post("/api/v1/runs", &body(7)).await;
    assert_eq!(run(&again, StatusCode::OK), saved);
    let read = site.get(&format!("/api/v1/runs/{}", saved.id)).await;
    assert!(read.header("cache-control").contains("immutable"));
    assert_eq!(run(&read, StatusCode::OK), saved);
}

#[tokio::test]
async fn an_id_names_what_determines_the_outputs_and_nothing_else() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for change in [
        json!({}),
        json!({"sampling": {"max_new_tokens": 5, "temperature": 1.2, "seed": 8}}),
        json!({"lanes": [{"model": "chat"}]}),
        json!({"dictionary": "l1"}),
        json!({"prompt": {"text": "ho"}}),
    ] {
        let mut body = body(7);
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let saved = run(&site.post("/api/v1/runs", &body).await, StatusCode::CREATED);
        assert_eq!(saved.id.len(), 32);
        ids.push(saved.id);
    }
    let different: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
    // The same ids by another way, and a default that is written out.
    let tokens = run(
        &site.get(&format!("/api/v1/runs/{}", ids[0])).await,
        StatusCode::OK,
    );
    let mut same = body(7);
    same["prompt"] = json!({"ids": tokens.inputs.ids});
    same["sampling"]["top_p"] = json!(1.0);
    let answer = site.post("/api/v1/runs", &same).await;
    assert_eq!(run(&answer, StatusCode::OK).id, ids[0]);
}

#[tokio::test]
async fn running_again_says_whether_it_is_identical_and_where_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.duckdb");
    let saved = {
        let site = site_with(study(&manifest()), &file, 10).await;
        let saved = run(
            &site.post("/api/v1/runs", &body(7)).await,
            StatusCode::CREATED,
        );
        let answer = site
            .post(&format!("/api/v1/runs/{}/verify", saved.id), &json!(null))
            .await;
        let verified = json!({"identical": true, "changed": [], "differences": []});
        assert_eq!(answer.json(), verified);
        saved
    };
    // The same run as another dictionary's files would have given it.
    let mut other = saved.clone();
    other.id = "other".into();
    other.inputs.dictionary = "something else".into();
    other.outputs[1].tokens[2] = RunToken {
        id: 0,
        text: "?".into(),
        logprob: -1.0,
    };
    other.outputs[0].tokens.pop();
    let found = saved.outputs[1].tokens[2].clone();
    assert_ne!(found.id, 0);
    Runs::open(&file, 10).unwrap().save(&other).unwrap();
    let site = site_with(study(&manifest()), &file, 10).await;
    let answer = site
        .post("/api/v1/runs/other/verify", &json!(null))
        .await
        .json();
    assert_eq!(answer["identical"], false);
    assert_eq!(answer["changed"], json!(["the dictionary"]));
    let [first, second] = [&answer["differences"][0], &answer["differences"][1]];
    assert_eq!(
        (&first["lane"], &first["index"], &first["stored"]),
        (&json!(0), &json!(4), &Value::Null)
    );
    assert_eq!((&second["lane"], &second["index"]), (&json!(1), &json!(2)));
    assert_eq!(second["stored"]["text"], "?");
    assert_eq!(second["found"]["id"], found.id);
}

#[tokio::test]
async fn runs_are_read_without_models() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.duckdb");
    let saved = {
        let site = site_with(study(&manifest()), &file, 10).await;
        run(
            &site.post("/api/v1/runs", &body(1)).await,
            StatusCode::CREATED,
        )
    };
    let site = Site::of(study(&manifest()), |options| {
        options.browse_only = true;
        options.runs = Some(file);
    })
    .await;
    let path = format!("/api/v1/runs/{}", saved.id);
    assert_eq!(run(&site.get(&path).await, StatusCode::OK), saved);
    site.post("/api/v1/runs", &body(1))
        .await
        .problem(503, "no-models");
    site.post(&format!("{path}/verify"), &json!(null))
        .await
        .problem(503, "no-models");
    for unknown in ["/api/v1/runs/0123", "/api/v1/runs/%2e%2e"] {
        site.get(unknown).await.problem(404, "unknown-run");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_before_it_is_computed() {
    let dir = study(&manifest());
    let site = site_with(dir, &PathBuf::from("/dev/null/runs.duckdb"), 10).await;
    let detail = site
        .post("/api/v1/runs", &body(1))
        .await
        .problem(507, "not-kept");
    assert!(detail.contains("--runs"), "{detail}");
    assert_eq!(generated(&site).await, 0.0);
    site.get("/api/v1/runs/0123")
        .await
        .problem(404, "unknown-run");

    let folder = tempfile::tempdir().unwrap();
    let site = site_with(study(&manifest()), &folder.path().join("one.duckdb"), 1).await;
    run(
        &site.post("/api/v1/runs", &body(1)).await,
        StatusCode::CREATED,
    );
    let before = generated(&site).await;
    let detail = site
        .post("/api/v1/runs", &body(2))
        .await
        .problem(507, "not-kept");
    assert!(detail.contains("--max-runs"), "{detail}");
    assert_eq!(generated(&site).await, before);
    // What is there already is not one more.
    run(&site.post("/api/v1/runs", &body(1)).await, StatusCode::OK);

    let mut lanes = body(1);
    lanes["lanes"] = json!([]);
    site.post("/api/v1/runs", &lanes)
        .await
        .problem(422, "invalid");
    let mut unknown = body(1);
    unknown["dictionary"] = json!("none");
    site.post("/api/v1/runs", &unknown)
        .await
        .problem(404, "unknown-dictionary");
}

#[test]
fn a_file_that_is_none_of_runs_is_refused_at_the_start() {
    let dir = study(&manifest());
    let file = dir.path().join("text.duckdb");
    std::fs::write(&file, "not a database").unwrap();
    let mut options = options(dir.path());
    options.runs = Some(file);
    let sentence = match App::open(&options) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    };
    assert!(
        sentence.contains("text.duckdb") && sentence.contains("--runs"),
        "{sentence}"
    );
}

async fn site_with(dir: tempfile::TempDir, file: &Path, most: u64) -> Site {
    Site::of(dir, |options| {
        options.runs = Some(file.to_path_buf());
        options.max_runs = most;
    })
    .await
}

#[tokio::test]
async fn a_token_is_explained() {
    let site = Site::new().await;
    let body = |token: usize, limit: usize| json!({"dictionary": "l1", "prompt": {"text": "hi there"}, "token": token, "limit": limit});
    let answer = site.post("/api/v1/explain", &body(1, 4)).await.json();
    let latents = answer["latents"].as_array().unwrap();
    assert!(!latents.is_empty() && latents.len() <= 4);
    let first = &latents[0];
    for field in ["id", "value", "contribution", "kl_after"] {
        assert!(first[field].is_number(), "{answer}");
    }
    assert!(answer["kl_before"].as_f64().unwrap() > 0.0);
    site.post("/api/v1/explain", &body(500, 4))
        .await
        .problem(422, "invalid");
    site.post("/api/v1/explain", &body(1, 33))
        .await
        .problem(422, "invalid");
}

#[tokio::test]
async fn controls_need_an_analysis_and_known_latents() {
    let dir = study(&manifest());
    analyse(dir.path());
    let site = Site::of(dir, |options| options.browse_only = true).await;
    let path = |query: &str| format!("/api/v1/dictionaries/batchtopk/controls?{query}");
    for (query, status, kind) in [
        ("latents=3", 422, "invalid"), // the only latent that fires
        ("latents=4", 422, "invalid"),
        ("latents=", 422, "invalid"),
        ("latents=3,x", 422, "invalid"),
        ("latents=3&seed=-1", 422, "invalid"),
        ("latents=3&sed=1", 422, "invalid"),
        ("latents=5000", 404, "unknown-latent"),
    ] {
        site.get(&path(query)).await.problem(status, kind);
    }
}
