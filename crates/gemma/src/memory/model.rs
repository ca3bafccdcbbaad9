//! What a model takes, from its configuration alone.

use super::Place;
use crate::Config;
use crate::kernels::QUERIES;
use crate::parameters::{EMBED, parameters};

/// Bytes of an f32.
const WIDE: u64 = 4;

/// Weights of a model's lower half, up to block `layer`, and of the rest: how many stand in matrices, and how many in norms.
pub(crate) fn weight_counts(config: &Config, layer: usize) -> [(u64, u64); 2] {
    let (mut lower, mut upper) = ((0, 0), (0, 0));
    for (name, shape) in parameters(config) {
        let block = name.strip_prefix("model.layers.").and_then(|rest| {
            let (block, _) = rest.split_once('.')?;
            block.parse::<usize>().ok()
        });
        let below = name == EMBED || block.is_some_and(|block| block <= layer);
        let half = if below { &mut lower } else { &mut upper };
        let count = shape.iter().product::<usize>() as u64;
        if shape.len() == 1 {
            half.1 += count;
        } else {
            half.0 += count;
        }
    }
    [lower, upper]
}

/// Bytes of a model's lower half, up to block `layer`, and of the rest, in numbers of so many bytes; norms are f32 in any case.
pub fn weight_bytes(config: &Config, layer: usize, number: u64) -> [u64; 2] {
    weight_counts(config, layer).map(|(matrices, norms)| matrices * number + norms * WIDE)
}

/// Bytes of one sequence's keys and values, in blocks of so many tokens.
pub fn cache_bytes(config: &Config, tokens: usize, number: u64) -> u64 {
    let width = config.num_kv_heads * config.head_dim;
    2 * (config.num_layers * width * tokens) as u64 * number
}

/// Bytes that come and go while one model reads so many tokens, some at once, at the worst moment of a block: attention's scores and
/// probabilities, or the two widened rows of the feed-forward part and their product. Off the CPU, where plain tensor operations run, a
/// score is there in its own format, widened, and in the three steps of its soft cap, for some of the queries at a time; the feed-forward
/// part's rows likewise.
pub fn scratch_bytes(
    config: &Config,
    at_once: usize,
    tokens: usize,
    number: u64,
    place: Place,
) -> u64 {
    let heads = config.num_heads + 2 * config.num_kv_heads;
    let (queries, per_score, per_gate) = match place {
        Place::Cpu => (at_once, 2 * WIDE, 3 * WIDE),
        Place::Cuda(_) => (
            at_once.min(QUERIES),
            number + 4 * WIDE,
            2 * number + 4 * WIDE,
        ),
    };
    let masks = match place {
        Place::Cpu => 0,
        Place::Cuda(_) => (2 * at_once * tokens) as u64 * WIDE,
    };
    let scores = (config.num_heads * queries * tokens) as u64 * per_score + masks;
    let attention = scores + (2 * at_once * heads * config.head_dim) as u64 * number.max(WIDE);
    let feed_forward = (at_once * config.intermediate_size) as u64 * per_gate;
    let rows = (4 * tokens * config.hidden_size) as u64 * number.max(WIDE);
    attention.max(feed_forward) + rows
}

/// Bytes of the logits of so many positions on their way out of a model, off the CPU: as the head gives them, widened, and in the three
/// steps of their soft cap.
pub fn logit_bytes(config: &Config, positions: usize, number: u64) -> u64 {
    (config.vocab_size * positions) as u64 * (number + 4 * WIDE)
}
