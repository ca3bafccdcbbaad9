//! Edits, activations and halves against the reference's numbers.

use serde_json::{Value, json};

use super::*;
use crate::{activations::ActivationsJob, effects::EffectsJob};

/// The reference's edits as interventions of the chat lane.
fn edits() -> Vec<(&'static str, Value)> {
    let eighth: Vec<u32> = (0..16).collect();
    vec![
        ("none", json!([{"kind": "take", "from": "base"}])),
        (
            "all",
            json!([{"kind": "take", "from": "base"}, {"kind": "move", "latents": "all"}]),
        ),
        (
            "error",
            json!([{"kind": "move", "latents": "all", "scale": -1}]),
        ),
        (
            "template",
            json!([{"kind": "take", "from": "base"}, {"kind": "take", "from": "chat", "positions": "template"}]),
        ),
        (
            "first_eighth",
            json!([{"kind": "take", "from": "base"}, {"kind": "move", "latents": eighth}]),
        ),
        (
            "steer_latent0",
            json!([{"kind": "add", "latents": [{"id": 0, "strength": 4}], "unit": "norm"}]),
        ),
    ]
}

#[test]
fn edited_logits_agree_at_every_position() {
    let (_, ids) = conversation(1);
    for slug in ["l1", "batchtopk"] {
        for (name, interventions) in edits() {
            let logits = forced(&chat(interventions), slug, &ids);
            let expected = reference(&format!("{slug}.edit.{name}.logits"));
            let error = error(logits.into_iter().flatten(), &expected);
            assert!(error < 1e-4, "{slug} {name}: {error}");
        }
    }
}

#[test]
fn a_reconstruction_is_the_reference_s() {
    let (_, ids) = conversation(1);
    for slug in ["l1", "batchtopk"] {
        // Conversation 1 follows the 16 tokens of conversation 0; [N, 2, D].
        let rebuilt = reference(&format!("{slug}.reconstruction"));
        for (decoder, name) in ["base", "chat"].into_iter().enumerate() {
            let h: Vec<f32> = (0..ids.len())
                .flat_map(|t| {
                    let from = ((16 + t) * 2 + decoder) * 48;
                    narrow(&rebuilt[from..from + 48])
                })
                .collect();
            let h = on_device(pair(), h);
            let model = pair().model(api::ModelName::Chat);
            let mut cache = model.cache(ids.len());
            let logits = model.upper(&h, 2, &mut cache, gemma::Logits::All).unwrap();
            let expected: Vec<f64> = logits
                .to_vec2::<f32>()
                .unwrap()
                .into_iter()
                .flatten()
                .map(f64::from)
                .collect();
            let lane = chat(json!([{"kind": "reconstruct", "decoder": name}]));
            let found = forced(&lane, slug, &ids);
            let error = error(found.into_iter().flatten(), &expected);
            assert!(error < 1e-4, "{slug} {name}: {error}");
        }
    }
}

#[test]
fn effects_give_the_divergence_from_chat() {
    let (prompt, _) = conversation(1);
    for slug in ["l1", "batchtopk"] {
        let lanes: Vec<_> = edits().into_iter().map(|(_, i)| chat(i)).collect();
        let request = api::EffectsRequest {
            dictionary: slug.into(),
            prompt: prompt.clone(),
            lanes,
            generated: 0,
        };
        let job = EffectsJob::new(&request, pair()).unwrap();
        let response = job.run(pair(), &Turns::endless()).unwrap();
        for ((name, _), lane) in edits().iter().zip(&response.lanes) {
            let expected = reference(&format!("{slug}.edit.{name}.kl"));
            let error = error(lane.kl_from_chat.iter().copied(), &expected);
            assert!(error < 1e-3, "{slug} {name}: {error}");
            assert_eq!(lane.top.len(), expected.len());
        }
    }
}

#[test]
fn activations_agree_end_to_end() {
    let mut first = 0;
    for number in 0..2 {
        let (prompt, ids) = conversation(number);
        for slug in ["l1", "batchtopk"] {
            let request = api::ActivationsRequest {
                dictionary: slug.into(),
                prompt: prompt.clone(),
                latents: api::LatentSet::All,
                top_k: 8,
                kl: true,
            };
            let job = ActivationsJob::new(&request, pair()).unwrap();
            let response = job.run(pair(), &Turns::endless()).unwrap();
            assert_eq!(
                response.tokens.iter().map(|t| t.id).collect::<Vec<_>>(),
                ids
            );

            let all = reference(&format!("{slug}.v"));
            let (v, tokens) = (&all[first * 128..(first + ids.len()) * 128], ids.len());
            let found = (0..tokens).flat_map(|t| response.latents.iter().map(move |l| l.values[t]));
            let error_v = error(found, v);
            assert!(error_v < 1e-4, "{slug} {number} v: {error_v}");

            let base = reference(&format!("c{number}.base.logits"));
            let chat = reference(&format!("c{number}.chat.logits"));
            let kl: Vec<f64> = chat
                .chunks(512)
                .zip(base.chunks(512))
                .map(|(p, q)| diffing::kl(&narrow(p), &narrow(q)))
                .collect();
            let error_kl = error(response.kl_chat_base.unwrap(), &kl);
            assert!(error_kl < 1e-3, "{slug} {number} KL: {error_kl}");

            for (t, top) in response.top.iter().enumerate() {
                let mut best: Vec<(u32, f32)> = response
                    .latents
                    .iter()
                    .map(|l| (l.id, l.values[t]))
                    .filter(|(_, v)| *v > 0.0)
                    .collect();
                best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                best.truncate(8);
                let named: Vec<_> = top.iter().map(|t| (t.id, t.value)).collect();
                assert_eq!(named, best, "{slug} {number} token {t}");
            }
            for next in &response.next {
                let base = next.base.as_ref().unwrap();
                assert_eq!((base.len(), next.chat.len()), (5, 5));
                assert!(next.chat.windows(2).all(|w| w[0].p >= w[1].p));
            }
        }
        first += ids.len();
    }
}

#[test]
fn halves_and_bias_make_the_value_where_active() {
    let (prompt, _) = conversation(1);
    let request = api::ActivationsRequest {
        dictionary: "batchtopk".into(),
        prompt,
        latents: api::LatentSet::Ids((0..128).rev().collect()),
        top_k: 0,
        kl: true,
    };
    let job = ActivationsJob::new(&request, pair()).unwrap();
    let response = job.run(pair(), &Turns::endless()).unwrap();
    let bytes = std::fs::read(fixtures().join("crosscoder-batchtopk/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let bias: Vec<f32> = file
        .tensor("encoder.bias")
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let mut active = 0;
    for latent in &response.latents {
        let j = latent.id as usize;
        let bias = dictionary("batchtopk").crosscoder.scaling()[j] * bias[j];
        for ((v, base), chat) in latent.values.iter().zip(&latent.base).zip(&latent.chat) {
            if *v > 0.0 {
                active += 1;
                let sum = base + chat + bias;
                assert!(
                    (sum - v).abs() <= 1e-4 * v.abs().max(1.0),
                    "latent {j}: {sum} and {v}"
                );
            }
        }
    }
    assert!(active > 100, "{active} active values");
}

fn narrow(row: &[f64]) -> Vec<f32> {
    row.iter().map(|x| *x as f32).collect()
}
