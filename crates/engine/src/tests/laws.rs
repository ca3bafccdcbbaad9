//! What must hold of edits whatever the weights are.

use serde_json::json;

use super::*;

fn bits(logits: &[Vec<f32>]) -> Vec<u32> {
    logits.iter().flatten().map(|x| x.to_bits()).collect()
}

fn close(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let reference: Vec<f64> = b.iter().flatten().map(|x| f64::from(*x)).collect();
    error(a.iter().flatten().copied(), &reference)
}

#[test]
fn edits_of_no_strength_change_no_bit() {
    let (_, ids) = conversation(1);
    let nothing = [
        json!([]),
        json!([{"kind": "move", "latents": "all", "scale": 0}]),
        json!([{"kind": "move", "latents": []}]),
        json!([{"kind": "add", "latents": [{"id": 1, "strength": 0}, {"id": 2, "strength": -0.0}], "unit": "raw"}]),
        json!([{"kind": "scale", "latents": [1, 2, 3], "factor": 1}]),
        json!([{"kind": "scale", "latents": [], "factor": 0}]),
        json!([{"kind": "clamp", "latents": [], "value": 4}]),
        json!([{"kind": "project_out", "latents": []}]),
        json!([{"kind": "reconstruct", "positions": []}]),
        json!([{"kind": "add", "latents": [{"id": 1, "strength": 3}], "positions": []}]),
        json!([{"kind": "add", "latents": [{"id": 1, "strength": 3}], "positions": "generated"}]),
        json!([{"kind": "add", "latents": [{"id": 1, "strength": 3}], "positions": "first_answer:0"}]),
        json!([{"kind": "take", "from": "chat"}]),
        json!([{"kind": "add", "latents": [{"id": 1, "strength": 3}]}, {"kind": "take", "from": "base"}, {"kind": "take", "from": "chat"}]),
    ];
    let model = pair().model(api::ModelName::Chat);
    let mut cache = model.cache(ids.len());
    let whole = model
        .forward(&ids, &mut cache, None, None, gemma::Logits::All)
        .unwrap();
    let plain: Vec<Vec<f32>> = whole.logits.unwrap().to_vec2().unwrap();
    for interventions in nothing {
        let edited = forced(&chat(interventions.clone()), "l1", &ids);
        assert_eq!(bits(&edited), bits(&plain), "{interventions}");
    }
}

#[test]
fn inactive_latents_move_nothing() {
    let (_, ids) = conversation(1);
    let inactive = reference("batchtopk.v");
    let silent: Vec<u32> = (0..128u32)
        .filter(|j| inactive.chunks(128).all(|row| row[*j as usize] == 0.0))
        .collect();
    assert!(!silent.is_empty(), "the reference has dead latents");
    let edits = json!([{"kind": "move", "latents": silent}, {"kind": "scale", "latents": silent, "factor": 7}]);
    let edited = forced(&chat(edits), "batchtopk", &ids);
    let plain = forced(&chat(json!([])), "batchtopk", &ids);
    assert_eq!(bits(&edited), bits(&plain));
}

#[test]
fn code_returns_at_take_and_scaling_composes() {
    let (_, ids) = conversation(1);
    let scale =
        |factor: f32| json!({"kind": "scale", "latents": [0, 1, 2, 3, 4], "factor": factor});
    let take = json!({"kind": "take", "from": "chat"});
    let run = |edits: serde_json::Value| forced(&chat(edits), "l1", &ids);
    let ablated = run(json!([scale(0.0)]));
    assert!(
        close(&ablated, &run(json!([]))) > 1e-3,
        "ablation does something"
    );
    assert_eq!(
        bits(&run(json!([scale(5.0), take, scale(0.0)]))),
        bits(&ablated)
    );
    // After an ablation g is 0, so scaling again finds nothing to scale.
    assert_eq!(bits(&run(json!([scale(0.0), scale(3.0)]))), bits(&ablated));
    // 2 then 3 is 6, of the current code and not of f.
    assert!(
        close(
            &run(json!([scale(2.0), scale(3.0)])),
            &run(json!([scale(6.0)]))
        ) < 1e-4
    );
}

