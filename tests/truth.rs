//! Ground truth of the nano study: the table is there, and anyone can repeat what it says of steering.

use harness::{Server, nano_study};
use serde_json::{Value, json};

/// Longest answer that the report judges, in tokens.
const ANSWER: u64 = 48;

fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("an array")
}

/// The chat model's greedy answer to a prompt with an intervention.
fn answer(server: &Server, prompt: &Value, intervention: &Value) -> String {
    let request = json!({
        "dictionary": "batchtopk",
        "prompt": {"messages": [{"role": "user", "content": prompt}]},
        "lanes": [{"model": "chat", "interventions": [intervention]}],
        "sampling": {"temperature": 0.0, "max_new_tokens": ANSWER},
    });
    let events = server.post("/api/v1/generate", &request).events();
    let tokens = events.iter().filter(|event| event.name == "token");
    let text: String = tokens
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    text.replace("<end_of_turn>", "")
}

#[test]
fn the_nano_study_tells_what_its_latents_mean_and_do() {
    let Some(study) = nano_study() else { return };
    let Some(server) = Server::start(&study, &[]) else {
        return;
    };
    let answered = server.get("/api/v1/dictionaries/batchtopk/truth");
    assert_eq!(answered.status, 200, "{}", answered.text());
    let truth = answered.json();
    let harm = array(&truth, "concepts")
        .iter()
        .find(|row| row["concept"] == "refusal: harm" && row["against"] == "near misses")
        .expect("harm against its near misses");
    let best = &harm["above_cut"];
    assert!(best["auroc"].as_f64().expect("a score") >= 0.75, "{harm}");
    let norm = best["delta_norm"].as_f64().expect("a norm");
    assert!(norm >= truth["cut"].as_f64().expect("a cut"), "{harm}");
    assert!(best["recall"].as_f64().expect("a share") >= 0.5, "{harm}");

    let tests = array(&truth, "steering");
    let own = |action: &str| {
        tests
            .iter()
            .find(|test| test["action"] == action && test["control"] == false)
            .unwrap_or_else(|| panic!("no {action}"))
    };
    for test in [own("scale"), own("add")] {
        let doses = array(test, "doses");
        assert!(doses.iter().any(|dose| dose["dose"] == test["chosen"]));
        assert!(
            doses
                .iter()
                .any(|dose| dose["share"] != test["undisturbed"]),
            "nothing comes of it: {test}"
        );
        let intervention = intervention(test);
        assert_eq!(
            answer(&server, &test["prompt"], &intervention),
            test["answer"].as_str().expect("an answer"),
            "{intervention}"
        );
    }
}

/// What a steering test did at its chosen dose.
fn intervention(test: &Value) -> Value {
    let (latents, dose) = (&test["sets"][0], &test["chosen"]);
    if test["action"] == "scale" {
        return json!({"kind": "scale", "latents": latents, "factor": dose, "positions": test["positions"]});
    }
    let each = latents.as_array().expect("latents").iter();
    let latents: Vec<Value> = each.map(|id| json!({"id": id, "strength": dose})).collect();
    json!({"kind": "add", "latents": latents, "positions": test["positions"]})
}
