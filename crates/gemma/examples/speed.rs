//! Tokens per second of training, reading and generating at a small model's size, on the CPU.

use std::time::Instant;

use candle_core::{Device, Tensor};
use gemma::train::Trainable;
use gemma::{Config, Logits, Result};

/// Sequences per batch and tokens per sequence.
const BATCH: (usize, usize) = (12, 85);

fn config() -> Config {
    Config {
        hidden_size: 128,
        num_layers: 6,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 32,
        intermediate_size: 512,
        vocab_size: 2048,
        rms_norm_eps: 1e-6,
        rope_theta: 10_000.0,
        sliding_window: Some(64),
        layer_is_sliding: (0..6).map(|block| block % 2 == 0).collect(),
        attn_softcap: Some(50.0),
        final_softcap: Some(30.0),
        query_pre_attn_scalar: 32.0,
        max_positions: 128,
        tie_word_embeddings: true,
        bos_id: None,
        eos_ids: vec![],
        pad_id: None,
        initializer_range: 0.02,
    }
}

/// Seconds of the quicker half of `count` calls, on average.
fn seconds(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut all = vec![];
    for _ in 0..count {
        let start = Instant::now();
        call()?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    let quicker = all.get(..count.div_ceil(2)).unwrap_or_default();
    Ok(quicker.iter().sum::<f64>() / quicker.len() as f64)
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let trainable = Trainable::new(config(), 0)?;
    let tokens = BATCH.0 * BATCH.1;
    let ids: Vec<u32> = (0..tokens as u32).map(|i| i * 7919 % 2048).collect();
    let batch = Tensor::from_slice(&ids, BATCH, &device)?;
    let weights = Tensor::ones(BATCH, candle_core::DType::F32, &device)?;
    let per_second = |seconds: f64, tokens: usize| tokens as f64 / seconds;

    let forward = seconds(20, || trainable.loss(&batch, &batch, &weights).map(|_| ()))?;
    println!(
        "training, forward only      {:8.1} ms {:9.0} tokens/s",
        forward * 1e3,
        per_second(forward, tokens)
    );
    let step = seconds(20, || {
        trainable
            .loss_and_gradients(&batch, &batch, &weights)
            .map(|_| ())
    })?;
    println!(
        "training, both passes       {:8.1} ms {:9.0} tokens/s",
        step * 1e3,
        per_second(step, tokens)
    );

    let model = trainable.to_model()?;
    let prompt = ids.get(..64).unwrap_or_default();
    let read = seconds(50, || {
        model
            .forward(prompt, &mut model.cache(64), None, None, Logits::All)
            .map(|_| ())
    })?;
    println!(
        "reading 64 tokens           {:8.2} ms {:9.0} tokens/s",
        read * 1e3,
        per_second(read, 64)
    );
    let generate = seconds(10, || {
        let mut cache = model.cache(128);
        model.forward(prompt, &mut cache, None, None, Logits::Last)?;
        for id in prompt {
            model.forward(&[*id], &mut cache, None, None, Logits::Last)?;
        }
        Ok(())
    })? - read;
    println!(
        "generating 64 tokens        {:8.2} ms {:9.0} tokens/s",
        generate * 1e3,
        per_second(generate, 64)
    );
    Ok(())
}