#[test]
fn scaling_by_two_after_taking_base_is_the_additive_patch() {
    let (_, ids) = conversation(1);
    let chosen: Vec<u32> = (0..16).collect();
    let lane = chat(
        json!([{"kind": "take", "from": "base"}, {"kind": "scale", "latents": chosen, "factor": 2, "decoder": "chat"}]),
    );
    let found = forced(&lane, "l1", &ids);

    let base = pair().model(api::ModelName::Base);
    let h = base.lower(&ids, 2, &mut base.cache(ids.len())).unwrap();
    let mut h: Vec<Vec<f32>> = h.to_vec2().unwrap();
    let f = reference("l1.f");
    for (t, row) in h.iter_mut().enumerate() {
        for j in 0..16 {
            // Conversation 1 follows the 16 tokens of conversation 0.
            let code = f[(16 + t) * 128 + j] as f32;
            let d = dictionary("l1").crosscoder.residual_row(1, j as u32);
            row.iter_mut().zip(d).for_each(|(x, d)| *x += code * d);
        }
    }
    let h = on_device(pair(), h.concat());
    let model = pair().model(api::ModelName::Chat);
    let logits = model
        .upper(&h, 2, &mut model.cache(ids.len()), gemma::Logits::All)
        .unwrap();
    let error = close(&found, &logits.to_vec2().unwrap());
    assert!(error < 1e-4, "{error}");
}

/// Edits of a few latents make those latents' codes alone, edits of many read the whole dictionary's.
#[test]
fn edits_of_many_latents_are_those_of_a_few_and_a_few() {
    let (_, ids) = conversation(1);
    let plain = forced(&chat(json!([])), "batchtopk", &ids);
    for (kind, more) in [
        ("scale", json!({"factor": 0})),
        ("scale", json!({"factor": 3, "decoder": "base"})),
        ("clamp", json!({"value": 1})),
        ("move", json!({"scale": 0.7})),
    ] {
        let edit = |latents: std::ops::Range<u32>| {
            let mut edit = more.clone();
            edit["kind"] = json!(kind);
            edit["latents"] = json!(latents.collect::<Vec<_>>());
            edit
        };
        let many = forced(&chat(json!([edit(0..120)])), "batchtopk", &ids);
        let few = json!([edit(0..60), edit(60..120)]);
        let few = forced(&chat(few), "batchtopk", &ids);
        assert!(close(&many, &few) < 1e-5, "{kind}");
        assert!(close(&many, &plain) > 1e-3, "{kind}");
        // In one lane both kinds read the same codes.
        let mixed = json!([edit(0..60), edit(0..120)]);
        let twice = json!([edit(0..60), edit(0..60), edit(60..120)]);
        let [mixed, twice] = [mixed, twice].map(|e| forced(&chat(e), "batchtopk", &ids));
        assert!(close(&mixed, &twice) < 1e-5, "{kind}");
    }
}

#[test]
fn moving_there_and_back_is_the_identity() {
    let (_, ids) = conversation(1);
    let plain = forced(&lane(json!({"model": "base"})), "l1", &ids);
    // `move` reads f, which no edit changes, so its inverse is itself with the other sign.
    let there = json!({"kind": "move", "latents": "all", "scale": 1.5});
    let back = json!({"kind": "move", "latents": "all", "scale": -1.5});
    let both = lane(json!({"model": "base", "interventions": [there, back]}));
    assert!(close(&forced(&both, "l1", &ids), &plain) < 1e-4);
    let one = lane(json!({"model": "base", "interventions": [there]}));
    assert!(close(&forced(&one, "l1", &ids), &plain) > 1e-3);
}

#[test]
fn units_agree_where_they_should() {
    let (_, ids) = conversation(0);
    let d = dictionary("batchtopk");
    let row = d.row(1, 3);
    let norm = diffing::norm(&row);
    let w = d.crosscoder.scaling()[3];
    let add = |unit: &str, strength: f32| {
        let edit =
            json!([{"kind": "add", "latents": [{"id": 3, "strength": strength}], "unit": unit}]);
        forced(&chat(edit), "batchtopk", &ids)
    };
    let raw = add("raw", 1.0);
    assert!(close(&add("norm", norm), &raw) < 1e-5);
    // The latent's maximum is 2 in these tests.
    assert!(close(&add("max_activation", w / 2.0), &raw) < 1e-5);
    let base_row = json!([{"kind": "add", "latents": [{"id": 3, "strength": 1}], "unit": "raw", "decoder": "base"}]);
    assert!(close(&forced(&chat(base_row), "batchtopk", &ids), &raw) > 1e-4);
}

