//! The house keeps its floor plan: which crate may depend on which, and how large a room gets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Allowed arrows between the workspace's crates. The tests may use anything; xtask uses nothing.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("diffing", &["api"]),
    ("matrix", &[]),
    ("gemma", &["matrix"]),
    ("crosscoder", &["diffing", "matrix"]),
    ("hub", &[]),
    ("store", &["api", "diffing", "hub"]),
    ("engine", &["api", "diffing", "gemma", "crosscoder"]),
    ("server", &["api", "diffing", "store", "engine"]),
    (
        "pipeline",
        &["api", "diffing", "gemma", "crosscoder", "hub", "store"],
    ),
    ("organism", &["gemma", "pipeline"]),
    ("cli", &["server", "pipeline", "organism", "hub"]),
    ("frontend", &["api"]),
    ("xtask", &[]),
];

/// Libraries that only one layer may know.
const KEPT_APART: &[(&str, &[&str])] = &[
    ("axum", &["server"]),
    ("duckdb", &["store"]),
    ("hf-hub", &["hub"]),
    ("leptos", &["frontend"]),
    (
        "candle-core",
        &["gemma", "crosscoder", "engine", "pipeline", "organism"],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Crate → its normal dependencies.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let needs = package["dependencies"].as_array().expect("dependencies");
            let normal = needs
                .iter()
                .filter(|d| d["kind"].is_null())
                .filter_map(|d| d["name"].as_str());
            (
                package["name"].as_str().expect("name").to_owned(),
                normal.map(str::to_owned).collect(),
            )
        })
        .collect()
}

#[test]
fn dependencies_point_only_along_the_allowed_arrows() {
    let found = dependencies();
    let members: Vec<&String> = found.keys().collect();
    for (member, needs) in &found {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == member) else {
            assert_eq!(member, "tests", "{member} is not in the floor plan");
            continue;
        };
        for need in needs.iter().filter(|need| members.contains(need)) {
            assert!(
                allowed.contains(&need.as_str()),
                "{member} must not depend on {need}; allowed: {allowed:?}"
            );
        }
    }
    for (name, _) in ARROWS {
        assert!(found.contains_key(*name), "the crate {name} is missing");
    }
}

#[test]
fn each_framework_is_known_to_its_own_layer_only() {
    for (member, needs) in dependencies() {
        for (library, layers) in KEPT_APART {
            let known = needs.iter().any(|need| need == library);
            assert!(
                !known || layers.contains(&member.as_str()),
                "{member} must not depend on {library}"
            );
        }
    }
}

#[test]
fn no_file_is_two_rooms() {
    fn visit(folder: &Path, found: &mut Vec<(usize, PathBuf)>) {
        for entry in std::fs::read_dir(folder)
            .expect("a readable folder")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|x| x == "rs") {
                let lines = std::fs::read_to_string(&path)
                    .expect("a readable file")
                    .lines()
                    .count();
                if lines > 500 {
                    found.push((lines, path));
                }
            }
        }
    }
    let mut found = Vec::new();
    for part in ["crates", "server", "frontend", "tests"] {
        visit(&root().join(part), &mut found);
    }
    assert!(found.is_empty(), "over 500 lines: {found:?}");
}
