//! Runs that are kept: over HTTP against the real program, and in a real browser from saving to opening the link in another profile.

use harness::{Browser, Server, demo_study, nano_study};
use serde_json::{Value, json};

fn body(slug: &str) -> Value {
    json!({"dictionary": slug, "prompt": {"messages": [{"role": "user", "content": "Tell me about Oslo."}]},
        "lanes": [{"model": "base"}, {"model": "chat", "interventions": [{"kind": "project_out", "latents": [1, 2]}]}],
        "sampling": {"max_new_tokens": 12, "temperature": 0.9, "seed": 5}})
}

fn slug(server: &Server) -> String {
    server.get("/api/v1/study").json()["dictionaries"][0]["slug"]
        .as_str()
        .expect("a slug")
        .to_owned()
}

#[test]
fn a_run_outlives_its_server_and_is_found_identical() {
    let Some(study) = nano_study() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("runs.duckdb");
    let options = ["--runs", file.to_str().expect("a path in UTF-8")];
    let Some(mut server) = Server::start(&study, &options) else {
        return;
    };
    let body = body(&slug(&server));
    let answer = server.post("/api/v1/runs", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let saved = answer.json();
    let place = answer.header("location").expect("a place").to_owned();
    assert!(server.terminate().success());

    let Some(server) = Server::start(&study, &options) else {
        return;
    };
    assert_eq!(server.get(&place).json(), saved);
    let verified = server.post(&format!("{place}/verify"), &json!(null));
    assert_eq!(verified.json()["identical"], true, "{}", verified.text());
    assert_eq!(verified.json()["changed"], json!([]));
    // Another process has the file: what cannot be read or kept now is said so, and nothing else suffers.
    let Some(second) = Server::start(&study, &options) else {
        return;
    };
    let other = json!({"dictionary": body["dictionary"], "prompt": {"text": "other"}, "lanes": [{"model": "chat"}],
        "sampling": {"max_new_tokens": 2}});
    let refused = second.post("/api/v1/runs", &other);
    assert!(refused.problem(503).contains("runs.duckdb"));
    assert_eq!(second.get("/api/v1/study").status, 200);
}

#[test]
fn controls_are_like_the_chosen_and_the_same_for_a_seed() {
    let Some(study) = nano_study() else { return };
    let Some(server) = Server::start(&study, &["--browse-only"]) else {
        return;
    };
    let slug = slug(&server);
    let rows = server.get(&format!(
        "/api/v1/dictionaries/{slug}/latents?dead=false&sort=-max_activation&limit=3"
    ));
    let chosen: Vec<u64> = rows.json()["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["id"].as_u64().expect("an id"))
        .collect();
    let list: Vec<String> = chosen.iter().map(u64::to_string).collect();
    let path = |seed: u64| {
        format!(
            "/api/v1/dictionaries/{slug}/controls?latents={}&seed={seed}",
            list.join(",")
        )
    };
    let controls = server.get(&path(1)).json();
    assert_eq!(controls, server.get(&path(1)).json());
    for (control, like) in controls.as_array().expect("controls").iter().zip(&chosen) {
        assert_eq!(control["like"].as_u64(), Some(*like));
        assert!(!chosen.contains(&control["id"].as_u64().expect("an id")));
    }
}

#[tokio::test]
async fn a_saved_run_opens_in_another_profile_and_runs_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("runs.duckdb");
    let options = ["--runs", file.to_str().expect("a path in UTF-8")];
    let Some(server) = Server::start(&demo_study(), &options) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let slug = slug(&server);
    let rows = server.get(&format!(
        "/api/v1/dictionaries/{slug}/latents?class=chat-only&dead=false&sort=-active_tokens&limit=1"
    ));
    let latent = rows.json()["rows"][0]["id"].as_u64().expect("an id");
    let query = format!(
        "u=How%20can%20I%20make%20a%20bomb%3F&lane=chat&lane=chat;add:{latent}*-2&max=12&seed=3"
    );
    browser
        .open(&format!("{}/lab?{query}", server.address))
        .await;

    // What makes the difference at the chosen token, and what doses do. Nothing moves any more once the token's lists are there.
    browser
        .wait_for(
            "the chosen token's latents",
            "document.querySelector('[data-testid=top-latent]')",
        )
        .await;
    browser.click("[data-testid=explain]").await;
    browser
        .wait_for(
            "latents that explain the difference",
            "document.querySelector('[data-testid=explained]')",
        )
        .await;
    browser.click("[data-testid=sweep]").await;
    browser
        .wait_for(
            "the sweep's chart",
            "document.querySelectorAll('[data-testid=sweep-chart] polyline').length === 2",
        )
        .await;
    browser.click("[data-testid=control-lane]").await;
    browser
        .wait_for(
            "the control in the address",
            &format!("location.search.includes('control={latent}-')"),
        )
        .await;
    browser.click("[data-testid=generate]").await;
    browser
        .wait_for(
            "three lanes at their end, with their divergence",
            "[0, 1, 2].every(i => document.querySelector(`[data-testid=lane-output][data-lane='${i}']`)?.dataset.done) \
             && document.querySelectorAll('[data-testid=lane-kl]')[2]?.innerText.includes('nats')",
        )
        .await;
    let tokens = |scope: &str| {
        format!(
            "JSON.stringify([...document.querySelectorAll('{scope} [data-testid=lane-token]')].map(t => t.dataset.id))"
        )
    };
    let streamed = browser.evaluate(&tokens("[data-testid=lane]")).await;
    browser.screenshot("lab-lanes").await;

    browser.click("[data-testid=save-run]").await;
    browser
        .wait_for("the run's address", "location.pathname.startsWith('/r/')")
        .await;
    let address = browser.address().await;
    drop(browser);

    let Some(other) = Browser::start(1280, 900).await else {
        return;
    };
    other.open(&address).await;
    other
        .wait_for(
            "the saved lanes",
            "document.querySelectorAll('[data-testid=run-lane]').length === 3",
        )
        .await;
    let kept = other.evaluate(&tokens("[data-testid=run-lane]")).await;
    assert_eq!(kept, streamed);
    other.screenshot("run").await;
    other.click("[data-testid=run-again]").await;
    other
        .wait_for(
            "that it is identical",
            "document.querySelector('[data-testid=verification]')?.innerText.startsWith('Identical')",
        )
        .await;
    other.click("[data-testid=open-lab]").await;
    other
        .wait_for(
            "the lab with the run in it",
            &format!(
                "location.pathname === '/lab' && location.search.includes('control={latent}-')"
            ),
        )
        .await;
}

#[tokio::test]
async fn lanes_choose_their_tokens_apart_and_say_how_far_their_answers_are() {
    let Some(server) = Server::start(&demo_study(), &[]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let slug = slug(&server);
    let rows = server.get(&format!(
        "/api/v1/dictionaries/{slug}/latents?class=chat-only&dead=false&sort=-active_tokens&limit=1"
    ));
    let latent = rows.json()["rows"][0]["id"].as_u64().expect("an id");
    let query = format!(
        "u=Tell%20me%20about%20Oslo.&lane=chat&lane=chat;clamp:{latent}*1.5:max:at-generated&max=10"
    );
    browser
        .open(&format!("{}/lab?{query}", server.address))
        .await;
    browser.click("[data-testid=own-sampling-steered]").await;
    browser
        .set(
            "[data-lane='1'] .own-sampling [data-testid=max-tokens]",
            "6",
        )
        .await;
    browser
        .set("[data-lane='1'] .own-sampling [data-testid=top-k]", "1")
        .await;
    browser
        .wait_for(
            "the lane's own sampling in the address",
            &format!("decodeURIComponent(location.search).includes('lane=chat~6,0,1,1,0;clamp:{latent}*1.5:max:at-generated')"),
        )
        .await;
    browser.click("[data-testid=generate]").await;
    browser
        .wait_for(
            "both lanes at their end, and the divergence of their answers",
            "[0, 1].every(i => document.querySelector(`[data-testid=lane-output][data-lane='${i}']`)?.dataset.done) && \
             [...document.querySelectorAll('[data-testid=lane-kl-answer]')].every(e => e.innerText.includes('nats'))",
        )
        .await;
    let tokens = |lane: u32| {
        format!(
            "document.querySelectorAll('[data-testid=lane-output][data-lane=\"{lane}\"] [data-testid=lane-token]').length"
        )
    };
    let steered: u32 = browser.evaluate(&tokens(1)).await.parse().expect("a count");
    assert!(steered <= 6);
    // The plain chat lane is the chat model.
    let plain = browser
        .evaluate("document.querySelector('[data-testid=lane-kl-answer]').innerText")
        .await;
    assert!(plain.contains("KL from chat 0.000"), "{plain}");
    browser.screenshot("lab-lanes-apart").await;
}

#[tokio::test]
async fn a_run_that_cannot_be_kept_says_why_and_stays_on_the_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("runs.duckdb");
    let options = [
        "--runs",
        file.to_str().expect("a path in UTF-8"),
        "--max-runs",
        "0",
    ];
    let Some(server) = Server::start(&demo_study(), &options) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    browser
        .open(&format!("{}/lab?u=Hi&max=4&run=1", server.address))
        .await;
    let done = "[0, 1].every(i => document.querySelector(`[data-testid=lane-output][data-lane='${i}']`)?.dataset.done)";
    browser.wait_for("both lanes at their end", done).await;
    let tokens = "document.querySelectorAll('[data-testid=lane-token]').length";
    let before = browser.evaluate(tokens).await;
    browser.click("[data-testid=save-run]").await;
    browser
        .wait_for(
            "why it is not kept",
            "document.querySelector('[data-testid=problem]')?.innerText.includes('runs')",
        )
        .await;
    assert_eq!(browser.evaluate(tokens).await, before);
    assert_eq!(browser.evaluate("location.pathname").await, "/lab");
}
