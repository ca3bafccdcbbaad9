//! What a server says of its memory before it loads, what it answers while it loads, and what it loads only when asked.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use harness::{Server, fixture_study, said, stereoscope};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

const EMBEDDING: &str = "model.embed_tokens.weight";

/// The reference study with vocabularies so large that loading takes a while; their files have holes where the embeddings are.
fn slow_study() -> TempDir {
    const TOKENS: usize = 1_500_000;
    let study = fixture_study();
    for model in ["base", "chat"] {
        let folder = study.path().join(model);
        let config = folder.join("config.json");
        let mut value: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
        let width = value["hidden_size"].as_u64().unwrap() as usize;
        value["vocab_size"] = TOKENS.into();
        fs::write(&config, value.to_string()).unwrap();
        let mut tensors = Vec::new();
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().extension().is_some_and(|x| x == "safetensors") {
                let bytes = fs::read(entry.path()).unwrap();
                for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                    tensors.push((
                        name,
                        view.shape().to_vec(),
                        view.dtype(),
                        view.data().to_vec(),
                    ));
                }
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let _ = fs::remove_file(folder.join("model.safetensors.index.json"));
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, shape, dtype, bytes) in tensors.iter().filter(|t| t.0 != EMBEDDING) {
            let offsets = [data.len(), data.len() + bytes.len()];
            let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
            header.insert(name.clone(), entry);
            data.extend(bytes);
        }
        let end = data.len() + 2 * TOKENS * width;
        let entry =
            json!({"dtype": "BF16", "shape": [TOKENS, width], "data_offsets": [data.len(), end]});
        header.insert(EMBEDDING.into(), entry);
        let header = Value::from(header).to_string();
        let mut file = File::create(folder.join("model.safetensors")).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes())
            .unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.write_all(&data).unwrap();
        file.set_len((8 + header.len() + end) as u64).unwrap();
    }
    study
}

fn asked(kl: bool) -> Value {
    json!({"dictionary": "l1", "prompt": {"text": "a b"}, "latents": [3], "kl": kl})
}

#[test]
fn nothing_half_loaded_serves() {
    let study = slow_study();
    let Some(server) = Server::start_without_waiting(study.path(), &[]) else {
        return;
    };
    let deadline = Instant::now() + Duration::from_mins(2);
    let (mut fractions, mut refused) = (Vec::new(), 0);
    loop {
        let ready = server.get("/readyz");
        let body = ready.json();
        if ready.status == 200 {
            assert_eq!(body["state"], "ready");
            break;
        }
        ready.problem(503);
        assert_eq!(body["state"], "loading");
        fractions.push(body["fraction"].as_f64().unwrap());
        let answer = server.post("/api/v1/activations", &asked(true));
        // It may have become ready meanwhile.
        if answer.status != 200 {
            answer.problem(503);
            assert!(answer.header("retry-after").is_some());
            refused += 1;
        }
        // What the page shows beside the share read; it may have become ready meanwhile.
        let models = &server.get("/api/v1/study").json()["models"];
        if models["available"] == false {
            let reason = models["reason"].as_str().unwrap();
            assert!(reason.contains("are loading"), "{reason}");
        }
        // Whatever needs no models is there already.
        assert_eq!(
            server.get("/api/v1/dictionaries/l1/latents?limit=1").status,
            200
        );
        assert_eq!(server.get("/healthz").status, 200);
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(refused > 0, "it was ready at once");
    assert!(fractions.is_sorted(), "{fractions:?}");
    assert!(
        fractions.iter().all(|f| (0.0..=1.0).contains(f)),
        "{fractions:?}"
    );
    let answer = server.post("/api/v1/activations", &asked(true));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn the_bases_upper_half_is_loaded_when_it_is_asked_for() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &[]) else {
        return;
    };
    let resident = |model: &str, half: &str| -> bool {
        let line = format!("stereoscope_resident_halves{{model=\"{model}\",half=\"{half}\"}} ");
        let text = server.get("/metrics").text();
        let value = text.lines().find_map(|l| l.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("no {line}in {text}")) == "1"
    };
    let state =
        || ["base", "chat"].map(|model| ["lower", "upper"].map(|half| resident(model, half)));
    assert_eq!(state(), [[true, false], [true, true]]);
    let without = server.post("/api/v1/activations", &asked(false)).json();
    assert_eq!(state(), [[true, false], [true, true]]);
    assert!(without["kl_chat_base"].is_null());
    let next = without["next"].as_array().unwrap();
    assert!(
        next.iter()
            .all(|n| n["base"].is_null() && n["chat"].is_array())
    );
    let with = server.post("/api/v1/activations", &asked(true)).json();
    assert_eq!(state(), [[true, true], [true, true]]);
    for key in ["tokens", "latents", "top"] {
        assert_eq!(with[key], without[key]);
    }
    assert_eq!(with["kl_chat_base"].as_array().unwrap().len(), next.len());
    for (with, without) in with["next"].as_array().unwrap().iter().zip(next) {
        assert_eq!(with["chat"], without["chat"]);
        assert_eq!(with["base"].as_array().unwrap().len(), 5);
    }
    // The same answer as once everything is there.
    let again = server.post("/api/v1/activations", &asked(false)).json();
    assert_eq!(again, without);
}

