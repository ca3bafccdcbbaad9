//! The differentiable path: equal to the fast one, with gradients that finite differences confirm, and checkpoints that load again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{MODELS, expected, fixtures, ids, relative_error};
use gemma::train::Trainable;
use gemma::{Checkpoint, Config, Logits};

const CPU: &Device = &Device::Cpu;

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::open(fixtures().join(name)).unwrap()
}

/// A model small enough for finite differences, with a window shorter than the sequences, and no two sizes alike.
fn small_config() -> Config {
    Config {
        hidden_size: 12,
        num_layers: 2,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 6,
        intermediate_size: 20,
        vocab_size: 31,
        sliding_window: Some(3),
        layer_is_sliding: vec![true, false],
        max_positions: 16,
        initializer_range: 0.4,
        ..checkpoint("base").config().clone()
    }
}

#[test]
fn a_batch_gives_what_the_fast_path_gives() {
    for name in MODELS {
        let checkpoint = checkpoint(name);
        let model = checkpoint.load(CPU, DType::F32, &mut |_| {}).unwrap();
        let trainable = Trainable::from_checkpoint(&checkpoint).unwrap();
        let conversations: Vec<Vec<u32>> = expected()["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|conversation| ids(&conversation["ids"]))
            .collect();
        let longest = conversations.iter().map(Vec::len).max().unwrap();
        let pad = checkpoint.config().pad_id.unwrap();
        let mut batch: Vec<u32> = vec![];
        for ids in &conversations {
            batch.extend(ids);
            batch.extend(std::iter::repeat_n(&pad, longest - ids.len()));
        }
        let batch = Tensor::from_vec(batch, (conversations.len(), longest), CPU).unwrap();
        let logits = trainable.forward(&batch).unwrap();
        for (row, ids) in conversations.iter().enumerate() {
            let fast = model
                .forward(ids, &mut model.cache(ids.len()), None, None, Logits::All)
                .unwrap()
                .logits
                .unwrap();
            let found = logits.get(row).unwrap().narrow(0, 0, ids.len()).unwrap();
            let error = relative_error(&found, &fast);
            assert!(error <= 1e-5, "{name}, row {row}: {error}");
        }
    }
}

#[test]
fn the_loss_is_the_weighted_mean_of_the_forward_pass() {
    let trainable = Trainable::new(small_config(), 5).unwrap();
    let ids = Tensor::new(&[[1u32, 5, 9, 13, 2, 2], [30, 4, 4, 8, 17, 22]], CPU).unwrap();
    let targets = Tensor::new(&[[5u32, 9, 13, 7, 2, 2], [4, 4, 8, 17, 22, 3]], CPU).unwrap();
    let weights = Tensor::new(
        &[[1f32, 0., 4., 1., 0., 0.], [0.5, 1., 1., 1., 1., 2.]],
        CPU,
    )
    .unwrap();
    let loss = trainable
        .loss(&ids, &targets, &weights)
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    let logits = trainable.forward(&ids).unwrap();
    let log_probabilities = candle_nn::ops::log_softmax(&logits, 2).unwrap();
    let nll = log_probabilities
        .gather(&targets.unsqueeze(2).unwrap(), 2)
        .unwrap()
        .squeeze(2)
        .unwrap();
    let sum = (nll.neg().unwrap() * &weights)
        .unwrap()
        .sum_all()
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    assert!((loss - sum / weights.sum_all().unwrap().to_scalar::<f32>().unwrap()).abs() < 1e-5);
    assert!(
        trainable
            .loss(&ids, &targets, &weights.zeros_like().unwrap())
            .is_err()
    );
    assert!(
        trainable
            .loss(&ids, &targets.narrow(1, 0, 3).unwrap(), &weights)
            .is_err()
    );
    let outside = Tensor::full(31u32, (2, 6), CPU).unwrap();
    assert!(trainable.loss(&ids, &outside, &weights).is_err());
}

/// Central differences along a random direction of every variable at once, and along each variable alone.
#[test]
fn gradients_agree_with_finite_differences() {
    let trainable = Trainable::new(small_config(), 11).unwrap();
    let ids = Tensor::new(&[[1u32, 5, 9, 13, 2, 7, 3], [30, 4, 4, 8, 17, 22, 19]], CPU).unwrap();
    let targets = Tensor::new(&[[5u32, 9, 13, 7, 2, 3, 3], [4, 4, 8, 17, 22, 19, 3]], CPU).unwrap();
    let weights = Tensor::new(
        &[[1f32, 0., 4., 1., 1., 1., 0.], [1., 1., 1., 1., 1., 2., 1.]],
        CPU,
    )
    .unwrap();
    let loss = || {
        f64::from(
            trainable
                .loss(&ids, &targets, &weights)
                .unwrap()
                .to_scalar::<f32>()
                .unwrap(),
        )
    };
    let gradients = trainable
        .loss(&ids, &targets, &weights)
        .unwrap()
        .backward()
        .unwrap();
    for (name, var) in trainable.vars() {
        let gradient = gradients
            .get(&var)
            .unwrap_or_else(|| panic!("{name} has no gradient"));
        let slope = gradient
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
            .sqrt();
        assert!(slope > 0.0, "{name}");
        // Along the gradient itself the derivative is its norm.
        let direction = (gradient / f64::from(slope)).unwrap();
        let at = var.as_detached_tensor().copy().unwrap();
        let step = 1e-2;
        var.set(&(&at + (&direction * step).unwrap()).unwrap())
            .unwrap();
        let above = loss();
        var.set(&(&at - (&direction * step).unwrap()).unwrap())
            .unwrap();
        let below = loss();
        var.set(&at).unwrap();
        let found = (above - below) / (2.0 * step);
        assert!(
            (found - f64::from(slope)).abs() <= 2e-2 * f64::from(slope) + 1e-4,
            "{name}: difference quotient {found}, gradient {slope}"
        );
    }
}

#[test]
fn the_reverse_pass_agrees_with_the_tensor_librarys() {
    for (tied, cap) in [(true, Some(2.0)), (false, None)] {
        let config = Config {
            tie_word_embeddings: tied,
            final_softcap: cap,
            attn_softcap: cap,
            ..small_config()
        };
        let trainable = Trainable::new(config, 7).unwrap();
        let ids =
            Tensor::new(&[[1u32, 5, 9, 13, 2, 7, 3], [30, 4, 4, 8, 17, 22, 19]], CPU).unwrap();
        let targets =
            Tensor::new(&[[5u32, 9, 13, 7, 2, 3, 3], [4, 4, 8, 17, 22, 19, 3]], CPU).unwrap();
        let ones = Tensor::ones((2, 7), DType::F32, CPU).unwrap();
        let some = Tensor::new(
            &[[1f32, 0., 4., 1., 1., 1., 0.], [0., 1., 1., 0., 1., 2., 1.]],
            CPU,
        )
        .unwrap();
        for weights in [ones, some] {
            let loss = trainable.loss(&ids, &targets, &weights).unwrap();
            let wanted = loss.backward().unwrap();
            let (value, found) = trainable
                .loss_and_gradients(&ids, &targets, &weights)
                .unwrap();
            assert_eq!(value, loss.to_scalar::<f32>().unwrap());
            for (name, var) in trainable.vars() {
                let (found, wanted) = (found.get(&var).unwrap(), wanted.get(&var).unwrap());
                let error = relative_error(found, wanted);
                assert!(error <= 1e-5, "{name}: {error}");
            }
        }
    }
}

#[test]
fn equal_seeds_give_equal_weights() {
    let weights = |seed| {
        let trainable = Trainable::new(small_config(), seed).unwrap();
        let (_, var) = trainable.vars().swap_remove(0);
        var.to_vec2::<f32>().unwrap()
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
    let all: Vec<f32> = weights(3).concat();
    let deviation = (all.iter().map(|x| x * x).sum::<f32>() / all.len() as f32).sqrt();
    assert!((deviation - 0.4).abs() < 0.06, "{deviation}");
}

#[test]
fn a_saved_model_loads_again() {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<u32> = (0..14).collect();
    for tied in [true, false] {
        let config = Config {
            tie_word_embeddings: tied,
            ..small_config()
        };
        let trainable = Trainable::new(config.clone(), 8).unwrap();
        let model = trainable.to_model().unwrap();
        let logits = |model: &gemma::Model| {
            model
                .forward(&ids, &mut model.cache(14), None, None, Logits::All)
                .unwrap()
                .logits
                .unwrap()
        };
        for (dtype, stored, tolerance) in [
            (DType::F32, "float32", 0.0),
            (DType::BF16, "bfloat16", 0.05),
            (DType::F16, "float16", 0.01),
        ] {
            let folder = dir.path().join(format!("{stored}-{tied}"));
            trainable.save(&folder, dtype).unwrap();
            let checkpoint = Checkpoint::open(&folder).unwrap();
            assert_eq!(checkpoint.config(), &config);
            assert_eq!(checkpoint.stored_dtype(), stored);
            let weights: usize = trainable
                .vars()
                .iter()
                .map(|(_, var)| var.elem_count())
                .sum();
            assert_eq!(checkpoint.parameters(), weights as u64);
            let loaded = checkpoint.load(CPU, DType::F32, &mut |_| {}).unwrap();
            let error = relative_error(&logits(&loaded), &logits(&model));
            assert!(error <= tolerance, "{stored}: {error}");
            // The stored numbers are the variables rounded once.
            let again = Trainable::from_checkpoint(&checkpoint).unwrap();
            for ((_, saved), (_, var)) in again.vars().iter().zip(trainable.vars()) {
                let rounded = var.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
                assert_eq!(
                    (saved.as_tensor() - rounded)
                        .unwrap()
                        .abs()
                        .unwrap()
                        .sum_all()
                        .unwrap()
                        .to_scalar::<f32>()
                        .unwrap(),
                    0.0
                );
            }
        }
    }
    assert!(
        Trainable::new(small_config(), 8)
            .unwrap()
            .save(dir.path().join("u8"), DType::U8)
            .is_err()
    );
}

#[test]
fn sequences_longer_than_the_model_are_refused() {
    let trainable = Trainable::new(small_config(), 8).unwrap();
    let ids = |tokens| Tensor::zeros((2, tokens), DType::U32, CPU).unwrap();
    assert!(trainable.forward(&ids(16)).is_ok());
    assert!(matches!(
        trainable.forward(&ids(17)),
        Err(gemma::Error::TooLong { .. })
    ));
    assert!(matches!(
        trainable.forward(&ids(0)),
        Err(gemma::Error::Empty)
    ));
}
