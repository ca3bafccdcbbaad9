//! Random models on disk, the same for both sides.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Uniform numbers by a linear congruence (Knuth's constants): quick, and good enough to fill weights.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    /// A whole number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() as usize * end) >> 32
    }

    /// Uniform, with mean 0 and this standard deviation.
    pub(crate) fn number(&mut self, deviation: f32) -> f32 {
        let unit = (self.next() >> 8) as f32 / (1 << 24) as f32;
        (unit - 0.5) * 12f32.sqrt() * deviation
    }
}

/// The shape of a model.
pub(crate) struct Shape {
    pub(crate) hidden: usize,
    pub(crate) blocks: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocabulary: usize,
}

impl Shape {
    /// In Gemma-2's proportions, with few blocks and tokens.
    pub(crate) fn new(hidden: usize, blocks: usize, vocabulary: usize) -> Self {
        let head_dim = if hidden >= 1024 { 256 } else { 64 };
        let heads = if hidden >= 1024 { 8 } else { 4 };
        Self {
            hidden,
            blocks,
            heads,
            kv_heads: heads / 2,
            head_dim,
            intermediate: 4 * hidden,
            vocabulary,
        }
    }

    fn config(&self) -> Value {
        json!({
            "architectures": ["Gemma2ForCausalLM"],
            "model_type": "gemma2",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.blocks,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 8192,
            "query_pre_attn_scalar": self.head_dim,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "sliding_window": 4096,
            "tie_word_embeddings": true,
            "bos_token_id": 2,
            "eos_token_id": 1,
            "pad_token_id": 0,
            "dtype": "float32",
        })
    }

    fn block(&self) -> [(&'static str, [usize; 2]); 11] {
        let (d, f) = (self.hidden, self.intermediate);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        [
            ("input_layernorm", [0, d]),
            ("post_attention_layernorm", [0, d]),
            ("pre_feedforward_layernorm", [0, d]),
            ("post_feedforward_layernorm", [0, d]),
            ("self_attn.q_proj", [q, d]),
            ("self_attn.k_proj", [kv, d]),
            ("self_attn.v_proj", [kv, d]),
            ("self_attn.o_proj", [d, q]),
            ("mlp.gate_proj", [f, d]),
            ("mlp.up_proj", [f, d]),
            ("mlp.down_proj", [d, f]),
        ]
    }
}

/// Writes a model's folder: config.json, one file per block and their index. Weights have deviation one over the root of their inputs.
pub(crate) fn write_model(folder: &Path, shape: &Shape, seed: u64) {
    fs::create_dir_all(folder).expect("a folder for a model");
    let mut noise = Noise(seed);
    let mut places = serde_json::Map::new();
    let mut write = |file: &str, tensors: Vec<(String, [usize; 2])>| {
        let filled = tensors.iter().map(|(name, dims)| {
            let [rows, columns] = *dims;
            let deviation = if rows == 0 {
                0.1
            } else {
                (columns as f32).sqrt().recip()
            };
            let count = rows.max(1) * columns;
            let values: Vec<f32> = (0..count).map(|_| noise.number(deviation)).collect();
            let shape = if rows == 0 {
                vec![columns]
            } else {
                vec![rows, columns]
            };
            (name.clone(), (shape, values))
        });
        write_tensors(&folder.join(file), &filled.collect());
        for (name, _) in tensors {
            places.insert(name, json!(file));
        }
    };
    for block in 0..shape.blocks {
        let tensors = shape.block().map(|(name, dims)| {
            let name = format!("model.layers.{block}.{name}.weight");
            (name, dims)
        });
        write(&format!("model-{block}.safetensors"), tensors.to_vec());
    }
    let ends = vec![
        (
            "model.embed_tokens.weight".to_owned(),
            [shape.vocabulary, shape.hidden],
        ),
        ("model.norm.weight".to_owned(), [0, shape.hidden]),
    ];
    write("model-ends.safetensors", ends);
    write_json(
        &folder.join("model.safetensors.index.json"),
        &json!({"metadata": {}, "weight_map": places}),
    );
    write_json(&folder.join("config.json"), &shape.config());
}

/// Writes tensors in f32.
pub(crate) fn write_tensors(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes);
        (*name, view.expect("a shape that fits"))
    });
    safetensors::serialize_to_file(views, None, path).expect("a file of tensors");
}

pub(crate) fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("a JSON file");
}
