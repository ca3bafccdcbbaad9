//! The HTTP interface of the real program, over the trained nano study and over the reference checkpoints.

use std::time::{Duration, Instant};

use harness::{Answer, Server, fixture_study, nano_study};
use serde_json::{Value, json};

fn nano() -> Option<(Server, String)> {
    let server = Server::start(&nano_study()?, &[])?;
    let slug = server.get("/api/v1/study").json()["dictionaries"][0]["slug"]
        .as_str()
        .expect("a dictionary")
        .to_owned();
    Some((server, slug))
}

fn user(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

fn rows(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["rows"].as_array().expect("rows").clone()
}

fn tokens_of(answer: &Answer, lane: u64) -> Vec<u64> {
    let events = answer.events();
    let tokens = events
        .iter()
        .filter(|e| e.name == "token" && e.data["lane"] == lane);
    tokens
        .map(|e| e.data["id"].as_u64().expect("an id"))
        .collect()
}

#[test]
fn the_study_says_what_it_is_and_what_can_be_done() {
    let Some((server, slug)) = nano() else { return };
    let study = server.get("/api/v1/study").json();
    assert_eq!(study["models"]["available"], true);
    assert_eq!(study["base"]["vocab_size"], study["chat"]["vocab_size"]);
    let dictionary = &study["dictionaries"][0];
    assert_eq!(dictionary["slug"], slug.as_str());
    let counted: u64 = dictionary["counts"]["classes"]
        .as_array()
        .expect("classes")
        .iter()
        .map(|c| c[1].as_u64().expect("a count"))
        .sum();
    assert_eq!(counted, dictionary["latents"].as_u64().expect("latents"));
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").json()["state"], "ready");
    assert!(server.get("/metrics").text().contains("# TYPE"));
    let openapi = server.get("/api/v1/openapi.json").json();
    for route in ["/api/v1/study", "/api/v1/activations", "/api/v1/generate"] {
        assert!(
            openapi["paths"].get(route).is_some(),
            "{route} is not described"
        );
    }
}

#[test]
fn latents_are_filtered_sorted_and_paged_without_loss() {
    let Some((server, slug)) = nano() else { return };
    let path = |query: &str| format!("/api/v1/dictionaries/{slug}/latents?{query}");
    let all = server.get(&path("limit=1000")).json();
    let total = all["total"].as_u64().expect("a total");
    let ids: Vec<u64> = rows(&server.get(&path("limit=1000")))
        .iter()
        .map(|r| r["id"].as_u64().expect("id"))
        .collect();
    assert!(
        ids.windows(2).all(|w| w[0] < w[1]),
        "the default order is by id"
    );
    assert_eq!(ids.len() as u64, total.min(1000));

    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let next = cursor
            .as_ref()
            .map(|c| format!("&cursor={c}"))
            .unwrap_or_default();
        let page = server
            .get(&path(&format!("sort=-nu_epsilon,id&limit=37{next}")))
            .json();
        seen.extend(
            page["rows"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|r| (r["nu_epsilon"].as_f64(), r["id"].as_u64().expect("id"))),
        );
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let known = seen.iter().take_while(|(nu, _)| nu.is_some()).count();
    assert!(
        seen[..known].windows(2).all(|w| w[0].0 >= w[1].0),
        "descending"
    );
    assert!(
        seen[known..].iter().all(|(nu, _)| nu.is_none()),
        "unknown values come last"
    );
    let mut unique: Vec<u64> = seen.iter().map(|(_, id)| *id).collect();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len() as u64, total, "every latent exactly once");

    let chat_only = rows(&server.get(&path("class=chat-only&limit=1000")));
    assert!(!chat_only.is_empty());
    assert!(chat_only.iter().all(|r| r["class"] == "chat-only"));
    let strong = rows(&server.get(&path("min_delta_norm=0.7&limit=1000")));
    assert!(
        strong.len() >= chat_only.len()
            && strong
                .iter()
                .all(|r| r["delta_norm"].as_f64().expect("a number") >= 0.7)
    );
}

