//! Lanes that generate, by the engine: one and eight at once, and with interventions on every generated token.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::{GenerateEvent, GenerateRequest, ReadyState};
use engine::{DictionaryOptions, Engine, Limits, Options, Precision, WeightChoice};
use harness::side::{Outcome, Task};
use serde_json::{Value, json};

use super::ours::{count, device, ids, path};

/// Name of the dictionary.
const SLUG: &str = "bench";
/// The latent that is steered.
const LATENT: u32 = 0;

/// Kinds of interventions, as both sides name them, and what each reads.
pub(crate) const INTERVENTIONS: [(&str, &str); 3] = [
    ("add", "a direction added"),
    ("scale", "a latent ablated by its code"),
    ("reconstruct", "the residual rebuilt from its code"),
];

/// Gives a model's folder the tokenizer and the template of the repository's small models: the engine asks for them.
pub(crate) fn add_tokenizer(folder: &Path) {
    let from = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/chat"));
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(name), folder.join(name)).expect("a tokenizer's file");
    }
}

fn intervention(kind: &str) -> Vec<Value> {
    let mut edit = match kind {
        "add" => json!({"latents": [{"id": LATENT, "strength": 1}], "unit": "norm"}),
        "scale" => json!({"latents": [LATENT], "factor": 0}),
        "reconstruct" => json!({}),
        _ => return Vec::new(),
    };
    edit["kind"] = json!(kind);
    edit["positions"] = json!("generated");
    vec![edit]
}

fn options(setup: &Value) -> Options {
    let device = device(setup);
    Options {
        base: path(setup, "model").into(),
        chat: path(setup, "chat").into(),
        layer: count(setup, "layer"),
        dictionaries: vec![DictionaryOptions {
            slug: SLUG.into(),
            path: path(setup, "dictionary").into(),
            max_activations: Vec::new(),
        }],
        device,
        model_devices: [None; 2],
        memory: Some(u64::MAX),
        beside: 0,
        precision: Precision::Auto,
        weights: WeightChoice::Auto,
        rounded: std::env::temp_dir(),
        limits: Limits::default(),
    }
}

/// Starts an engine and waits for its models.
fn start(setup: &Value) -> Engine {
    let describe =
        |error: &engine::Error| -> api::Problem { panic!("a generation failed: {error}") };
    let engine = Engine::start(options(setup), describe).expect("an engine");
    loop {
        let readiness = engine.readiness();
        match readiness.state {
            ReadyState::Loading => std::thread::sleep(Duration::from_millis(20)),
            ReadyState::Ready => return engine,
            _ => panic!("the models are not there: {:?}", readiness.detail),
        }
    }
}

/// Generates after the ids; what is timed is from the first token to the last. The check is the probability of the first lane's first two
/// tokens: the first comes before an intervention on generated tokens, the second after.
pub(crate) fn lanes(setup: &Value) -> Task {
    let engine = start(setup);
    let kind = setup["intervention"].as_str().unwrap_or_default();
    let lane = json!({"model": "chat", "interventions": intervention(kind)});
    let request: GenerateRequest = serde_json::from_value(json!({
        "dictionary": SLUG,
        "prompt": {"ids": ids(setup)},
        "lanes": vec![lane; count(setup, "lanes")],
        "sampling": {"max_new_tokens": count(setup, "new")},
    }))
    .expect("a request");
    let wanted = count(setup, "lanes") * count(setup, "new");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    Box::new(move || {
        runtime.block_on(async {
            let mut events = engine
                .generate(request.clone())
                .await
                .expect("a generation");
            let (mut first, mut last, mut check) = (None, Instant::now(), Vec::new());
            let mut tokens = 0;
            while let Some(event) = events.recv().await {
                if let GenerateEvent::Token(token) = event {
                    last = Instant::now();
                    first.get_or_insert(last);
                    tokens += 1;
                    if token.lane == 0 && token.index < 2 {
                        check.push(f64::from(token.logprob));
                    }
                }
            }
            assert_eq!(tokens, wanted, "a lane ended early");
            Outcome {
                seconds: first.map_or(f64::NAN, |first| (last - first).as_secs_f64()),
                check,
            }
        })
    })
}
