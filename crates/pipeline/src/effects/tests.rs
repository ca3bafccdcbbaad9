//! Interventions over the reference pair: its divergences, and the laws that hold whatever the numbers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use api::{CausalMetric, CausalScope, Class, LatentRow};
use candle_core::{DType, Device};
use crosscoder::{Chosen, Crosscoder, Edit};
use gemma::{Checkpoint, Model, Tokenizer};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::setups::Lane;
use super::*;
use crate::Silent;
use crate::edited::At;

const LAYER: usize = 2;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn models() -> &'static [Model; 2] {
    static MODELS: OnceLock<[Model; 2]> = OnceLock::new();
    MODELS.get_or_init(|| {
        ["base", "chat"].map(|name| {
            let checkpoint = Checkpoint::open(fixtures().join(name)).unwrap();
            checkpoint
                .load(&Device::Cpu, DType::F32, &mut |_| ())
                .unwrap()
        })
    })
}

fn load(kind: &str) -> Crosscoder {
    Crosscoder::load(fixtures().join(format!("crosscoder-{kind}")), &Device::Cpu).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(fixtures().join("chat")).unwrap()
}

/// Ids of the reference's second conversation.
fn conversation() -> Vec<u32> {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(expected["conversations"][1]["ids"].clone()).unwrap()
}

/// KL from chat of every edit at every position.
fn divergences() -> HashMap<String, Vec<f64>> {
    let bytes = std::fs::read(fixtures().join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter();
    tensors
        .filter(|(name, _)| name.rsplit_once('.').is_some_and(|(_, kind)| kind == "kl"))
        .map(|(name, tensor)| {
            assert_eq!(tensor.dtype(), Dtype::F64);
            let words = tensor.data().as_chunks::<8>().0.iter();
            (name, words.map(|&word| f64::from_le_bytes(word)).collect())
        })
        .collect()
}

/// Chat-only latents whose Δ_norm falls by id, with reliable ratios.
fn rows(count: u32) -> Vec<LatentRow> {
    (0..count)
        .map(|id| LatentRow {
            id,
            class: Class::ChatOnly,
            dead: Some(false),
            label: None,
            verdict: None,
            delta_norm: Some(1.0 - f64::from(id) / 1000.0),
            norm_base: 0.0,
            norm_chat: 1.0,
            decoder_cosine: None,
            nu_epsilon: Some(f64::from(id * 7 % count) / f64::from(count)),
            nu_r: Some(0.1),
            betas: api::Betas::default(),
            frequency: None,
            active_tokens: None,
            tokens: None,
            max_activation: None,
            mean_activation: None,
            template_share: None,
        })
        .collect()
}

fn plan(rows: &[LatentRow]) -> Plan {
    Plan::new(rows, &EffectOptions::default())
}

fn setup<'a>(plan: &'a Plan, name: &str) -> &'a setups::Setup {
    plan.setups.iter().find(|s| s.name == name).unwrap()
}

/// The single lane of an intervention.
fn lane(name: &str) -> Lane {
    let plan = plan(&[]);
    plan.lanes[setup(&plan, name).lanes[0]].clone()
}

fn chat_lane(edits: Vec<Edit>) -> Lane {
    Lane {
        model: 1,
        edits: edits
            .into_iter()
            .map(|edit| (edit, At::Everywhere))
            .collect(),
    }
}

fn pair(crosscoder: &Crosscoder) -> Pair<'_> {
    Pair {
        models: models(),
        layer: LAYER,
        crosscoder,
    }
}

/// KL from chat of lanes at every position but the last, behind the two references.
fn measure(crosscoder: &Crosscoder, lanes: &[Lane], ids: &[u32]) -> Vec<Vec<diffing::Effect>> {
    let plain = plan(&[]).lanes[..2].to_vec();
    let lanes = [plain, lanes.to_vec()].concat();
    let positions: Vec<usize> = (0..ids.len() - 1).collect();
    let kinds = tokenizer().kinds(ids);
    pair(crosscoder)
        .effects(&lanes, ids, &kinds, &positions)
        .unwrap()
}

