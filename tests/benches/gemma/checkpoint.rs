//! Random checkpoints of Gemma-2 2B's shape and a dictionary for them, in bf16.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

/// Width of the residual stream.
pub(crate) const HIDDEN: usize = 2304;
/// Number of blocks.
pub(crate) const BLOCKS: usize = 26;
/// Number of tokens.
pub(crate) const VOCABULARY: usize = 256_000;
/// Number of latents.
pub(crate) const LATENTS: usize = 73_728;
const HEADS: usize = 8;
const KV_HEADS: usize = 4;
const HEAD_DIM: usize = 256;
const INTERMEDIATE: usize = 9216;
/// Activation from which a latent fires: at random weights, some hundreds of the dictionary do at a token.
const THRESHOLD: f32 = 4.0;
/// Blocks per file.
const TOGETHER: usize = 9;
/// Random numbers that are made; longer tensors repeat them.
const NUMBERS: usize = (1 << 22) + 7;

/// A tensor to write: name, shape and standard deviation.
type Tensor = (String, Vec<usize>, f32);

fn config() -> Value {
    json!({
        "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2",
        "hidden_size": HIDDEN,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "intermediate_size": INTERMEDIATE,
        "vocab_size": VOCABULARY,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192,
        "query_pre_attn_scalar": HEAD_DIM,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "tie_word_embeddings": true,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "dtype": "bfloat16",
    })
}

fn block(number: usize) -> Vec<Tensor> {
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    [
        ("input_layernorm", vec![HIDDEN]),
        ("post_attention_layernorm", vec![HIDDEN]),
        ("pre_feedforward_layernorm", vec![HIDDEN]),
        ("post_feedforward_layernorm", vec![HIDDEN]),
        ("self_attn.q_proj", vec![q, HIDDEN]),
        ("self_attn.k_proj", vec![kv, HIDDEN]),
        ("self_attn.v_proj", vec![kv, HIDDEN]),
        ("self_attn.o_proj", vec![HIDDEN, q]),
        ("mlp.gate_proj", vec![INTERMEDIATE, HIDDEN]),
        ("mlp.up_proj", vec![INTERMEDIATE, HIDDEN]),
        ("mlp.down_proj", vec![HIDDEN, INTERMEDIATE]),
    ]
    .map(|(name, shape)| {
        let deviation = deviation(&shape);
        (
            format!("model.layers.{number}.{name}.weight"),
            shape,
            deviation,
        )
    })
    .to_vec()
}

/// One over the root of the inputs; small for a norm's weights.
fn deviation(shape: &[usize]) -> f32 {
    match shape {
        [_, inputs] => (*inputs as f32).sqrt().recip(),
        _ => 0.1,
    }
}

/// Bytes of the weights that one token's decoding reads.
pub(crate) fn bytes() -> usize {
    let block: usize = block(0)
        .iter()
        .map(|(_, shape, _)| shape.iter().product::<usize>())
        .sum();
    2 * (BLOCKS * block + VOCABULARY * HIDDEN)
}

/// Writes a model's folder, unless it is there.
pub(crate) fn write_model(folder: &Path, seed: u64) {
    if folder.join("config.json").exists() {
        return;
    }
    fs::create_dir_all(folder).expect("a folder for a model");
    let embedding = vec![VOCABULARY, HIDDEN];
    let ends = vec![
        (
            "model.embed_tokens.weight".to_owned(),
            embedding.clone(),
            deviation(&embedding),
        ),
        ("model.norm.weight".to_owned(), vec![HIDDEN], 0.1),
    ];
    let numbers: Vec<usize> = (0..BLOCKS).collect();
    let mut files = vec![ends];
    files.extend(
        numbers
            .chunks(TOGETHER)
            .map(|numbers| numbers.iter().flat_map(|n| block(*n)).collect()),
    );
    let mut places = Map::new();
    for (n, tensors) in files.iter().enumerate() {
        let name = format!("model-{n}.safetensors");
        write_tensors(&folder.join(&name), tensors, &[], seed + n as u64);
        for (tensor, _, _) in tensors {
            places.insert(tensor.clone(), json!(name));
        }
    }
    let index = json!({"metadata": {"total_size": bytes()}, "weight_map": places});
    write_json(&folder.join("model.safetensors.index.json"), &index);
    write_json(&folder.join("config.json"), &config());
}

/// Writes a dictionary's folder, unless it is there.
pub(crate) fn write_dictionary(folder: &Path, seed: u64) {
    if folder.join("config.json").exists() {
        return;
    }
    fs::create_dir_all(folder).expect("a folder for a dictionary");
    let unit = (HIDDEN as f32).sqrt().recip();
    let tensors = [
        ("encoder.weight", vec![2, HIDDEN, LATENTS], unit),
        ("encoder.bias", vec![LATENTS], 0.1),
        ("decoder.weight", vec![2, LATENTS, HIDDEN], unit),
        ("decoder.bias", vec![2, HIDDEN], 0.1),
    ]
    .map(|(name, shape, deviation)| (name.to_owned(), shape, deviation));
    let scalars = [
        ("k", "I64", 100i64.to_le_bytes().to_vec()),
        ("threshold", "F32", THRESHOLD.to_le_bytes().to_vec()),
    ];
    write_tensors(&folder.join("model.safetensors"), &tensors, &scalars, seed);
    let config = json!({"activation_dim": HIDDEN, "dict_size": LATENTS, "num_layers": 2});
    write_json(&folder.join("config.json"), &config);
}

/// Writes a safetensors file of random bf16 numbers, and scalars as they are.
fn write_tensors(path: &Path, tensors: &[Tensor], scalars: &[(&str, &str, Vec<u8>)], seed: u64) {
    let mut header = Map::new();
    let mut end = 0;
    let mut insert = |name: &str, dtype: &str, shape: &[usize], bytes: usize| {
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes]});
        end += bytes;
        header.insert(name.to_owned(), entry);
    };
    for (name, dtype, bytes) in scalars {
        insert(name, dtype, &[], bytes.len());
    }
    for (name, shape, _) in tensors {
        insert(name, "BF16", shape, 2 * shape.iter().product::<usize>());
    }
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut out = BufWriter::new(File::create(path).expect("a new file"));
    let mut write = |bytes: &[u8]| out.write_all(bytes).expect("room for the numbers");
    write(&(header.len() as u64).to_le_bytes());
    write(header.as_bytes());
    for (_, _, bytes) in scalars {
        write(bytes);
    }
    let mut noise = Vec::new();
    let mut made = None;
    for (_, shape, deviation) in tensors {
        if made != Some(*deviation) {
            noise = random(seed, *deviation);
            made = Some(*deviation);
        }
        let mut left = 2 * shape.iter().product::<usize>();
        while left > 0 {
            let some = left.min(noise.len());
            write(&noise[..some]);
            left -= some;
        }
    }
    out.flush().expect("room for the numbers");
}

/// Uniform bf16 numbers with mean 0 and this standard deviation, low byte first (a linear congruence with Knuth's constants).
fn random(seed: u64, deviation: f32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let unit = (state >> 40) as f32 / (1 << 24) as f32;
        (unit - 0.5) * 12f32.sqrt() * deviation
    };
    // The upper half of an f32 is a bf16 number.
    (0..NUMBERS)
        .flat_map(|_| ((next().to_bits() >> 16) as u16).to_le_bytes())
        .collect()
}

fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("room for a file");
}
