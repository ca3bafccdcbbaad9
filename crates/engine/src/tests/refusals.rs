//! Requests and files that cannot be used: each a sentence that names the fault.

use api::{ActivationsRequest, GenerateRequest};
use serde_json::{Value, json};

use super::*;
use crate::{Error, activations::ActivationsJob, check, generate::GenerateJob};

fn generate(changes: &[(&str, Value)]) -> Result<GenerateJob> {
    let mut body =
        json!({"dictionary": "l1", "prompt": {"text": "hi"}, "lanes": [{"model": "chat"}]});
    for (key, value) in changes {
        body[*key] = value.clone();
    }
    let request: GenerateRequest = serde_json::from_value(body).unwrap();
    GenerateJob::new(&request, pair())
}

fn refusal(intervention: Value) -> String {
    let lanes = json!([{"model": "chat", "interventions": [intervention]}]);
    match generate(&[("lanes", lanes)]).err() {
        Some(error @ Error::Invalid(_)) => error.to_string(),
        other => panic!("{intervention}: {other:?}"),
    }
}

#[test]
fn interventions_are_refused_with_the_reason() {
    let add = |id: u32, strength: f64, unit: &str| json!({"kind": "add", "latents": [{"id": id, "strength": strength}], "unit": unit});
    let cases = [
        (add(128, 1.0, "raw"), "no latent 128"),
        (add(1, 1e39, "raw"), "finite"),
        (add(6, 3e38, "max_activation"), "finite"),
        (add(100, 1.0, "max_activation"), "unknown"),
        (add(5, 1.0, "max_activation"), "never fired"),
        (
            json!({"kind": "add", "latents": [{"id": 1, "strength": 1}, {"id": 1, "strength": 2}]}),
            "twice",
        ),
        (
            json!({"kind": "move", "latents": [1, 128]}),
            "no latent 128",
        ),
        (json!({"kind": "move", "latents": [1, 1]}), "twice"),
        (
            json!({"kind": "move", "latents": "all", "scale": -1e39}),
            "finite",
        ),
        (
            json!({"kind": "scale", "latents": [7, 7], "factor": 0}),
            "twice",
        ),
        (
            json!({"kind": "scale", "latents": [1], "factor": 1e39}),
            "finite",
        ),
        (
            json!({"kind": "take", "from": "base", "positions": [5000]}),
            "position 5000",
        ),
        (
            json!({"kind": "clamp", "latents": [1, 1], "value": 1}),
            "twice",
        ),
        (
            json!({"kind": "clamp", "latents": [128], "value": 1}),
            "no latent 128",
        ),
        (
            json!({"kind": "clamp", "latents": [1], "value": -0.5}),
            "never negative",
        ),
        (
            json!({"kind": "clamp", "latents": [1], "value": 1e39}),
            "finite",
        ),
        (
            json!({"kind": "project_out", "latents": [7, 3, 7]}),
            "twice",
        ),
        (
            json!({"kind": "project_out", "latents": [128]}),
            "no latent 128",
        ),
        (
            json!({"kind": "reconstruct", "positions": [5000]}),
            "position 5000",
        ),
    ];
    for (intervention, part) in cases {
        let sentence = refusal(intervention.clone());
        assert!(sentence.contains(part), "{intervention}: {sentence}");
    }
}

#[test]
fn a_zero_row_has_no_direction() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.dictionaries.truncate(1);
    options.dictionaries[0].path =
        edited_dictionary(dir.path(), "crosscoder-l1", |name, _, data| {
            if name == "decoder.weight" {
                // Row 3 of the chat decoder.
                data[(128 + 3) * 48 * 4..(128 + 4) * 48 * 4].fill(0);
            }
        });
    let pair = Pair::load(&options, &mut |_| ()).unwrap();
    for kind in [
        json!({"kind": "add", "latents": [{"id": 3, "strength": 1}], "unit": "norm"}),
        json!({"kind": "project_out", "latents": [4, 3]}),
    ] {
        let zero = chat(json!([kind]));
        let plan = Plan::new(&zero, &pair.dictionaries[0], Extent { prompt: 4, new: 0 });
        let sentence = plan.unwrap_err().to_string();
        assert!(sentence.contains("latent 3 has a zero row"), "{sentence}");
    }
}

