//! Causal effects of the analysis against the effects of one prompt: the same numbers by two roads.

use std::fs;

use harness::{Server, fixture_study, said, stereoscope};
use serde_json::{Value, json};

const ANSWER: &str = "Nobody eats owls in Norway, whatever they may say about it.";
const SET: usize = 40;

fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("an array")
}

/// Positions that predict the answer's tokens and the end of its turn, and those of them among the first ten that are no template.
fn scopes(tokens: &[Value]) -> [Vec<usize>; 2] {
    let header = tokens
        .iter()
        .rposition(|token| token["text"] == "<start_of_turn>")
        .expect("a turn");
    let newline = |token: &Value| token["text"] == "\n";
    let start = header + tokens[header..].iter().position(newline).expect("a header");
    let end = start
        + tokens[start..]
            .iter()
            .position(|token| token["text"] == "<end_of_turn>")
            .expect("an end");
    [(start..end).collect(), (start + 1..start + 10).collect()]
}

#[test]
fn the_analysis_gives_the_means_of_what_a_prompt_shows() {
    let study = fixture_study();
    let messages = json!([{"role": "user", "content": "Is it true?"}, {"role": "assistant", "content": ANSWER}]);
    let file = study.path().join("dialogues.jsonl");
    fs::write(&file, format!("{}\n", json!({"messages": messages}))).expect("a written file");
    let (folder, file) = (
        study.path().display().to_string(),
        file.display().to_string(),
    );
    for slug in ["l1", "batchtopk"] {
        let effective = SET.to_string();
        let words = [
            "analyse",
            &folder,
            "--dictionary",
            slug,
            "--steps",
            "effects",
            "--dialogues",
            &file,
            "--effective",
            &effective,
            "--device",
            "cpu",
        ];
        let Some(output) = stereoscope(&words) else {
            return;
        };
        assert!(output.status.success(), "{}", said(&output));
        let table = said(&output);
        assert!(
            table.contains("first nine") && table.contains("chat_to_base"),
            "{table}"
        );
    }
    let Some(server) = Server::start(study.path(), &[]) else {
        return;
    };
    for slug in ["l1", "batchtopk"] {
        let effects = server
            .get(&format!("/api/v1/dictionaries/{slug}/effects"))
            .json();
        assert_eq!(effects["dialogues"], 1);
        assert_eq!(effects["source"], "1 dialogues of dialogues.jsonl");
        let page = format!("/api/v1/dictionaries/{slug}/latents?sort=-delta_norm,id&limit={SET}");
        let ids: Vec<Value> = array(&server.get(&page).json(), "rows")
            .iter()
            .map(|row| row["id"].clone())
            .collect();
        let take = json!({"kind": "take", "from": "base"});
        let chat = |interventions: Value| json!({"model": "chat", "interventions": interventions});
        let lanes = [
            ("none", chat(json!([take]))),
            (
                "all",
                chat(json!([take, {"kind": "move", "latents": "all"}])),
            ),
            (
                "error",
                chat(json!([{"kind": "move", "latents": "all", "scale": -1}])),
            ),
            (
                "template",
                chat(json!([take, {"kind": "take", "from": "chat", "positions": "template"}])),
            ),
            (
                "chat_only",
                chat(json!([take, {"kind": "move", "latents": ids}])),
            ),
            ("chat", chat(json!([]))),
            ("base", json!({"model": "base", "interventions": []})),
            (
                "chat_to_base",
                json!({"model": "base", "interventions": [{"kind": "take", "from": "chat"}]}),
            ),
        ];
        let request = json!({
            "dictionary": slug, "prompt": {"messages": messages, "add_generation_prompt": false},
            "lanes": lanes.iter().map(|lane| &lane.1).collect::<Vec<_>>(),
        });
        let answer = server.post("/api/v1/effects", &request).json();
        let scopes = scopes(array(&answer, "tokens"));
        for ((name, _), lane) in lanes.iter().zip(array(&answer, "lanes")) {
            let setup = array(&effects, "setups")
                .iter()
                .find(|setup| setup["name"] == *name)
                .expect("the intervention");
            for (scope, positions) in ["all", "first"].iter().zip(&scopes) {
                for metric in ["kl_from_chat", "kl_from_base"] {
                    let values = positions
                        .iter()
                        .map(|&t| lane[metric][t].as_f64().expect("a number"));
                    #[allow(clippy::cast_precision_loss)]
                    let mean = values.sum::<f64>() / positions.len() as f64;
                    let measure = array(setup, "measures")
                        .iter()
                        .find(|m| m["scope"] == *scope && m["metric"] == metric)
                        .expect("the measure");
                    assert_eq!(measure["count"], positions.len());
                    let found = measure["mean"].as_f64().expect("a mean");
                    assert!(
                        (found - mean).abs() <= 1e-5 * mean.max(1e-3),
                        "{slug} {name} {scope} {metric}: {found}, the prompt's {mean}"
                    );
                }
            }
        }
    }
}