#[test]
fn a_latent_has_its_numbers_lenses_and_examples() {
    let Some((server, slug)) = nano() else { return };
    let row = &rows(&server.get(&format!(
        "/api/v1/dictionaries/{slug}/latents?class=chat-only&sort=-active_tokens&limit=1"
    )))[0];
    let id = row["id"].as_u64().expect("id");
    let detail = server
        .get(&format!("/api/v1/dictionaries/{slug}/latents/{id}"))
        .json();
    assert_eq!(detail["delta_norm"], row["delta_norm"]);
    let active: u64 = detail["histogram"]["counts"]
        .as_array()
        .expect("counts")
        .iter()
        .map(|c| c.as_u64().expect("count"))
        .sum();
    assert_eq!(
        active,
        detail["active_tokens"].as_u64().expect("active tokens")
    );
    for lens in ["lens_base", "lens_chat"] {
        assert!(!detail[lens]["top"].as_array().expect("top").is_empty());
    }
    let examples = server
        .get(&format!(
            "/api/v1/dictionaries/{slug}/latents/{id}/examples"
        ))
        .json();
    let examples = examples["examples"].as_array().expect("examples").clone();
    let sequences: u64 = detail["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| group["sequences"].as_u64().expect("a count"))
        .sum();
    assert!(
        sequences >= 60,
        "the most active latent fires in many sequences"
    );
    assert!(examples.len() >= 20, "{} examples", examples.len());
    let maximum = detail["max_activation"].as_f64().expect("a maximum");
    for example in &examples {
        assert_eq!(
            example["tokens"].as_array().expect("tokens").len(),
            example["values"].as_array().expect("values").len()
        );
        let largest = example["values"]
            .as_array()
            .expect("values")
            .iter()
            .filter_map(Value::as_f64)
            .fold(0.0, f64::max);
        assert!(largest > 0.0 && largest <= maximum * 1.000_001);
    }
}

#[test]
fn activations_say_which_model_put_them_in() {
    let Some((server, slug)) = nano() else { return };
    let body = json!({"dictionary": slug, "prompt": user("How do I pick a lock?"), "latents": "all", "top_k": 3});
    let answer = server.post("/api/v1/activations", &body).json();
    let tokens = answer["tokens"].as_array().expect("tokens");
    assert_eq!(tokens[0]["kind"], "bos");
    assert_eq!(tokens[1]["kind"], "template");
    for key in ["top", "kl_chat_base", "next"] {
        assert_eq!(answer[key].as_array().expect(key).len(), tokens.len());
    }
    assert!(
        answer["kl_chat_base"]
            .as_array()
            .expect("kl")
            .iter()
            .all(|kl| kl.as_f64().expect("a number") >= -1e-6)
    );
    let value =
        |latent: usize, t: usize| answer["latents"][latent]["values"][t].as_f64().expect("v");
    for (t, top) in answer["top"].as_array().expect("top").iter().enumerate() {
        for entry in top.as_array().expect("entries") {
            let id = entry["id"].as_u64().expect("id") as usize;
            assert_eq!(entry["value"].as_f64(), Some(value(id, t)));
        }
    }
}

#[test]
fn the_command_line_prints_what_the_route_answers() {
    let Some((server, slug)) = nano() else { return };
    let study = nano_study().expect("the server has one");
    let body = json!({"dictionary": slug, "prompt": {"text": "The farmer went home."}, "latents": [1, 2], "top_k": 4});
    let route = server.post("/api/v1/activations", &body).json();
    let arguments = [
        "activations",
        study.to_str().expect("a path"),
        "--dictionary",
        &slug,
        "--text",
        "The farmer went home.",
        "--latents",
        "1,2",
        "--top",
        "4",
    ];
    let output = harness::stereoscope(&arguments).expect("the server has a program");
    assert!(output.status.success(), "{}", harness::said(&output));
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON"),
        route
    );
}

#[test]
fn lanes_generate_side_by_side_and_equal_lanes_agree() {
    let Some((server, slug)) = nano() else { return };
    let plain = json!({"model": "chat"});
    let identity = json!({"model": "chat", "interventions": [{"kind": "scale", "latents": [1], "factor": 1}, {"kind": "take", "from": "chat"}]});
    let other = json!({"model": "chat", "interventions": [{"kind": "take", "from": "base"}]});
    let body = json!({"dictionary": slug, "prompt": user("Tell me how to make a bomb."), "lanes": [plain, identity, other],
        "sampling": {"max_new_tokens": 24, "temperature": 0.7, "seed": 5}});
    let answer = server.post("/api/v1/generate", &body);
    assert!(
        answer
            .header("content-type")
            .expect("a type")
            .starts_with("text/event-stream")
    );
    let events = answer.events();
    assert_eq!(events[0].name, "meta");
    assert_eq!(events.iter().filter(|e| e.name == "done").count(), 3);
    assert_eq!(
        tokens_of(&answer, 0),
        tokens_of(&answer, 1),
        "identity edits change nothing"
    );
    assert_ne!(
        tokens_of(&answer, 0),
        tokens_of(&answer, 2),
        "the base model's residual changes the answer"
    );
    let again = server.post("/api/v1/generate", &body);
    assert_eq!(
        tokens_of(&answer, 0),
        tokens_of(&again, 0),
        "a seed gives the same tokens again"
    );
}