#[test]
fn a_plan_is_printed_and_one_that_does_not_fit_refused() {
    let study = fixture_study();
    let folder = study.path().to_string_lossy().into_owned();
    let Some(output) = stereoscope(&["serve", &folder, "--plan"]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    let shown = said(&output);
    for part in [
        "base model up to layer 2",
        "base model after it, f32, from its first use",
        "chat model",
        "dictionary l1",
        "cache of a chat lane",
        "scratch",
        "needed on cpu",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let plan = |arguments: &[&str]| {
        let all = [&["serve", &folder, "--plan", "--json"], arguments].concat();
        let output = stereoscope(&all).unwrap();
        let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(plan["fits"] != false, output.status.success());
        plan
    };
    let whole = plan(&[]);
    let needed = whole["rooms"][0]["needed"].as_u64().unwrap();
    let parts = whole["parts"].as_array().unwrap();
    let sum: u64 = parts
        .iter()
        .map(|part| part["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(needed, sum);
    assert_eq!(plan(&["--memory", &needed.to_string()])["fits"], true);
    assert_eq!(
        plan(&["--memory", &(needed - 1).to_string()])["fits"],
        false
    );
    assert!(plan(&["--browse-only"]).is_null());

    let short = [
        "serve",
        &folder,
        "--memory",
        "10kB",
        "--addr",
        "127.0.0.1:0",
    ];
    let output = stereoscope(&short).unwrap();
    assert!(!output.status.success());
    let refused = said(&output);
    for part in [
        "do not fit",
        "10.0 kB available",
        "--browse-only",
        "chat model",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!refused.contains("http://"), "{refused}");

    let corpus = study.path().join("corpus.jsonl");
    fs::write(&corpus, "{\"text\": \"a b c\"}\n").unwrap();
    let corpus = corpus.to_string_lossy().into_owned();
    let collect = |memory: &str| {
        let arguments = [
            "collect", &folder, "--corpus", &corpus, "--tokens", "100", "--memory", memory,
        ];
        stereoscope(&arguments).unwrap()
    };
    let refused = collect("10kB");
    assert!(!refused.status.success());
    assert!(said(&refused).contains("--memory"), "{}", said(&refused));
    let collected = collect("1GB");
    assert!(collected.status.success(), "{}", said(&collected));
    let shown = said(&collected);
    assert!(shown.contains("chat model up to layer 2"), "{shown}");
    assert!(!shown.contains("chat model after it"), "{shown}");
    let analyse = |memory: &str| {
        stereoscope(&[
            "analyse",
            &folder,
            "--dictionary",
            "l1",
            "--steps",
            "logit-lens",
            "--memory",
            memory,
        ])
        .unwrap()
    };
    let refused = analyse("10kB");
    assert!(!refused.status.success() && said(&refused).contains("dictionary l1"));
    let analysed = analyse("1GB");
    assert!(analysed.status.success(), "{}", said(&analysed));
    assert!(
        said(&analysed).contains("chat model after it"),
        "{}",
        said(&analysed)
    );
}

#[test]
fn devices_and_formats_are_named_as_documented() {
    let study = fixture_study();
    let folder = study.path().to_string_lossy().into_owned();
    for (flag, value) in [
        ("--device", "gpu"),
        ("--base-device", "tpu"),
        ("--chat-device", "cuda:x"),
        ("--precision", "f8"),
        ("--memory", "much"),
    ] {
        let Some(output) = stereoscope(&["serve", &folder, "--plan", flag, value]) else {
            return;
        };
        assert!(!output.status.success());
        let shown = said(&output);
        assert!(shown.contains(flag) && shown.contains(value), "{shown}");
    }
    let on_host = [
        "--base-device",
        "cpu",
        "--chat-device",
        "cpu",
        "--precision",
        "f32",
    ];
    let output = stereoscope(&[&["serve", &folder, "--plan"][..], &on_host].concat()).unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
