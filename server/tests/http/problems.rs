//! Every mistake is answered with a problem that says what to mend.

use crate::common::{Site, fixtures, manifest, options, study};
use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

const LATENTS: &str = "/api/v1/dictionaries/batchtopk/latents";

#[tokio::test]
async fn unknown_addresses_and_methods() {
    let site = Site::new().await;
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::from_bytes(b"BREW").unwrap(),
    ];
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/study",
        "/api/v1/study/",
    ] {
        for method in &methods {
            let answer = site.method(method.clone(), path).await;
            let detail = answer.problem(404, "unknown-route");
            assert!(detail.contains(path), "{detail}");
        }
    }
    for (path, method, allowed) in [
        ("/api/v1/study", Method::DELETE, "GET"),
        ("/api/v1/study", Method::OPTIONS, "GET"),
        (LATENTS, Method::POST, "GET"),
        ("/api/v1/activations", Method::GET, "POST"),
        ("/api/v1/generate", Method::PUT, "POST"),
        ("/readyz", Method::POST, "GET"),
        ("/lab", Method::POST, "GET"),
    ] {
        let answer = site.method(method, path).await;
        answer.problem(405, "method-not-allowed");
        assert!(
            answer.header("allow").contains(allowed),
            "{path}: {:?}",
            answer.headers
        );
    }
    site.get("/missing-0123456789abcdef.js")
        .await
        .problem(404, "unknown-route");
    site.get("/api/v1/dictionaries/%ff/latents")
        .await
        .problem(404, "unknown-route");
}

#[tokio::test]
async fn unknown_dictionaries_and_latents() {
    let site = Site::analysed().await;
    for path in [
        "latents",
        "latents/3",
        "latents/3/examples",
        "columns?names=id",
    ] {
        let detail = site
            .get(&format!("/api/v1/dictionaries/none/{path}"))
            .await
            .problem(404, "unknown-dictionary");
        assert!(detail.contains("batchtopk"), "{detail}");
    }
    for id in ["128", "99999999999999999999", "-1", "+3", "three", "3.0"] {
        for path in ["", "/examples"] {
            let answer = site.get(&format!("{LATENTS}/{id}{path}")).await;
            answer.problem(404, "unknown-latent");
        }
    }
}

