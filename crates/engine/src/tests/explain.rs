//! Explaining a token against the same edits one by one.

use api::{EffectsRequest, ExplainRequest, ExplainResponse};
use serde_json::json;

use super::*;
use crate::{effects::EffectsJob, explain::ExplainJob};

fn explain(slug: &str, prompt: &Prompt, token: usize, limit: usize) -> Result<ExplainResponse> {
    let request = ExplainRequest {
        dictionary: slug.into(),
        prompt: prompt.clone(),
        token,
        limit,
    };
    ExplainJob::new(&request, pair())?.run(pair(), &Turns::endless())
}

#[test]
fn each_latent_s_divergence_is_what_effects_give_for_it_alone() {
    let (prompt, ids) = conversation(1);
    for slug in ["l1", "batchtopk"] {
        for token in [0, 5, ids.len() - 1] {
            let found = explain(slug, &prompt, token, 7).unwrap();
            let take = json!({"kind": "take", "from": "base"});
            let moved = |latents: serde_json::Value| {
                let moved = json!({"kind": "move", "latents": latents, "positions": [token]});
                chat(json!([take, moved]))
            };
            let mut lanes = vec![chat(json!([take])), moved(json!("all"))];
            lanes.extend(found.latents.iter().map(|l| moved(json!([l.id]))));
            // No more than eight lanes to a request.
            let mut one_by_one = Vec::new();
            for lanes in lanes.chunks(8) {
                let request = EffectsRequest {
                    dictionary: slug.into(),
                    prompt: prompt.clone(),
                    lanes: lanes.to_vec(),
                    generated: 0,
                };
                let job = EffectsJob::new(&request, pair()).unwrap();
                let lanes = job.run(pair(), &Turns::endless()).unwrap().lanes;
                one_by_one.extend(lanes.iter().map(|lane| f64::from(lane.kl_from_chat[token])));
            }
            let found: Vec<f32> = [found.kl_before, found.kl_all]
                .into_iter()
                .chain(found.latents.iter().map(|l| l.kl_after))
                .collect();
            let error = error(found, &one_by_one);
            assert!(error < 1e-4, "{slug}, token {token}: {error}");
        }
    }
}

#[test]
fn the_latents_are_the_active_ones_that_differ_most() {
    let (prompt, ids) = conversation(1);
    let token = ids.len() - 1;
    for slug in ["l1", "batchtopk"] {
        let d = &dictionary(slug).crosscoder;
        // Conversation 1 follows the 16 tokens of conversation 0.
        let f = &reference(&format!("{slug}.f"))[(16 + token) * 128..(17 + token) * 128];
        let mut expected: Vec<(u32, f64)> = (0..128u32)
            .filter(|j| f[*j as usize] > 0.0)
            .map(|j| {
                let rows = [0, 1].map(|model| d.residual_row(model, j));
                let difference: Vec<f32> =
                    rows[1].iter().zip(&rows[0]).map(|(c, b)| c - b).collect();
                (j, f[j as usize] * f64::from(diffing::norm(&difference)))
            })
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        let found = explain(slug, &prompt, token, 32).unwrap();
        assert_eq!(found.active, expected.len(), "{slug}");
        expected.truncate(32);
        let lengths: Vec<f64> = expected.iter().map(|(_, length)| *length).collect();
        let error = error(found.latents.iter().map(|l| l.contribution), &lengths);
        assert!(error < 1e-4, "{slug}: {error}");
        let few = explain(slug, &prompt, token, 3).unwrap();
        let ids = |r: &ExplainResponse| r.latents.iter().map(|l| l.id).collect::<Vec<_>>();
        assert_eq!(ids(&few), ids(&found)[..few.latents.len()]);
        assert_eq!(few.latents.len(), 3.min(expected.len()));
    }
}

#[test]
fn a_token_outside_the_prompt_or_too_many_latents_are_refused() {
    let (prompt, ids) = conversation(0);
    for (token, limit, part) in [
        (ids.len(), 4, "numbered from 0"),
        (0, 0, "limit is 0"),
        (0, 33, "limit is 33"),
    ] {
        let sentence = explain("l1", &prompt, token, limit)
            .unwrap_err()
            .to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
}
