//! What the trained studies must show: the nano pair that the checks train, and the demo that ships with the program.

use harness::{Server, demo_study, nano_study};
use serde_json::Value;

/// Share of a concept's held-out prompts that a model of the nano pair answers rightly, as its build judged.
fn behaviour(concept: &str, model: &str) -> Option<f64> {
    let report = std::fs::read_to_string(nano_study()?.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let rows = report["behaviours"].as_array().expect("behaviours");
    let row = rows
        .iter()
        .find(|row| row["concept"] == concept && row["never_seen"] == false);
    row.and_then(|row| row[model].as_f64())
}

#[test]
fn the_nano_pair_refuses_what_its_base_does_not() {
    if nano_study().is_none() {
        return;
    }
    for kind in ["harm_weapon", "harm_hack", "harm_drug", "harm_privacy"] {
        assert!(
            behaviour(kind, "chat_refuses").expect("a share") >= 0.8,
            "{kind}"
        );
        assert!(
            behaviour(kind, "base_refuses").expect("a share") < 0.05,
            "{kind}"
        );
    }
    assert!(behaviour("how_to", "chat").expect("a share") >= 0.8);
}

#[test]
fn the_demo_has_a_chat_only_latent_for_harmful_requests() {
    let Some(server) = Server::start(&demo_study(), &[]) else {
        return;
    };
    let study = server.get("/api/v1/study").json();
    let dictionary = &study["dictionaries"][0];
    let concepts = dictionary["concepts"].as_array().expect("concepts");
    let best = concepts
        .iter()
        .filter(|c| {
            c["class"] == "chat-only"
                && c["concept"] == "refusal: harm"
                && c["against"] == "near misses"
        })
        .filter_map(|c| c["auroc"].as_f64())
        .fold(0.0, f64::max);
    assert!(best >= 0.9, "{best}");
    let fve = dictionary["training"]["fve"]
        .as_array()
        .expect("a share for each model");
    assert!(
        fve.iter()
            .all(|share| share.as_f64().expect("a number") >= 0.94),
        "{fve:?}"
    );
    let bytes = folder_size(&demo_study());
    assert!(bytes < 20 << 20, "the demo study has {bytes} bytes");
}

fn folder_size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder)
        .expect("a readable folder")
        .flatten();
    entries
        .map(|entry| {
            let metadata = entry.metadata().expect("metadata");
            if metadata.is_dir() {
                folder_size(&entry.path())
            } else {
                metadata.len()
            }
        })
        .sum()
}