#[test]
fn divergences_are_the_references() {
    let (ids, expected) = (conversation(), divergences());
    for kind in ["l1", "batchtopk"] {
        let crosscoder = load(kind);
        let latents = crosscoder.dict_size() as u32;
        let take = Edit::Take { from: 0 };
        let eighth = Edit::Move {
            latents: Chosen::Ids((0..latents / 8).collect()),
            to: 1,
            scale: 1.0,
        };
        let direction = crosscoder.residual_row(1, 0);
        let norm = diffing::norm(&direction);
        let vector = direction.iter().map(|x| 4.0 * x / norm).collect();
        let edits = [
            ("none", lane("none")),
            ("all", lane("all")),
            ("error", lane("error")),
            ("template", lane("template")),
            ("first_eighth", chat_lane(vec![take, eighth])),
            ("steer_latent0", chat_lane(vec![Edit::Add { vector }])),
        ];
        let lanes = edits.clone().map(|(_, lane)| lane);
        let effects = measure(&crosscoder, &lanes, &ids);
        for ((name, _), effects) in edits.iter().zip(&effects[2..]) {
            let reference = &expected[&format!("{kind}.edit.{name}.kl")];
            let largest = reference.iter().fold(0f64, |m, x| m.max(*x));
            assert_eq!(effects.len() + 1, reference.len());
            for (t, (effect, expected)) in effects.iter().zip(reference).enumerate() {
                let error = (effect.kl_from_chat - expected).abs();
                assert!(error < 1e-3 * largest, "{kind} {name} {t}: {error}");
            }
        }
    }
}

#[test]
fn e7_a_model_does_not_diverge_from_itself_and_losses_are_cross_entropies() {
    let ids = conversation();
    let effects = measure(&load("batchtopk"), &[lane("none")], &ids);
    let [base, chat, none] = &effects[..] else {
        panic!("{}", effects.len());
    };
    assert!(
        base.iter()
            .all(|e| e.kl_from_base == 0.0 && e.kl_from_chat > 0.0)
    );
    assert!(
        chat.iter()
            .all(|e| e.kl_from_chat == 0.0 && e.kl_from_base > 0.0)
    );
    assert!(
        none.iter()
            .all(|e| e.kl_from_chat > 0.0 && e.kl_from_base > 0.0)
    );
    let mut cache = models()[1].cache(ids.len());
    let forward = models()[1].forward(&ids, &mut cache, None, None, gemma::Logits::All);
    let logits: Vec<Vec<f32>> = forward.unwrap().logits.unwrap().to_vec2().unwrap();
    for (t, effect) in chat.iter().enumerate() {
        let log_p = diffing::log_softmax(&logits[t]);
        assert!((effect.loss + log_p[ids[t + 1] as usize]).abs() < 1e-4);
        let most = log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!((effect.loss_to_chat + most).abs() < 1e-4);
        assert!(none[t].loss_to_chat >= -most - 1.0);
    }
}

#[test]
fn e7_moving_nothing_is_none_bit_for_bit() {
    let ids = conversation();
    let empty = |latents: Vec<u32>| {
        let edit = Edit::Move {
            latents: Chosen::Ids(latents),
            to: 1,
            scale: 1.0,
        };
        chat_lane(vec![Edit::Take { from: 0 }, edit])
    };
    let effects = measure(
        &load("l1"),
        &[lane("none"), empty(Vec::new()), empty(vec![0, 1])],
        &ids,
    );
    assert_eq!(effects[2], effects[3]);
    assert_ne!(effects[2], effects[4]);
}