#[test]
fn lanes_that_need_no_code_never_touch_the_other_model() {
    let needs = |edits: serde_json::Value| {
        let plan = Plan::new(
            &chat(edits),
            dictionary("l1"),
            Extent { prompt: 10, new: 5 },
        )
        .unwrap();
        [0, 10, 12, 14].map(|position| plan.needs_other(position))
    };
    assert_eq!(
        needs(json!([{"kind": "add", "latents": [{"id": 1, "strength": 1}]}])),
        [false; 4]
    );
    assert_eq!(needs(json!([{"kind": "take", "from": "chat"}])), [false; 4]);
    assert_eq!(needs(json!([{"kind": "move", "latents": [1]}])), [true; 4]);
    assert_eq!(
        needs(json!([{"kind": "take", "from": "base", "positions": "prompt"}])),
        [true, false, false, false]
    );
    assert_eq!(
        needs(json!([{"kind": "scale", "latents": [1], "factor": 0, "positions": [3, 12]}])),
        [true, true, true, false]
    );
    assert_eq!(
        needs(json!([{"kind": "project_out", "latents": [1]}])),
        [false; 4]
    );
    for coded in [
        json!({"kind": "clamp", "latents": [1], "value": 0}),
        json!({"kind": "reconstruct", "decoder": "base"}),
    ] {
        assert_eq!(needs(json!([coded])), [true; 4]);
    }
}

#[test]
fn decoupled_code_is_each_model_s_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.dictionaries.remove(0);
    let slug = options.dictionaries[0].slug.clone();
    options.dictionaries[0].path = edited_dictionary(
        dir.path(),
        "crosscoder-batchtopk",
        |name, shape, data| match name {
            "code_normalization_id" => *data = 5i64.to_le_bytes().to_vec(),
            "threshold" => {
                // The chat model's threshold is so much lower that it fires where the base model does not.
                let threshold = f32::from_le_bytes(data[..].try_into().unwrap()) / 2.0;
                *shape = vec![2];
                *data = [threshold, threshold / 8.0]
                    .iter()
                    .flat_map(|t| t.to_le_bytes())
                    .collect();
            }
            _ => (),
        },
    );
    std::fs::write(
        options.dictionaries[0].path.join("config.json"),
        r#"{"activation_dim": 48, "dict_size": 128, "code_normalization": "DECOUPLED"}"#,
    )
    .unwrap();
    let pair = Pair::load(&options, &mut |_| ()).unwrap();
    let d = pair.dictionary(&slug).unwrap();
    // A latent's natural maximum is divided by the decoder's own norm.
    for model in 0..2 {
        let expected = 2.0 / d.crosscoder.norms(model)[1];
        let max = d.natural_maximum("add", "norm", 1).unwrap();
        assert_eq!(d.code("add", 1, max, model).unwrap(), expected);
    }

    let (_, ids) = conversation(1);
    let [base, chat_residual] = api::ModelName::BOTH.map(|name| {
        let model = pair.model(name);
        model.lower(&ids, 2, &mut model.cache(ids.len())).unwrap()
    });
    let codes = d
        .crosscoder
        .codes(&crate::pair::paired(&base, &chat_residual).unwrap())
        .unwrap();
    let alone = codes
        .all()
        .iter()
        .filter(|a| a.f[0] == 0.0 && a.f[1] > 0.0)
        .count();
    assert!(alone > 0, "some latents fire in the chat model alone");

    let every: Vec<u32> = (0..128).collect();
    for (model, residual) in [("base", 0), ("chat", 1)] {
        let ablate =
            chat(json!([{"kind": "scale", "latents": every, "factor": 0, "decoder": model}]));
        let plan = Plan::new(
            &ablate,
            d,
            Extent {
                prompt: ids.len(),
                new: 0,
            },
        )
        .unwrap();
        let found = forced_by(&pair, d, &plan, &ids);

        let mut h: Vec<Vec<f32>> = chat_residual.to_vec2().unwrap();
        for (t, row) in h.iter_mut().enumerate() {
            for active in codes.token(t) {
                let direction = d.crosscoder.residual_row(residual, active.id);
                row.iter_mut()
                    .zip(direction)
                    .for_each(|(x, y)| *x -= active.f[residual] * y);
            }
        }
        let h = on_device(&pair, h.concat());
        let upper = pair.model(api::ModelName::Chat);
        let logits = upper
            .upper(&h, 2, &mut upper.cache(ids.len()), gemma::Logits::All)
            .unwrap();
        let error = close(&found, &logits.to_vec2().unwrap());
        assert!(error < 1e-4, "{model}: {error}");
    }
}
