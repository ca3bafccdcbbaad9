//! Latent Scaling: `analyse --steps scaling` on a random study, against the paper's closed-form scaler.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};
use pipeline::{
    AnalyseOptions, CollectOptions, DeviceChoice, InitOptions, Silent, Step, analyse, collect,
    init, open_store, reference,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::case::{Case, Outcome, Task, folder, number};
use crate::data::{Noise, Shape, write_json, write_model, write_tensors};
use crate::peers::Peers;

/// Active latents per token, about.
const ACTIVE: usize = 80;
/// Tokens by which the threshold is set.
const SAMPLE: usize = 512;
/// Latents whose coefficients are compared.
const COMPARED: usize = 256;
const SLUG: &str = "random";

pub(crate) fn cases(peers: &Peers) -> Result<Vec<Case>, String> {
    let scaler = peers.scaler()?;
    let mut cases = Vec::new();
    for (hidden, latents, tokens) in [(256, 8192, 2048), (2304, 8192, 2048)] {
        // The paper computes error targets for chosen sets only: its chat-only latents are 3,176 of 73,728.
        let chosen = latents * 3176 / 73_728;
        for (name, chosen) in [
            (format!("eight targets, error for {chosen} latents"), chosen),
            ("the six targets without error".to_owned(), 0),
        ] {
            cases.push(Case {
                name: format!("Latent Scaling of {tokens} tokens, D {hidden}, F {latents}; theirs: {name}"),
                task: "scaling",
                setup: json!({
                    "hidden": hidden, "latents": latents, "tokens": tokens, "chosen": chosen, "batch": 128,
                    "scaler": scaler, "compared": COMPARED,
                }),
                repetitions: 3,
                bar: 5.0,
                note: "Latent Scaling: theirs is the paper's closed_form.py, one pass per target, batches of 128, activations in memory; \
                       ours is the whole command: all targets for all latents, shards read and checked, the database written.",
                prepare,
            });
        }
    }
    Ok(cases)
}

fn study(folder: &Path) -> PathBuf {
    folder.join("study")
}

fn prepare(setup: &Value, folder: &Path) {
    let (hidden, tokens) = (number(setup, "hidden"), number(setup, "tokens"));
    let mut shape = Shape::new(hidden, 1, 512);
    shape.intermediate = hidden;
    for (seed, name) in [(1, "base"), (2, "chat")] {
        write_model(&folder.join(name), &shape, seed);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(name);
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            fs::copy(fixture.join(file), folder.join(name).join(file)).expect("a tokenizer");
        }
    }
    let corpus = folder.join("corpus.txt");
    fs::write(&corpus, text(tokens)).expect("a corpus");
    let model = |name: &str| reference(folder.join(name).to_str().expect("a plain path"));
    let study = study(folder);
    init(&InitOptions {
        study: study.clone(),
        base: model("base"),
        chat: model("chat"),
        layer: 0,
        ..InitOptions::default()
    })
    .expect("a study");
    let collected = collect(
        &CollectOptions {
            study: study.clone(),
            corpora: vec![corpus],
            tokens: tokens as u64,
            device: DeviceChoice::Cpu,
            ..CollectOptions::default()
        },
        &Silent,
    )
    .expect("activations");
    let rows = activations(&collected.folder, hidden);
    let dictionary = folder.join("dictionary");
    write_dictionary(&dictionary, setup, &rows);
    fs::write(
        study.join("study.toml"),
        fs::read_to_string(study.join("study.toml")).expect("a manifest")
            + &format!(
                "\n[[dictionary]]\nslug = \"{SLUG}\"\npath = \"{}\"\n",
                dictionary.display()
            ),
    )
    .expect("a manifest");
    let all = BTreeMap::from([(
        "activations".to_owned(),
        (vec![rows.len() / (2 * hidden), 2, hidden], rows),
    )]);
    write_tensors(&folder.join("activations.safetensors"), &all);
}

/// Paragraphs of random words, more than enough for this many tokens.
fn text(tokens: usize) -> String {
    let mut noise = Noise(3);
    let mut text = String::new();
    while text.len() < 8 * tokens {
        for _ in 0..20 + noise.below(100) {
            for _ in 0..=noise.below(8) {
                text.push((b'a' + noise.below(26) as u8) as char);
            }
            text.push(' ');
        }
        text.push_str("\n\n");
    }
    text
}

