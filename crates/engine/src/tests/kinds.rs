//! What must hold of clamping, projecting out and reconstructing, at the residual itself.

use api::ModelName;
use candle_core::Tensor;
use crosscoder::Codes;
use serde_json::{Value, json};

use super::*;
use crate::{
    edit::{self, Rows},
    pair::paired,
    places::Tracker,
};

/// Both models' residuals [T, D] of conversation 1 and their code, before any edit.
struct Plain {
    ids: Vec<u32>,
    residual: [Vec<f32>; 2],
    codes: Codes,
}

const WIDTH: usize = 48;

fn plain(slug: &str) -> Plain {
    plain_of(pair(), dictionary(slug))
}

fn plain_of(pair: &Pair, dictionary: &Dictionary) -> Plain {
    let (_, ids) = conversation(1);
    let [base, chat] = ModelName::BOTH.map(|name| {
        let model = pair.model(name);
        model.lower(&ids, 2, &mut model.cache(ids.len())).unwrap()
    });
    let codes = dictionary
        .crosscoder
        .codes(&paired(&base, &chat).unwrap())
        .unwrap();
    let flat = |h: Tensor| h.flatten_all().unwrap().to_vec1().unwrap();
    Plain {
        ids,
        residual: [flat(base), flat(chat)],
        codes,
    }
}

/// The chat lane's residual after its edits, [T·D].
fn edited_of(pair: &Pair, dictionary: &Dictionary, plain: &Plain, edits: Value) -> Vec<f32> {
    let extent = Extent {
        prompt: plain.ids.len(),
        new: 0,
    };
    let plan = Plan::new(&chat(edits), dictionary, extent).unwrap();
    let places = Tracker::new(&pair.tokenizer).push(&plain.ids, false);
    let mut h = plain.residual[1].clone();
    let rows = Rows {
        places: &places,
        unedited: plain.residual.each_ref().map(|r| Some(r.as_slice())),
        codes: &plain.codes,
    };
    edit::apply(&plan, dictionary, &rows, &mut h).unwrap();
    h
}

