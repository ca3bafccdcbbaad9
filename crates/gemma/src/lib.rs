//! A hookable Gemma-2 on candle: checkpoints, tokenizer and chat template, the forward pass with a hook after any block,
//! an in-place KV cache, sampling, and a differentiable path for training.

mod block;
mod cache;
mod checkpoint;
mod config;
mod device;
mod error;
mod header;
mod kernels;
mod memory;
mod model;
mod parameters;
mod readout;
mod rotary;
mod rounding;
mod sampling;
mod stream;
mod template;
mod tokenizer;
pub mod train;
mod turns;
mod wanted;
mod weights;

pub use cache::KvCache;
pub use checkpoint::Checkpoint;
pub use config::Config;
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use matrix::Residence;
pub use memory::{
    Part, Place, Plan, Room, Size, When, available, cache_bytes, logit_bytes, readable,
    scratch_bytes, weight_bytes,
};
pub use model::{Forward, Hook, Model};
pub use rounding::WeightChoice;
pub use sampling::Sampler;
pub use stream::StreamDecoder;
pub use template::Message;
pub use tokenizer::Tokenizer;
pub use turns::{Role, Standing, TokenKind, Turns};
pub use wanted::Logits;