/// All collected rows, [N, 2, D].
fn activations(folder: &Path, hidden: usize) -> Vec<f32> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("shards")
        .map(|entry| entry.expect("a shard").path())
        .filter(|path| path.extension().is_some_and(|x| x == "safetensors"))
        .collect();
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let bytes = fs::read(file).expect("a shard");
        let shard = SafeTensors::deserialize(&bytes).expect("a shard");
        let part = shard.tensor("activations").expect("activations");
        let words = part.data().as_chunks::<4>().0.iter();
        rows.extend(words.map(|&word| f32::from_le_bytes(word)));
    }
    assert_eq!(rows.len() % (2 * hidden), 0);
    rows
}

/// A random BatchTopK crosscoder with unit decoder rows, whose threshold lets about `ACTIVE` latents per token through.
fn write_dictionary(folder: &Path, setup: &Value, rows: &[f32]) {
    let (hidden, latents) = (number(setup, "hidden"), number(setup, "latents"));
    let mut noise = Noise(4);
    let mut random = |count: usize, deviation: f32| -> Vec<f32> {
        (0..count).map(|_| noise.number(deviation)).collect()
    };
    let encoder = random(2 * hidden * latents, (2.0 * hidden as f32).sqrt().recip());
    let mut decoder = random(2 * latents * hidden, 1.0);
    for row in decoder.chunks_mut(hidden) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in row {
            *x /= norm;
        }
    }
    let sample = SAMPLE.min(rows.len() / (2 * hidden));
    let x = Tensor::from_slice(
        &rows[..sample * 2 * hidden],
        (sample, 2 * hidden),
        &Device::Cpu,
    );
    let weight = Tensor::from_slice(&encoder, (2 * hidden, latents), &Device::Cpu);
    let pre = x.and_then(|x| x.matmul(&weight?)?.flatten_all()?.to_vec1::<f32>());
    let mut pre = pre.expect("codes");
    let kept = ACTIVE * sample;
    // Unit rows make every latent's weight 2.
    let threshold = 2.0 * *pre.select_nth_unstable_by(kept, |a, b| b.total_cmp(a)).1;

    fs::create_dir_all(folder).expect("a dictionary");
    let tensor =
        |name: &str, shape: Vec<usize>, values: Vec<f32>| (name.to_owned(), (shape, values));
    let tensors = BTreeMap::from([
        tensor("encoder.weight", vec![2, hidden, latents], encoder),
        tensor("encoder.bias", vec![latents], vec![0.0; latents]),
        tensor("decoder.weight", vec![2, latents, hidden], decoder),
        tensor("decoder.bias", vec![2, hidden], random(2 * hidden, 0.1)),
        tensor("threshold", vec![], vec![threshold.max(0.0)]),
        tensor("k", vec![], vec![ACTIVE as f32]),
    ]);
    write_tensors(&folder.join("model.safetensors"), &tensors);
    write_json(
        &folder.join("config.json"),
        &json!({
            "activation_dim": hidden, "dict_size": latents, "num_layers": 2, "k": ACTIVE, "encoder_layers": null,
            "init_with_transpose": true, "norm_init_scale": null, "same_init_for_all_layers": false,
            "code_normalization": "CROSSCODER",
        }),
    );
    write_json(
        &folder.join("trainer_config.json"),
        &json!({"trainer": {"dict_class": "BatchTopKCrossCoder", "activation_dim": hidden, "dict_size": latents}}),
    );
}

pub(crate) fn ours(setup: &Value) -> Task {
    let study = study(folder(setup));
    let (compared, error) = (number(setup, "compared"), number(setup, "chosen") > 0);
    Box::new(move || {
        let database = study.join("study.duckdb");
        if database.exists() {
            fs::remove_file(&database).expect("an old database that can be removed");
        }
        let options = AnalyseOptions {
            study: study.clone(),
            dictionary: SLUG.into(),
            steps: vec![Step::Scaling],
            device: DeviceChoice::Cpu,
            ..AnalyseOptions::default()
        };
        let start = Instant::now();
        analyse(&options, &Silent).expect("an analysis");
        let seconds = start.elapsed().as_secs_f64();
        let rows = open_store(&study).and_then(|store| Ok(store.rows(SLUG)?.to_vec()));
        let rows = rows.expect("the rows just written");
        let check = rows[..compared]
            .iter()
            .flat_map(|row| {
                let b = row.betas;
                let mut betas = vec![
                    b.beta_activation_base,
                    b.beta_activation_chat,
                    b.beta_activation_no_bias_base,
                    b.beta_activation_no_bias_chat,
                    b.beta_reconstruction_base,
                    b.beta_reconstruction_chat,
                ];
                if error {
                    betas.extend([b.beta_error_base, b.beta_error_chat]);
                }
                betas
            })
            .map(Option::unwrap_or_default)
            .collect();
        Outcome { seconds, check }
    })
}