/// A dictionary that reads both residuals x into the positive and the negative part of every coordinate, and writes them back.
fn perfect(folder: &Path) -> Crosscoder {
    let width = models()[0].config().hidden_size;
    let latents = 4 * width;
    let mut encoder = vec![0f32; 2 * width * latents];
    let mut decoder = vec![0f32; 2 * latents * width];
    for model in 0..2 {
        for d in 0..width {
            for (part, sign) in [(0, 1.0), (1, -1.0)] {
                let j = (2 * model + part) * width + d;
                encoder[(model * width + d) * latents + j] = sign;
                decoder[(model * latents + j) * width + d] = sign;
            }
        }
    }
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let (encoder, decoder) = (bytes(&encoder), bytes(&decoder));
    let (encoder_bias, decoder_bias) = (vec![0; 4 * latents], vec![0; 8 * width]);
    let view = |shape, data| TensorView::new(Dtype::F32, shape, data).unwrap();
    let views = [
        ("encoder.weight", view(vec![2, width, latents], &encoder)),
        ("encoder.bias", view(vec![latents], &encoder_bias)),
        ("decoder.weight", view(vec![2, latents, width], &decoder)),
        ("decoder.bias", view(vec![2, width], &decoder_bias)),
    ];
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    Crosscoder::load(folder, &Device::Cpu).unwrap()
}

#[test]
fn e7_all_with_a_perfect_reconstruction_is_chat() {
    let folder = tempfile::tempdir().unwrap();
    let effects = measure(
        &perfect(folder.path()),
        &[lane("none"), lane("all"), lane("error")],
        &conversation(),
    );
    let mean = |lane: usize, from_chat: bool| {
        let values = effects[lane].iter().map(|e| {
            if from_chat {
                e.kl_from_chat
            } else {
                e.kl_from_base
            }
        });
        values.sum::<f64>() / effects[lane].len() as f64
    };
    assert!(mean(2, true) > 1e-4, "{}", mean(2, true));
    assert!(mean(3, true) < 1e-9, "{}", mean(3, true));
    // What is left in the chat model's residual is then base's.
    let differences = effects[4].iter().zip(&effects[2]);
    for (error, none) in differences {
        assert!((error.kl_from_chat - none.kl_from_chat).abs() < 1e-6);
    }
}