fn edited(slug: &str, plain: &Plain, edits: Value) -> Vec<f32> {
    edited_of(pair(), dictionary(slug), plain, edits)
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let reference: Vec<f64> = b.iter().map(|x| f64::from(*x)).collect();
    error(a.iter().copied(), &reference)
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The token and the latent of the largest v.
fn strongest(plain: &Plain) -> (usize, u32, f32) {
    (0..plain.codes.tokens())
        .filter_map(|t| plain.codes.top(t, 1).first().map(|(id, v)| (t, *id, *v)))
        .max_by(|a, b| a.2.total_cmp(&b.2))
        .unwrap()
}

#[test]
fn what_is_projected_out_is_gone() {
    for slug in ["l1", "batchtopk"] {
        let p = plain(slug);
        let out = |latents: Value| json!({"kind": "project_out", "latents": latents});
        for decoder in [0, 1] {
            let name = ModelName::BOTH[decoder].as_str();
            let mut edit = out(json!([9, 4]));
            edit["decoder"] = json!(name);
            let h = edited(slug, &p, json!([edit]));
            assert!(
                distance(&h, &p.residual[1]) > 1e-3,
                "{slug}: something is taken"
            );
            let row = dictionary(slug).row(decoder, 4);
            let length = diffing::norm(&row);
            for (after, before) in h.chunks(WIDTH).zip(p.residual[1].chunks(WIDTH)) {
                let left = diffing::dot(after, &row) / f64::from(length * diffing::norm(before));
                assert!(left.abs() < 1e-6, "{slug}: {left} is left of latent 4");
            }
            let again = edited(slug, &p, json!([edit, out(json!([4]))]));
            if decoder == 1 {
                assert!(distance(&again, &h) < 1e-6, "{slug}: twice is once");
            }
        }
        // In the order named, which matters where two directions are not at right angles.
        let forth = edited(slug, &p, json!([out(json!([9, 4]))]));
        let apart = edited(slug, &p, json!([out(json!([9])), out(json!([4]))]));
        let back = edited(slug, &p, json!([out(json!([4, 9]))]));
        assert!(same_bits(&forth, &apart));
        assert!(distance(&forth, &back) > 1e-6);
    }
}

#[test]
fn clamping_sets_the_code_whether_the_latent_fires_or_not() {
    for slug in ["l1", "batchtopk"] {
        let p = plain(slug);
        let (token, id, v) = strongest(&p);
        let clamp = |value: f32| json!({"kind": "clamp", "latents": [id], "value": value, "positions": [token]});
        let run = |edits: Value| edited(slug, &p, edits);
        let present = run(json!([clamp(v)]));
        assert!(
            distance(&present, &p.residual[1]) < 1e-6,
            "{slug}: the present value is the identity"
        );
        assert!(distance(&run(json!([clamp(3.0 * v)])), &present) > 1e-3);
        let ablate = json!({"kind": "scale", "latents": [id], "factor": 0, "positions": [token]});
        assert!(same_bits(&run(json!([clamp(0.0)])), &run(json!([ablate]))));

        // Where it is silent, the whole of it comes: value/w times its row.
        let silent = (0..p.codes.tokens())
            .find(|t| p.codes.token(*t).iter().all(|a| a.id != id))
            .unwrap();
        let code = 1.5 / dictionary(slug).crosscoder.weight(id);
        let found =
            run(json!([{"kind": "clamp", "latents": [id], "value": 1.5, "positions": [silent]}]));
        let expected = run(
            json!([{"kind": "add", "latents": [{"id": id, "strength": code}], "unit": "raw", "positions": [silent]}]),
        );
        assert!(distance(&found, &expected) < 1e-6);
        assert!(distance(&found, &p.residual[1]) > 1e-3);
    }
}

#[test]
fn the_code_is_edited_in_list_order_and_returns_at_take() {
    let p = plain("l1");
    let (token, id, v) = strongest(&p);
    let at = |mut edit: Value| {
        edit["latents"] = json!([id]);
        edit["positions"] = json!([token]);
        edit
    };
    let clamp = |value: f32| at(json!({"kind": "clamp", "value": value}));
    let scale = |factor: f32| at(json!({"kind": "scale", "factor": factor}));
    let run = |edits: Value| edited("l1", &p, edits);
    assert!(
        distance(
            &run(json!([scale(3.0), clamp(2.0 * v)])),
            &run(json!([clamp(2.0 * v)]))
        ) < 1e-6,
        "the last clamp wins"
    );
    assert!(
        distance(
            &run(json!([clamp(2.0 * v), scale(2.0)])),
            &run(json!([clamp(4.0 * v)]))
        ) < 1e-6,
        "a scale acts on what the clamp left"
    );
    let take = json!({"kind": "take", "from": "chat"});
    assert!(same_bits(
        &run(json!([clamp(5.0 * v), take, scale(2.0)])),
        &run(json!([scale(2.0)]))
    ));
}

#[test]
fn a_reconstruction_and_its_error_are_the_residual() {
    for slug in ["l1", "batchtopk"] {
        let p = plain(slug);
        let d = &dictionary(slug).crosscoder;
        let rebuilt = d.reconstruct(&p.codes);
        let of = |model: usize| -> Vec<f32> {
            rebuilt
                .chunks(2 * WIDTH)
                .flat_map(|token| token[model * WIDTH..(model + 1) * WIDTH].to_vec())
                .collect()
        };
        let run = |edits: Value| edited(slug, &p, edits);
        let chat = run(json!([{"kind": "reconstruct"}]));
        let base = run(json!([{"kind": "reconstruct", "decoder": "base"}]));
        assert!(distance(&chat, &of(1)) < 1e-6 && distance(&base, &of(0)) < 1e-6);

        // Base's error and the chat model's reconstruction are what `move "all"` makes of base, but for the biases.
        let moved =
            run(json!([{"kind": "take", "from": "base"}, {"kind": "move", "latents": "all"}]));
        let bias = [0, 1].map(|model| d.residual_bias(model));
        let sum: Vec<f32> = (0..moved.len())
            .map(|i| {
                let [b, c] = [bias[0][i % WIDTH], bias[1][i % WIDTH]];
                p.residual[0][i] - base[i] + chat[i] + b - c
            })
            .collect();
        assert!(distance(&moved, &sum) < 1e-5, "{slug}");
    }
}

#[test]
fn a_reconstruction_reads_the_edited_code_and_nothing_else() {
    let p = plain("batchtopk");
    let run = |edits: Value| edited("batchtopk", &p, edits);
    let whole = json!({"kind": "reconstruct"});
    let add = json!({"kind": "add", "latents": [{"id": 7, "strength": 3}]});
    let take = json!({"kind": "take", "from": "base"});
    let scale = json!({"kind": "scale", "latents": (0..64).collect::<Vec<u32>>(), "factor": 0});
    let clamp = json!({"kind": "clamp", "latents": [1, 2, 90], "value": 2.5});
    let plain = run(json!([whole]));
    assert!(same_bits(&run(json!([add, whole])), &plain));
    assert!(same_bits(&run(json!([scale, clamp, take, whole])), &plain));
    for edit in [scale, clamp] {
        let before = run(json!([edit, whole]));
        assert!(distance(&before, &plain) > 1e-3, "{edit}");
        assert!(distance(&before, &run(json!([whole, edit]))) < 1e-5);
    }
}