#[test]
fn every_mistake_is_a_problem_that_says_what_to_mend() {
    let Some((server, slug)) = nano() else { return };
    let latents = format!("/api/v1/dictionaries/{slug}/latents");
    server.get("/api/v1/nothing").problem(404);
    server.get("/api/v1/dictionaries/none/latents").problem(404);
    server.get(&format!("{latents}/99999999")).problem(404);
    server.delete("/api/v1/study").problem(405);
    server.delete("/api/v1/nothing").problem(404);
    for query in [
        "sort=beauty",
        "min_beauty=1",
        "limit=0",
        "limit=1001",
        "class=blue",
        "cursor=%20",
        "min_delta_norm=x",
        "unknown=1",
    ] {
        server.get(&format!("{latents}?{query}")).problem(422);
    }
    let activations = |body: &Value| server.post("/api/v1/activations", body);
    assert!(
        activations(&json!({"dictionary": "none", "prompt": user("hi")}))
            .problem(404)
            .contains("none")
    );
    for prompt in [
        json!({"messages": []}),
        json!({"messages": [{"role": "user", "content": "  "}]}),
        json!({"messages": [{"role": "wizard", "content": "hi"}]}),
        json!({"messages": [{"role": "assistant", "content": "hi"}]}),
        json!({"text": ""}),
        json!({"ids": []}),
        json!({"ids": [4_000_000]}),
        json!({"text": "hi", "ids": [2]}),
        json!({"text": "hi ".repeat(20_000)}),
        json!({}),
    ] {
        activations(&json!({"dictionary": slug, "prompt": prompt})).problem(422);
    }
    activations(&json!({"dictionary": slug, "prompt": user("hi"), "latents": [99_999_999]}))
        .problem(422);
    activations(&json!({"dictionary": slug, "prompt": user("hi"), "top_k": 65})).problem(422);
    activations(&json!({"dictionary": slug, "prompt": user("hi"), "surprise": 1})).problem(422);
    server
        .post_raw("/api/v1/activations", "application/json", b"{not json")
        .problem(400);
    server
        .post_raw("/api/v1/activations", "text/plain", b"{}")
        .problem(415);
    server
        .post_raw(
            "/api/v1/activations",
            "application/json",
            &vec![b' '; (1 << 20) + 1],
        )
        .problem(413);

    let lane = |intervention: Value| {
        let lanes = json!([{"model": "chat", "interventions": [intervention]}]);
        server.post(
            "/api/v1/generate",
            &json!({"dictionary": slug, "prompt": user("hi"), "lanes": lanes}),
        )
    };
    lane(json!({"kind": "clamp", "latents": [1], "value": -1})).problem(422);
    lane(json!({"kind": "project_out", "latents": [1, 1]})).problem(422);
    lane(json!({"kind": "reconstruct", "positions": [99_999]})).problem(422);
    lane(json!({"kind": "scale", "latents": [1, 1], "factor": 0})).problem(422);
    lane(json!({"kind": "add", "latents": [{"id": 99_999_999, "strength": 1}]})).problem(422);
    lane(json!({"kind": "take", "from": "chat", "positions": "everywhere"})).problem(422);
    assert_eq!(server.get("/readyz").status, 200, "the server lives on");
}

#[test]
fn a_client_that_leaves_frees_the_worker() {
    let Some((server, slug)) = nano() else { return };
    let body = json!({"dictionary": slug, "prompt": user("Tell me a joke."), "lanes": [{"model": "base"}],
        "sampling": {"max_new_tokens": 100, "temperature": 1.5, "seed": 1}});
    for _ in 0..5 {
        server.post_and_leave("/api/v1/generate", &body, 64);
    }
    let answer = server.post(
        "/api/v1/activations",
        &json!({"dictionary": slug, "prompt": user("hi")}),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn the_server_ends_when_asked() {
    let Some((mut server, _)) = nano() else {
        return;
    };
    let start = Instant::now();
    let status = server.terminate();
    assert!(status.success(), "{status}");
    assert!(start.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_study_without_analysis_serves_what_the_weights_alone_give() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &[]) else {
        return;
    };
    let answer = server.get("/api/v1/dictionaries/batchtopk/latents?limit=1000");
    let rows = rows(&answer);
    assert_eq!(rows.len(), 128);
    assert!(rows.iter().all(|r| r["dead"].is_null()
        && r["nu_epsilon"].is_null()
        && r["norm_chat"].as_f64().expect("a norm") > 0.0));
    let analysis = server.get("/api/v1/study").json()["dictionaries"][0]["analysis"].clone();
    assert_eq!(analysis["available"], false);
    assert!(
        analysis["reason"]
            .as_str()
            .expect("a reason")
            .contains("stereoscope"),
        "{analysis}"
    );
}

#[test]
fn a_browse_only_server_says_so_and_keeps_the_rest() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    assert_eq!(server.get("/readyz").json()["state"], "browse_only");
    assert_eq!(
        server.get("/api/v1/study").json()["models"]["available"],
        false
    );
    let answer = server.post(
        "/api/v1/activations",
        &json!({"dictionary": "l1", "prompt": {"text": "hi"}}),
    );
    answer.problem(503);
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn the_explorer_is_served_with_its_pages() {
    let Some((server, slug)) = nano() else { return };
    for page in [
        "/",
        "/lab",
        &format!("/d/{slug}"),
        &format!("/d/{slug}/l/3"),
    ] {
        let answer = server.get(page);
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .header("content-type")
                .expect("a type")
                .starts_with("text/html")
        );
    }
    let index = server.get("/").text();
    let script = index
        .split(['"', '\''])
        .find(|part| part.starts_with("./") && part.contains(".js"))
        .expect("the explorer is inside the program");
    let asset = server.get(script.trim_start_matches('.'));
    assert_eq!(asset.status, 200);
    assert!(
        asset
            .header("cache-control")
            .expect("caching")
            .contains("immutable")
    );
    server.get("/api/v1/").problem(404);
}
