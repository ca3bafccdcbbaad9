//! What the routes answer, over the reference checkpoints.

use crate::common::{Site, manifest, options, study};
use axum::{body::Body, http::Request};
use serde_json::json;

#[tokio::test]
async fn a_study_without_analysis_has_what_weights_give() {
    let site = Site::new().await;
    let info = site.get("/api/v1/study").await.json();
    assert_eq!(info["models"], json!({"available": true, "reason": null}));
    assert_eq!(info["layer"], 2);
    assert_eq!(
        (info["device"].as_str(), info["dtype"].as_str()),
        (Some("cpu"), Some("f32"))
    );
    assert_eq!(info["max_prompt_tokens"], 256);
    assert!(info["template"].as_str().unwrap().contains("start_of_turn"));
    let [l1, btk] = [&info["dictionaries"][0], &info["dictionaries"][1]];
    assert_eq!(
        (l1["slug"].as_str(), l1["kind"].as_str()),
        (Some("l1"), Some("l1"))
    );
    assert_eq!(btk["kind"], "batchtopk");
    assert!(btk["threshold"].as_f64().is_some() && l1["threshold"].is_null());
    assert_eq!(btk["analysis"]["available"], false);
    assert!(
        btk["analysis"]["reason"]
            .as_str()
            .unwrap()
            .contains("stereoscope analyse")
    );
    let counted: u64 = btk["counts"]["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c[1].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 128);

    let page = site
        .get("/api/v1/dictionaries/l1/latents?sort=-delta_norm,id&limit=5")
        .await
        .json();
    assert_eq!(
        (
            page["total"].as_u64(),
            page["rows"].as_array().unwrap().len()
        ),
        (Some(128), 5)
    );
    let detail = site.get("/api/v1/dictionaries/l1/latents/7").await.json();
    assert_eq!(detail["id"], 7);
    assert!(detail["dead"].is_null() && detail["histogram"].is_null());
    let decoder = "/api/v1/dictionaries/l1/latents/7/decoder";
    let rows = site.get(decoder).await.json();
    for (row, norm) in [("base", "norm_base"), ("chat", "norm_chat")] {
        let numbers = rows[row].as_array().unwrap().iter();
        let squares: f64 = numbers.map(|x| x.as_f64().unwrap().powi(2)).sum();
        let norm = detail[norm].as_f64().unwrap();
        assert!((squares.sqrt() - norm).abs() < 1e-5 * norm, "{row}");
    }
    site.get(&decoder.replace('7', "128"))
        .await
        .problem(404, "unknown-latent");
    let examples = site
        .get("/api/v1/dictionaries/l1/latents/7/examples")
        .await
        .json();
    assert_eq!(examples, json!({"total": 0, "next": null, "examples": []}));
}

#[tokio::test]
async fn an_analysed_dictionary_has_its_numbers_and_examples() {
    let site = Site::analysed().await;
    let info = site.get("/api/v1/study").await.json();
    assert_eq!(info["dictionaries"][0]["analysis"]["available"], false);
    assert_eq!(
        info["dictionaries"][1]["analysis"],
        json!({"available": true, "reason": null})
    );
    let live = site
        .get("/api/v1/dictionaries/batchtopk/latents?dead=false")
        .await
        .json();
    assert_eq!(
        (live["total"].as_u64(), live["rows"][0]["id"].as_u64()),
        (Some(1), Some(3))
    );
    let examples = site
        .get("/api/v1/dictionaries/batchtopk/latents/3/examples?group=5")
        .await
        .json();
    assert_eq!(examples["examples"][0]["values"], json!([0.0, 2.5]));
    let all = site
        .get("/api/v1/dictionaries/batchtopk/latents/3/examples?group=&cursor=")
        .await;
    assert_eq!(all.json(), examples);
    assert_eq!(examples["examples"][0]["tokens"][1]["text"], "a");

    // Its natural maximum is known now, so the default unit of `add` works; where it is 0 it does not.
    let add = |id: u32| {
        let lanes = json!([{"model": "chat", "interventions": [{"kind": "add", "latents": [{"id": id, "strength": 1}]}]}]);
        json!({"dictionary": "batchtopk", "prompt": {"text": "hi"}, "lanes": lanes, "sampling": {"max_new_tokens": 2}})
    };
    assert_eq!(site.post("/api/v1/generate", &add(3)).await.status, 200);
    let detail = site
        .post("/api/v1/generate", &add(4))
        .await
        .problem(422, "invalid");
    assert!(detail.contains("never fired"), "{detail}");
}

#[tokio::test]
async fn columns_are_a_block_with_a_tag() {
    let site = Site::new().await;
    let path = "/api/v1/dictionaries/batchtopk/columns?names=id,delta_norm,nu_epsilon";
    let answer = site.get(path).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/octet-stream")
    );
    let word = |at: usize| <[u8; 4]>::try_from(&answer.body[4 * at..4 * at + 4]).unwrap();
    assert_eq!(
        (u32::from_le_bytes(word(0)), u32::from_le_bytes(word(1))),
        (128, 3)
    );
    assert_eq!(answer.body.len(), 8 + 4 * 3 * 128);
    assert_eq!(f32::from_le_bytes(word(2 + 5)), 5.0);
    let row = site
        .get("/api/v1/dictionaries/batchtopk/latents/5")
        .await
        .json();
    let delta = f32::from_le_bytes(word(2 + 128 + 5));
    assert!((f64::from(delta) - row["delta_norm"].as_f64().unwrap()).abs() < 1e-6);
    assert!(f32::from_le_bytes(word(2 + 256)).is_nan());

    let revision = site.get("/api/v1/study").await.json()["revision"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(answer.header("etag").contains(&revision));
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let site = Site::new().await;
    for path in [
        "/api/v1/study",
        "/api/v1/openapi.json",
        "/api/v1/dictionaries/l1/latents?limit=3",
        "/api/v1/dictionaries/l1/latents/3",
        "/api/v1/dictionaries/l1/columns?names=id",
    ] {
        let first = site.get(path).await;
        assert_eq!(
            (first.status.as_u16(), first.header("cache-control")),
            (200, "no-cache")
        );
        let again = |tag: &str| {
            let request = Request::get(path).header("if-none-match", tag);
            site.send(request.body(Body::empty()).unwrap())
        };
        let known = again(first.header("etag")).await;
        assert_eq!(
            (known.status.as_u16(), known.body.len()),
            (304, 0),
            "{path}"
        );
        assert_eq!(again("\"other\"").await.status, 200);
    }
    let missing =
        Request::get("/api/v1/dictionaries/none/columns?names=id").header("if-none-match", "*");
    site.send(missing.body(Body::empty()).unwrap())
        .await
        .problem(404, "unknown-dictionary");
}

#[tokio::test]
async fn activations_and_effects_answer_per_token() {
    let site = Site::new().await;
    let prompt =
        json!({"messages": [{"role": "user", "content": "What is the capital of Norway?"}]});
    let body = json!({"dictionary": "batchtopk", "prompt": prompt, "latents": [3, 17], "top_k": 2});
    let text = site.post("/api/v1/activations", &body).await;
    let answer = text.json();
    assert_eq!(answer["tokens"].as_array().unwrap().len(), 16);
    assert_eq!(
        (
            answer["tokens"][0]["kind"].as_str(),
            answer["tokens"][1]["kind"].as_str()
        ),
        (Some("bos"), Some("template"))
    );
    assert_eq!(answer["latents"][1]["id"], 17);
    for part in ["values", "base", "chat"] {
        assert_eq!(answer["latents"][0][part].as_array().unwrap().len(), 16);
    }
    assert!(
        answer["top"]
            .as_array()
            .unwrap()
            .iter()
            .all(|top| top.as_array().unwrap().len() <= 2)
    );
    let again = server::activations_once(
        options(study(&manifest()).path()),
        serde_json::from_value(body).unwrap(),
    )
    .await
    .unwrap();
    assert!(
        serde_json::to_vec(&again).unwrap() == text.body,
        "the command line and the route give the same bytes"
    );

    let lanes = json!([{"model": "chat"}, {"model": "base"}, {"model": "chat", "interventions": [{"kind": "take", "from": "base"}]}]);
    let effects = site
        .post(
            "/api/v1/effects",
            &json!({"dictionary": "batchtopk", "prompt": prompt, "lanes": lanes}),
        )
        .await
        .json();
    let kl = |lane: usize, key: &str| effects["lanes"][lane][key][15].as_f64().unwrap();
    assert_eq!(kl(0, "kl_from_chat"), 0.0);
    assert_eq!(kl(1, "kl_from_base"), 0.0);
    assert_eq!(
        kl(1, "kl_from_chat"),
        answer["kl_chat_base"][15].as_f64().unwrap()
    );
    assert!(kl(2, "kl_from_chat") > 0.0);
}

#[tokio::test]
async fn generation_streams_events_of_one_line() {
    let site = Site::new().await;
    let lanes = json!([{"model": "chat"}, {"model": "base"}]);
    let body = json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": lanes, "sampling": {"max_new_tokens": 3}});
    let request = Request::post("/api/v1/generate")
        .header("content-type", "application/json")
        .header("accept-encoding", "gzip, br")
        .body(Body::from(body.to_string()))
        .unwrap();
    let answer = site.send(request).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(
        answer.header("content-encoding"),
        "",
        "a stream is not held back by compression"
    );
    let events = answer.events();
    assert_eq!(events[0].0, "meta");
    assert_eq!(
        events[0].1["lanes"],
        json!([{"lane": 0, "model": "chat"}, {"lane": 1, "model": "base"}])
    );
    let tokens: Vec<_> = events.iter().filter(|(name, _)| name == "token").collect();
    assert_eq!(tokens.len(), 6);
    for key in ["lane", "index", "id", "text", "logprob"] {
        assert!(!tokens[0].1[key].is_null(), "{key}");
    }
    let done: Vec<_> = events.iter().filter(|(name, _)| name == "done").collect();
    assert_eq!(done.len(), 2);
    assert_eq!(
        (done[0].1["reason"].as_str(), done[0].1["tokens"].as_u64()),
        (Some("length"), Some(3))
    );
    assert!(done[0].1["timings"]["decode_ms"].as_f64().unwrap() > 0.0);

    let metrics = site.get("/metrics").await.text();
    assert!(
        metrics.contains("stereoscope_tokens_generated_total 6\n"),
        "{metrics}"
    );
    let rate = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(rate("stereoscope_tokens_per_second") > 0.0);
    assert!(rate("stereoscope_prefill_tokens_per_second") > 0.0);
    assert!(metrics.contains("stereoscope_requests_total{method=\"POST\",route=\"/api/v1/generate\",status=\"200\"} 1\n"), "{metrics}");
    assert!(
        metrics.contains("stereoscope_time_to_first_token_seconds_count 2\n"),
        "{metrics}"
    );
    assert!(metrics.contains("stereoscope_queue_depth 0\n"), "{metrics}");
}

#[tokio::test]
async fn large_answers_are_compressed_and_every_answer_is_guarded() {
    let site = Site::new().await;
    for (accepted, coding) in [("br", "br"), ("gzip", "gzip")] {
        let request = Request::get("/api/v1/dictionaries/l1/latents?limit=128")
            .header("accept-encoding", accepted);
        let answer = site.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("content-encoding"), coding);
    }
    for path in ["/", "/healthz", "/api/v1/study", "/api/v1/nothing"] {
        let answer = site.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'self'"),
            "{path}"
        );
    }
    assert_eq!(site.get("/healthz").await.json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn addresses_of_the_explorer_give_its_page() {
    let site = Site::new().await;
    let pages = ["/", "/lab", "/d/l1", "/d/my.dictionary/l/3", "/method"];
    for path in pages {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{path}"
        );
    }
}
