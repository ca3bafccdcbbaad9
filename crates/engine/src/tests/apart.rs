//! Lanes apart: each with its own way to choose tokens, answers under teacher forcing, values in units of a latent's maximum.

use api::{EffectsRequest, GenerateEvent, GenerateRequest, Prompt, Sampling};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::{
    effects::EffectsJob,
    generate::{GenerateJob, Generating},
    job::Queued,
    metrics::Counters,
};

/// Every lane's tokens.
fn generated(prompt: &Prompt, lanes: &Value, sampling: &Value) -> Result<Vec<Vec<u32>>> {
    let body =
        json!({"dictionary": "batchtopk", "prompt": prompt, "lanes": lanes, "sampling": sampling});
    let request: GenerateRequest = serde_json::from_value(body).unwrap();
    let job = GenerateJob::new(&request, pair())?;
    let (events, mut receiver) = mpsc::unbounded_channel();
    let since = std::time::Instant::now();
    let mut generating = Generating::new(Queued { job, events, since }, pair());
    while generating.turn(&Counters::default()).unwrap() {}
    drop(generating);
    let mut tokens = vec![Vec::new(); request.lanes.len()];
    while let Some(event) = receiver.blocking_recv() {
        if let GenerateEvent::Token(token) = event {
            tokens[token.lane].push(token.id);
        }
    }
    Ok(tokens)
}

#[test]
fn a_lane_of_its_own_sampling_is_that_of_a_request_that_samples_so() {
    let (prompt, _) = conversation(0);
    let usual = json!({"max_new_tokens": 9, "temperature": 1.5, "seed": 3});
    let own =
        json!({"max_new_tokens": 5, "temperature": 2.0, "top_p": 0.99, "top_k": 30, "seed": 8});
    let alone = |sampling: &Value| {
        generated(&prompt, &json!([{"model": "chat"}]), sampling)
            .unwrap()
            .remove(0)
    };
    let lanes = json!([{"model": "chat"}, {"model": "chat", "sampling": own}, {"model": "chat"}]);
    let together = generated(&prompt, &lanes, &usual).unwrap();
    assert_eq!(together, [alone(&usual), alone(&own), alone(&usual)]);
    assert_ne!(
        together[0][..together[1].len().min(together[0].len())],
        together[1][..]
    );
    assert!(together[1].len() <= 5);
    // One token kept of every distribution is the greedy one.
    let greedy = alone(&json!({"max_new_tokens": 9}));
    assert_eq!(
        alone(&json!({"max_new_tokens": 9, "temperature": 1.5, "top_k": 1, "seed": 5})),
        greedy
    );
    let bad = json!([{"model": "chat", "sampling": {"temperature": -1}}]);
    let refused = generated(&prompt, &bad, &usual).unwrap_err().to_string();
    assert!(refused.contains("temperature is -1"), "{refused}");
}

#[test]
fn sampling_that_says_nothing_new_is_written_as_before() {
    let sampling = serde_json::to_value(Sampling::default()).unwrap();
    assert_eq!(
        sampling.get("top_k"),
        None,
        "saved runs are named by what is written"
    );
    let lane = serde_json::to_value(chat(json!([]))).unwrap();
    assert_eq!(lane.get("sampling"), None);
    let clamp = json!({"kind": "clamp", "latents": [1], "value": 2.0, "positions": "all"});
    let written = serde_json::to_value(chat(json!([clamp]))).unwrap();
    assert_eq!(written["interventions"][0].get("unit"), None);
}

#[test]
fn an_answer_under_teacher_forcing_is_predicted_as_it_was_generated() {
    let (prompt, ids) = conversation(0);
    let edits = json!([
        {"kind": "add", "latents": [{"id": 1, "strength": 3}], "positions": "generated"},
        {"kind": "scale", "latents": [2], "factor": 2, "positions": "prompt"},
    ]);
    let lanes = json!([{"model": "chat", "interventions": edits}]);
    let answer = generated(&prompt, &lanes, &json!({"max_new_tokens": 8}))
        .unwrap()
        .remove(0);
    let mut whole = ids.clone();
    whole.extend(&answer);
    let forced = |generated: usize| {
        let request = EffectsRequest {
            dictionary: "batchtopk".into(),
            prompt: Prompt::ids(whole.clone()),
            lanes: serde_json::from_value(lanes.clone()).unwrap(),
            generated,
        };
        EffectsJob::new(&request, pair())?.run(pair(), &Turns::endless())
    };
    let effects = forced(answer.len()).unwrap().lanes.remove(0);
    let predicted: Vec<u32> = effects.top[ids.len() - 1..whole.len() - 1]
        .iter()
        .map(|top| top[0].id)
        .collect();
    assert_eq!(predicted, answer);
    let as_prompt = forced(0).unwrap().lanes.remove(0);
    assert_ne!(
        as_prompt.kl_from_chat[ids.len()..],
        effects.kl_from_chat[ids.len()..]
    );
    let refused = forced(whole.len()).unwrap_err().to_string();
    assert!(refused.contains("generated is"), "{refused}");
}

#[test]
fn a_clamp_in_units_of_the_maximum_is_one_to_so_much_activation() {
    let compiled = |clamp: Value| compile(&chat(json!([clamp])), "batchtopk", 4);
    // Latents 1 and 3 have the maximum 2.
    let units = json!({"kind": "clamp", "latents": [1, 3], "value": 1.5, "unit": "max_activation"});
    let plain = json!({"kind": "clamp", "latents": [1, 3], "value": 3.0});
    assert_eq!(compiled(units).unwrap(), compiled(plain).unwrap());
    for (latent, words) in [(5, "natural maximum is 0"), (120, "unknown")] {
        let clamp =
            json!({"kind": "clamp", "latents": [latent], "value": 1.0, "unit": "max_activation"});
        let refused = compiled(clamp).unwrap_err().to_string();
        assert!(
            refused.contains(words) && refused.contains("unit activation"),
            "{refused}"
        );
    }
}
