//! Names and shapes of a checkpoint's tensors.

use crate::Config;

pub(crate) const EMBED: &str = "model.embed_tokens.weight";
pub(crate) const FINAL_NORM: &str = "model.norm.weight";
pub(crate) const HEAD: &str = "lm_head.weight";

pub(crate) const Q: &str = "self_attn.q_proj";
pub(crate) const K: &str = "self_attn.k_proj";
pub(crate) const V: &str = "self_attn.v_proj";
pub(crate) const O: &str = "self_attn.o_proj";
pub(crate) const GATE: &str = "mlp.gate_proj";
pub(crate) const UP: &str = "mlp.up_proj";
pub(crate) const DOWN: &str = "mlp.down_proj";
pub(crate) const INPUT_NORM: &str = "input_layernorm";
pub(crate) const POST_ATTENTION_NORM: &str = "post_attention_layernorm";
pub(crate) const PRE_FFN_NORM: &str = "pre_feedforward_layernorm";
pub(crate) const POST_FFN_NORM: &str = "post_feedforward_layernorm";

/// The full name of a block's tensor.
pub(crate) fn in_block(block: usize, part: &str) -> String {
    format!("model.layers.{block}.{part}.weight")
}

/// The parts of a block with their shapes.
fn block_parts(config: &Config) -> [(&'static str, Vec<usize>); 11] {
    let (d, f) = (config.hidden_size, config.intermediate_size);
    let q = config.num_heads * config.head_dim;
    let kv = config.num_kv_heads * config.head_dim;
    [
        (Q, vec![q, d]),
        (K, vec![kv, d]),
        (V, vec![kv, d]),
        (O, vec![d, q]),
        (GATE, vec![f, d]),
        (UP, vec![f, d]),
        (DOWN, vec![d, f]),
        (INPUT_NORM, vec![d]),
        (POST_ATTENTION_NORM, vec![d]),
        (PRE_FFN_NORM, vec![d]),
        (POST_FFN_NORM, vec![d]),
    ]
}

/// Every tensor of the model with its shape, in the order of the forward pass.
pub(crate) fn parameters(config: &Config) -> Vec<(String, Vec<usize>)> {
    let mut all = vec![(
        EMBED.to_owned(),
        vec![config.vocab_size, config.hidden_size],
    )];
    for block in 0..config.num_layers {
        all.extend(block_parts(config).map(|(part, shape)| (in_block(block, part), shape)));
    }
    all.push((FINAL_NORM.to_owned(), vec![config.hidden_size]));
    if !config.tie_word_embeddings {
        all.push((HEAD.to_owned(), vec![config.vocab_size, config.hidden_size]));
    }
    all
}