#[tokio::test]
async fn queries_that_cannot_be_used() {
    let site = Site::analysed().await;
    for query in [
        "sort=beauty",
        "sort=-",
        "min_beauty=1",
        "min_delta_norm=x",
        "min_label=1",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "class=blue",
        "verdict=good",
        "dead=maybe",
        "cursor=%20",
        "cursor=abc",
        "unknown=1",
    ] {
        let answer = site.get(&format!("{LATENTS}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text());
        answer.problem(422, "invalid");
    }
    for query in [
        "group=x",
        "group=-1",
        "cursor=zz",
        "limit=0",
        "limit=100000",
        "colour=1",
    ] {
        site.get(&format!("{LATENTS}/3/examples?{query}"))
            .await
            .problem(422, "invalid");
    }
    let columns = "/api/v1/dictionaries/batchtopk/columns";
    for query in [
        "",
        "?names=",
        "?names=beauty",
        "?names=label",
        "?names=id&x=1",
    ] {
        site.get(&format!("{columns}{query}"))
            .await
            .problem(422, "invalid");
    }
    let many = vec!["id"; 1000].join(",");
    site.get(&format!("{columns}?names={many}"))
        .await
        .problem(422, "invalid");
    site.get("/api/v1/study?verbose=1")
        .await
        .problem(422, "invalid");
    site.get(&format!("{LATENTS}/3?x=1"))
        .await
        .problem(422, "invalid");
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let site = Site::new().await;
    for path in ["/api/v1/activations", "/api/v1/generate", "/api/v1/effects"] {
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonp"),
        ] {
            site.post_raw(path, kind, "{}")
                .await
                .problem(415, "unsupported-media-type");
        }
        let json = Some("application/json; charset=utf-8");
        for body in ["", "{", "{not json", "[1,]", "{}{}", "nul", "\"\u{1}\""] {
            site.post_raw(path, json, body)
                .await
                .problem(400, "malformed");
        }
        site.post_raw(path, json, &b"{\"dictionary\": \"\xff\"}"[..])
            .await
            .problem(400, "malformed");
        for body in [
            "{}",
            "[]",
            "null",
            "3",
            "{\"dictionary\": 3}",
            "{\"dictionary\": \"l1\", \"dictionary\": \"l1\"}",
        ] {
            site.post_raw(path, json, body)
                .await
                .problem(422, "invalid");
        }
        let detail = site
            .post_raw(path, json, vec![b' '; (1 << 20) + 1])
            .await
            .problem(413, "too-large");
        assert!(detail.contains("1048576"), "{detail}");
        // At the limit the body is read, and found to be no JSON.
        site.post_raw(path, json, vec![b' '; 1 << 20])
            .await
            .problem(400, "malformed");
    }
    let announced = Request::post("/api/v1/activations")
        .header("content-type", "application/json")
        .header("content-length", "5000000")
        .header("expect", "100-continue")
        .body(Body::empty())
        .unwrap();
    site.send(announced).await.problem(413, "too-large");
}

#[tokio::test]
async fn requests_that_cannot_be_served() {
    let site = Site::new().await;
    let prompt = json!({"text": "hi"});
    let body = |changes: Value| {
        let mut body = json!({"dictionary": "l1", "prompt": prompt});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let path = "/api/v1/activations";
    site.post(path, &body(json!({"dictionary": "none"})))
        .await
        .problem(404, "unknown-dictionary");
    for changes in [
        json!({"prompt": {"text": ""}}),
        json!({"prompt": {"messages": [{"role": "wizard", "content": "hi"}]}}),
        json!({"prompt": {"messages": [{"role": "user"}]}}),
        json!({"prompt": {"ids": [512]}}),
        json!({"prompt": {"ids": [-1]}}),
        json!({"prompt": {"text": "hi ".repeat(2000)}}),
        json!({"prompt": {"text": "hi", "colour": 1}}),
        json!({"latents": [128]}),
        json!({"latents": "some"}),
        json!({"top_k": 65}),
        json!({"top_k": -1}),
        json!({"surprise": 1}),
    ] {
        let answer = site.post(path, &body(changes.clone())).await;
        assert_eq!(answer.status, 422, "{changes}: {}", answer.text());
        answer.problem(422, "invalid");
    }

    let lane = |intervention: Value| {
        body(json!({"lanes": [{"model": "chat", "interventions": [intervention]}]}))
    };
    for path in ["/api/v1/generate", "/api/v1/effects"] {
        for intervention in [
            json!({"kind": "explode"}),
            json!({"kind": "take"}),
            json!({"kind": "take", "from": "base", "positions": "everywhere"}),
            json!({"kind": "take", "from": "base", "positions": [99_999]}),
            json!({"kind": "scale", "latents": [1, 1], "factor": 0}),
            json!({"kind": "scale", "latents": "all", "factor": 0}),
            json!({"kind": "clamp", "latents": [1], "value": -1}),
            json!({"kind": "clamp", "latents": [1, 1], "value": 1}),
            json!({"kind": "project_out", "latents": [99_999]}),
            json!({"kind": "reconstruct", "latents": [1]}),
            json!({"kind": "scale", "latents": [1], "factor": 1e300}),
            json!({"kind": "add", "latents": [{"id": 1, "strength": 1}]}),
            json!({"kind": "add", "latents": [{"id": 128, "strength": 1}], "unit": "raw"}),
        ] {
            let answer = site.post(path, &lane(intervention.clone())).await;
            assert_eq!(answer.status, 422, "{intervention}: {}", answer.text());
            answer.problem(422, "invalid");
        }
        site.post(path, &body(json!({"lanes": []})))
            .await
            .problem(422, "invalid");
        site.post(path, &body(json!({"lanes": [{"model": "tuned"}]})))
            .await
            .problem(422, "invalid");
    }
    // A number that JSON allows and no float holds.
    let huge = body(json!({"lanes": [{"model": "chat"}]}))
        .to_string()
        .replace(
            "[{",
            "[{\"interventions\":[{\"kind\":\"scale\",\"latents\":[1],\"factor\":1e999}],",
        );
    let kind = Some("application/json");
    site.post_raw("/api/v1/generate", kind, huge)
        .await
        .problem(422, "invalid");
    assert_eq!(site.get("/readyz").await.status, 200, "the server lives on");
}

#[tokio::test]
async fn without_models_prompts_are_refused_and_the_rest_is_served() {
    let mut no_models = manifest();
    (no_models.base, no_models.chat) = (None, None);
    let browse_only = Site::of(study(&manifest()), |options| options.browse_only = true).await;
    let without = Site::of(study(&no_models), |_| ()).await;
    for (site, word) in [(browse_only, "--browse-only"), (without, "study.toml")] {
        assert!(site.app.absent().unwrap().contains(word));
        assert_eq!(site.get("/readyz").await.json()["state"], "browse_only");
        let info = site.get("/api/v1/study").await.json();
        assert_eq!(info["models"]["available"], false);
        assert!(info["models"]["reason"].as_str().unwrap().contains(word));
        assert!(info["base"].is_null());
        assert_eq!(site.get(LATENTS).await.json()["total"], 128);
        for path in ["/api/v1/activations", "/api/v1/generate", "/api/v1/effects"] {
            let body =
                json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": [{"model": "chat"}]});
            let body = if path.ends_with("activations") {
                json!({"dictionary": "l1", "prompt": {"text": "hi"}})
            } else {
                body
            };
            let answer = site.post(path, &body).await;
            let detail = answer.problem(503, "no-models");
            assert!(detail.contains(word), "{detail}");
            assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
        }
    }
}

/// A study whose base model has NaN as the last weight of a tensor, which no header shows.
fn study_with_nan(tensor: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures().join("base")).unwrap() {
        let entry = entry.unwrap();
        let mut bytes = std::fs::read(entry.path()).unwrap();
        if entry.file_name() == "model.safetensors" {
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let data = file.tensor(tensor).unwrap().data().as_ptr_range();
            let last = data.end as usize - bytes.as_ptr() as usize - 4;
            bytes[last..last + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        std::fs::write(folder.path().join(entry.file_name()), bytes).unwrap();
    }
    let mut manifest = manifest();
    manifest.base.as_mut().unwrap().path = Some(folder.path().into());
    (study(&manifest), folder)
}

#[tokio::test]
async fn an_upper_half_that_cannot_be_used_fails_what_needs_it() {
    let (study, _base) = study_with_nan("model.norm.weight");
    let app = server::App::open(&options(study.path())).unwrap();
    app.ready().await.unwrap();
    let site = Site::over(app, study);
    let asked = |kl: bool| json!({"dictionary": "l1", "prompt": {"text": "hi"}, "kl": kl});
    for _ in 0..2 {
        let answer = site.post("/api/v1/activations", &asked(true)).await;
        assert!(answer.problem(500, "internal").contains("NaN"));
        let answer = site.post("/api/v1/activations", &asked(false)).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn weights_that_cannot_be_used_leave_the_rest_to_be_served() {
    let (study, _base) = study_with_nan("model.embed_tokens.weight");
    let app = server::App::open(&options(study.path())).unwrap();
    let error = app.ready().await.unwrap_err().to_string();
    assert!(error.contains("NaN") && error.contains("tensor"), "{error}");
    let site = Site::over(app, study);

    let answer = site.get("/readyz").await;
    assert!(answer.problem(503, "no-models").contains("NaN"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["state"], "failed");
    let prompt = json!({"dictionary": "l1", "prompt": {"text": "hi"}});
    let answer = site.post("/api/v1/activations", &prompt).await;
    assert!(answer.problem(503, "no-models").contains("NaN"));
    assert!(!answer.header("retry-after").is_empty());
    let info = site.get("/api/v1/study").await.json();
    assert!(info["models"]["reason"].as_str().unwrap().contains("NaN"));
    assert_eq!(site.get(LATENTS).await.json()["total"], 128);
}