#[test]
fn prompts_and_sampling_are_refused_with_the_reason() {
    let cases = [
        ("prompt", json!({}), "exactly one"),
        ("prompt", json!({"text": ""}), "empty"),
        ("prompt", json!({"messages": []}), "no messages"),
        (
            "prompt",
            json!({"messages": [{"role": "user", "content": " "}]}),
            "blank",
        ),
        (
            "prompt",
            json!({"messages": [{"role": "wizard", "content": "hi"}]}),
            "wizard",
        ),
        (
            "prompt",
            json!({"messages": [{"role": "assistant", "content": "hi"}]}),
            "template",
        ),
        ("prompt", json!({"ids": [6, 512]}), "id 512 at position 1"),
        ("prompt", json!({"ids": vec![6; 257]}), "at most 256"),
        (
            "prompt",
            json!({"text": "hi", "add_generation_prompt": true}),
            "add_generation_prompt",
        ),
        ("lanes", json!([]), "0 lanes"),
        ("lanes", json!(vec![json!({"model": "chat"}); 9]), "9 lanes"),
        (
            "lanes",
            json!([{"model": "chat", "interventions": vec![json!({"kind": "take", "from": "base"}); 65]}]),
            "lane 0 has 65 interventions; expected at most 64",
        ),
        (
            "sampling",
            json!({"max_new_tokens": 0}),
            "max_new_tokens is 0",
        ),
        (
            "sampling",
            json!({"max_new_tokens": 100_000}),
            "max_new_tokens is 100000",
        ),
        ("sampling", json!({"temperature": -1}), "temperature is -1"),
        ("sampling", json!({"top_p": 0}), "top_p is 0"),
        ("sampling", json!({"top_p": 1.5}), "top_p is 1.5"),
    ];
    for (key, value, part) in cases {
        let sentence = match generate(&[(key, value.clone())]).err() {
            Some(Error::Invalid(sentence)) => sentence,
            other => panic!("{key} {value}: {other:?}"),
        };
        assert!(sentence.contains(part), "{key} {value}: {sentence}");
    }
    assert!(matches!(
        generate(&[("dictionary", json!("none"))]).err(),
        Some(Error::UnknownDictionary { slug, .. }) if slug == "none"
    ));
}

#[test]
fn activations_are_refused_with_the_reason() {
    let request = |latents: Value, top_k: usize| -> Result<ActivationsJob> {
        let body = json!({"dictionary": "l1", "prompt": {"text": "hi"}, "latents": latents, "top_k": top_k});
        let request: ActivationsRequest = serde_json::from_value(body).unwrap();
        ActivationsJob::new(&request, pair())
    };
    for (latents, top_k, part) in [
        (json!([128]), 8, "no latent 128"),
        (json!([]), 65, "top_k is 65"),
        (json!(vec![1; 3_000_000]), 8, "4194304"),
    ] {
        let sentence = request(latents, top_k).err().unwrap().to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn checks_name_what_does_not_fit() {
    let sentence = |options: &Options| check(options).unwrap_err().to_string();
    let mut far = options();
    far.layer = 4;
    assert!(
        sentence(&far).contains("layer 4 is out of range"),
        "{}",
        sentence(&far)
    );

    let dir = tempfile::tempdir().unwrap();
    let mut missing = options();
    missing.dictionaries[1].path = dir.path().join("nothing");
    assert!(
        sentence(&missing).contains("nothing"),
        "{}",
        sentence(&missing)
    );

    let mut bf16 = options();
    bf16.precision = Precision::Bf16;
    assert!(sentence(&bf16).contains("f32"));

    let narrow = dir.path().join("narrow");
    small_dictionary(&narrow, 32);
    let mut other = options();
    other.dictionaries[0].path = narrow;
    let said = sentence(&other);
    assert!(
        said.contains("32 wide") && said.contains("48 wide"),
        "{said}"
    );

    let config = gemma::Config::read(fixtures().join("base/config.json")).unwrap();
    for (what, change) in [
        ("width", (32, config.vocab_size)),
        ("vocabulary", (config.hidden_size, 600)),
    ] {
        let mut config = config.clone();
        (config.hidden_size, config.vocab_size) = change;
        let folder = dir.path().join(what);
        let model = gemma::train::Trainable::new(config, 1).unwrap();
        model.save(&folder, candle_core::DType::F32).unwrap();
        let mut different = options();
        different.base = folder;
        let said = sentence(&different);
        assert!(said.contains(what) && said.contains("chat"), "{said}");
    }
    let checked = check(&options()).unwrap();
    assert_eq!(
        (
            checked.base.hidden_size,
            checked.chat.layers,
            checked.device.as_str()
        ),
        (48, 4, "cpu")
    );
    assert_eq!(checked.max_prompt_tokens, 256);
    assert_eq!(checked.dictionaries[1].kind, "batchtopk");
}

/// A dictionary of four latents for models of another width.
fn small_dictionary(dir: &std::path::Path, width: usize) {
    let shapes = [
        ("encoder.weight", vec![2, width, 4]),
        ("encoder.bias", vec![4]),
        ("decoder.weight", vec![2, 4, width]),
        ("decoder.bias", vec![2, width]),
    ];
    let zeros = vec![0u8; 2 * width * 4 * 4];
    let views = shapes.iter().map(|(name, shape)| {
        let bytes = &zeros[..shape.iter().product::<usize>() * 4];
        (
            *name,
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)
                .unwrap(),
        )
    });
    std::fs::create_dir(dir).unwrap();
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).unwrap();
}
