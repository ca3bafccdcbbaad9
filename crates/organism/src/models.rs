//! The folder of a model: configuration, tokenizer files, weights.

use std::path::Path;

use gemma::Config;

use crate::pieces::{BOS, EOS, PAD};
use crate::preset::Shape;

/// Gemma-2 of this shape: soft caps 50 and 30, tied embeddings, a window on the even blocks.
pub(crate) fn config(shape: &Shape) -> Config {
    Config {
        hidden_size: shape.hidden,
        num_layers: shape.blocks,
        num_heads: shape.heads,
        num_kv_heads: shape.kv_heads,
        head_dim: shape.head_dim,
        intermediate_size: shape.feed_forward,
        vocab_size: shape.vocabulary,
        rms_norm_eps: 1e-6,
        rope_theta: 10_000.0,
        sliding_window: Some(shape.window),
        layer_is_sliding: (0..shape.blocks).map(|block| block % 2 == 0).collect(),
        attn_softcap: Some(50.0),
        final_softcap: Some(30.0),
        query_pre_attn_scalar: shape.head_dim as f64,
        max_positions: shape.context,
        tie_word_embeddings: true,
        bos_id: Some(BOS),
        eos_ids: vec![EOS],
        pad_id: Some(PAD),
        initializer_range: 0.02,
    }
}

/// True where the folder holds finished weights.
pub(crate) fn finished(folder: &Path) -> bool {
    folder.join("model.safetensors").is_file() && folder.join("config.json").is_file()
}