#[test]
fn every_lane_is_run_once() {
    let rows = rows(40);
    let plan = plan(&rows);
    assert!(plan.left_out.is_empty(), "{:?}", plan.left_out);
    assert_eq!(plan.candidates, 40);
    let names: Vec<&str> = plan.setups.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "none",
            "all",
            "error",
            "template",
            "chat_only",
            "delta_norm_best",
            "delta_norm_worst",
            "scaling_best",
            "scaling_worst",
            "random_chat_only",
            "random_any",
            "base",
            "chat",
            "chat_to_base",
            "template_base"
        ]
    );
    for (i, lane) in plan.lanes.iter().enumerate() {
        assert!(!plan.lanes[..i].contains(lane), "lane {i} is there twice");
    }
    assert_eq!(setup(&plan, "base").lanes, [0]);
    assert_eq!(setup(&plan, "chat").lanes, [1]);
    let sets = |name: &str| -> Vec<Vec<u32>> {
        let lanes = setup(&plan, name).lanes.iter();
        lanes
            .map(|&lane| match &plan.lanes[lane].edits[..] {
                [
                    (Edit::Take { from: 0 }, _),
                    (
                        Edit::Move {
                            latents: Chosen::Ids(ids),
                            to: 1,
                            ..
                        },
                        _,
                    ),
                ] => ids.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(sets("chat_only"), [(0..40).collect::<Vec<_>>()]);
    assert_eq!(sets("delta_norm_best"), [(0..20).collect::<Vec<_>>()]);
    assert_eq!(sets("delta_norm_worst"), [(20..40).collect::<Vec<_>>()]);
    let best = &sets("scaling_best")[0];
    assert!(best.iter().all(|id| id * 7 % 40 < 20), "{best:?}");
    for name in ["random_chat_only", "random_any"] {
        let sets = sets(name);
        assert_eq!((sets.len(), setup(&plan, name).latents), (5, Some(20)));
        assert!(sets.iter().all(|set| set.len() == 20 && set.is_sorted()));
        assert_ne!(sets[0], sets[1]);
    }
    assert_eq!(plan, self::plan(&rows), "a seed draws the same sets again");
}

#[test]
fn sets_that_cannot_be_made_are_left_out_with_a_sentence() {
    let mut rows = rows(40);
    for row in &mut rows {
        row.class = Class::Shared;
    }
    let none = plan(&rows);
    assert!(
        none.left_out[0].contains("--effective"),
        "{:?}",
        none.left_out
    );
    assert_eq!(none.setups.len(), 8);
    let options = EffectOptions {
        effective: Some(10),
        additive: true,
        ..EffectOptions::default()
    };
    let ten = Plan::new(&rows, &options);
    assert_eq!(
        (ten.candidates, setup(&ten, "delta_norm_best").latents),
        (10, Some(5))
    );
    assert_eq!(
        setup(&ten, "delta_norm_from_0.7_additive").latents,
        Some(10)
    );
    // The ratios of the activations are unknown here.
    assert_eq!(ten.left_out.len(), 2, "{:?}", ten.left_out);
    for row in &mut rows {
        row.nu_r = None;
    }
    let unscaled = Plan::new(&rows, &options);
    assert!(
        unscaled.left_out[0].contains("scaling"),
        "{:?}",
        unscaled.left_out
    );
    assert!(unscaled.setups.iter().any(|s| s.name == "chat_only"));
}

#[test]
fn parts_merge_into_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dialogues.jsonl");
    let lines: Vec<String> = (0..5)
        .map(|i| {
            format!(
                "{{\"messages\": [{{\"role\": \"user\", \"content\": \"Is it {i}?\"}}, {{\"role\": \"assistant\", \"content\": \"That is \
                 not right: the capital of Norway is Oslo, number {i}.\"}}]}}\n"
            )
        })
        .collect();
    std::fs::write(&path, lines.concat()).unwrap();
    let all = Dialogues::file(&path, &tokenizer(), 512, 256).unwrap();
    assert_eq!(
        (all.all.len(), all.source.as_str()),
        (5, "5 dialogues of dialogues.jsonl")
    );
    let (rows, crosscoder) = (rows(40), load("batchtopk"));
    let plan = plan(&rows);
    let gathered = |share: ShardOf| {
        let inputs = Inputs {
            models: models(),
            layer: LAYER,
            crosscoder: &crosscoder,
            rows: &rows,
            dialogues: &all,
            share,
        };
        let checkpoint = folder.path().join("checkpoint");
        let checkpoint =
            crate::analyse::Checkpoint::at(checkpoint, String::new(), Duration::MAX, &Silent);
        let measured = super::measure(&inputs, &EffectOptions::default(), checkpoint, &Silent);
        measured.unwrap().part
    };
    let whole = gathered(ShardOf::ALL);
    let mut merged = Part::default();
    // The last has nothing to do.
    for index in [1, 0, 2, 4, 3, 5] {
        let part = gathered(ShardOf::new(index, 6).unwrap());
        let json = serde_json::to_string(&part).unwrap();
        merged.merge(&serde_json::from_str(&json).unwrap()).unwrap();
    }
    assert_eq!(whole.dialogues, merged.dialogues);
    for (one, other) in whole.lanes.iter().zip(&merged.lanes) {
        for (one, other) in one.measures().iter().zip(other.measures()) {
            assert_eq!((one.scope, one.count), (other.scope, other.count));
            assert!((one.mean - other.mean).abs() <= 1e-12 * one.mean.abs().max(1.0));
        }
    }
    assert_eq!(whole, gathered(ShardOf::ALL), "the same again, bit for bit");
    let none = &whole.lanes[setup(&plan, "none").lanes[0]];
    let count = |scope| {
        let measures = none.measures();
        let found = measures
            .iter()
            .find(|m| m.scope == scope && m.metric == CausalMetric::Loss);
        found.map(|m| m.count)
    };
    assert_eq!(count(CausalScope::First), Some(9 * 5));
    let tokens: usize = all.all.iter().map(|d| d.scored.len()).sum();
    assert_eq!(count(CausalScope::All), Some(tokens as u64));
    assert_eq!(count(CausalScope::Rest), Some(tokens as u64 - 45));
}
