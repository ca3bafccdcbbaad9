//! Laws of the forward pass: hooks, halves, stopping, chunks and windows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use candle_core::Tensor;
use common::{MODELS, expected, ids, load, relative_error};
use gemma::{Error, Hook, Logits, Model, Result};

/// A prompt several windows long.
fn long_prompt(model: &Model) -> Vec<u32> {
    let count = 90;
    assert!(count > 4 * model.config().sliding_window.unwrap());
    common::prompt(model, count)
}

fn values(x: &Tensor) -> Vec<Vec<f32>> {
    x.to_vec2().unwrap()
}

fn plain(model: &Model, ids: &[u32], wanted: Logits<'_>) -> Tensor {
    model
        .forward(ids, &mut model.cache(ids.len()), None, None, wanted)
        .unwrap()
        .logits
        .unwrap()
}

/// Replaces one block's output by a multiple of it.
struct Scale {
    block: usize,
    factor: f64,
}

impl Hook for Scale {
    fn after_block(&mut self, block: usize, x: &Tensor) -> Result<Option<Tensor>> {
        Ok(if block == self.block {
            Some((x * self.factor)?)
        } else {
            None
        })
    }
}

#[test]
fn a_hook_that_changes_nothing_changes_no_bit() {
    let model = load("chat");
    let ids = long_prompt(&model);
    let mut hook = Scale {
        block: 1,
        factor: 1.0,
    };
    let hooked = model
        .forward(
            &ids,
            &mut model.cache(ids.len()),
            Some(&mut hook),
            None,
            Logits::All,
        )
        .unwrap();
    assert_eq!(
        values(&hooked.logits.unwrap()),
        values(&plain(&model, &ids, Logits::All))
    );
}

#[test]
fn a_hook_replaces_what_the_next_block_reads() {
    let model = load("base");
    let ids = long_prompt(&model);
    let mut hook = Scale {
        block: 1,
        factor: 1.5,
    };
    let hooked = model
        .forward(
            &ids,
            &mut model.cache(ids.len()),
            Some(&mut hook),
            None,
            Logits::All,
        )
        .unwrap()
        .logits
        .unwrap();
    let h = (model.lower(&ids, 1, &mut model.cache(ids.len())).unwrap() * 1.5).unwrap();
    let halves = model
        .upper(&h, 1, &mut model.cache(ids.len()), Logits::All)
        .unwrap();
    assert_eq!(values(&hooked), values(&halves));
    assert!(relative_error(&hooked, &plain(&model, &ids, Logits::All)) > 1e-3);
}

#[test]
fn a_hook_may_not_change_the_shape() {
    struct Cut;
    impl Hook for Cut {
        fn after_block(&mut self, _: usize, x: &Tensor) -> Result<Option<Tensor>> {
            Ok(Some(x.narrow(0, 0, 1)?))
        }
    }
    let model = load("base");
    let error = model.forward(
        &[6, 7],
        &mut model.cache(4),
        Some(&mut Cut),
        None,
        Logits::None,
    );
    assert!(matches!(error, Err(Error::Argument(_))));
}

#[test]
fn stopping_gives_the_residual_and_no_logits() {
    let model = load("base");
    let ids = long_prompt(&model);
    let last = model.config().num_layers - 1;
    for layer in 0..=last {
        let mut cache = model.cache(ids.len());
        let stopped = model
            .forward(&ids, &mut cache, None, Some(layer), Logits::All)
            .unwrap();
        let lower = model
            .lower(&ids, layer, &mut model.cache(ids.len()))
            .unwrap();
        assert_eq!(values(&stopped.residual.unwrap()), values(&lower));
        assert_eq!(stopped.logits.is_some(), layer == last);
        assert_eq!(cache.len_at(layer), ids.len());
        assert_eq!(cache.len_at(layer + 1), 0);
    }
    assert!(
        model
            .forward(
                &ids,
                &mut model.cache(ids.len()),
                None,
                Some(last + 1),
                Logits::None
            )
            .is_err()
    );
}

#[test]
fn logits_at_chosen_positions_are_rows_of_all() {
    let model = load("chat");
    let ids = long_prompt(&model);
    let all = values(&plain(&model, &ids, Logits::All));
    let chosen = values(&plain(&model, &ids, Logits::At(&[70, 3])));
    let last = values(&plain(&model, &ids, Logits::Last));
    for (found, wanted) in [
        (&chosen[0], &all[70]),
        (&chosen[1], &all[3]),
        (&last[0], &all[89]),
    ] {
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-5);
        }
    }
    let forward = model
        .forward(&ids, &mut model.cache(90), None, None, Logits::None)
        .unwrap();
    assert!(forward.logits.is_none() && forward.residual.is_none());
    assert!(matches!(
        model.forward(&ids, &mut model.cache(90), None, None, Logits::At(&[90])),
        Err(Error::Argument(_))
    ));
}

#[test]
fn chunks_of_any_length_continue_past_the_window() {
    for name in MODELS {
        let model = load(name);
        let ids = long_prompt(&model);
        let whole = plain(&model, &ids, Logits::All);
        for sizes in [
            vec![1; 90],
            vec![89, 1],
            vec![1, 5, 7, 8, 9, 17, 40, 3],
            vec![45, 45],
        ] {
            let mut cache = model.cache(ids.len());
            let mut rows = vec![];
            let mut from = 0;
            for size in sizes {
                let chunk = &ids[from..from + size];
                rows.push(
                    model
                        .forward(chunk, &mut cache, None, None, Logits::All)
                        .unwrap()
                        .logits
                        .unwrap(),
                );
                from += size;
            }
            assert_eq!((from, cache.len()), (ids.len(), ids.len()));
            assert!(
                relative_error(&Tensor::cat(&rows, 0).unwrap(), &whole) <= 1e-5,
                "{name}"
            );
        }
    }
}

#[test]
fn the_window_hides_far_tokens_from_sliding_blocks_only() {
    let model = load("base");
    let window = model.config().sliding_window.unwrap();
    let ids = long_prompt(&model);
    let mut other = ids.clone();
    other[0] = (ids[0] + 1) % 512;
    // Block 0 slides: its output at q depends on token 0 exactly where q < window.
    let after_first =
        |ids: &[u32]| values(&model.lower(ids, 0, &mut model.cache(ids.len())).unwrap());
    let (a, b) = (after_first(&ids), after_first(&other));
    for (position, (a, b)) in a.iter().zip(&b).enumerate() {
        assert_eq!(a == b, position >= window, "position {position}");
    }
    // Block 1 sees everything.
    let after_second =
        |ids: &[u32]| values(&model.lower(ids, 1, &mut model.cache(ids.len())).unwrap());
    assert!(after_second(&ids)[89] != after_second(&other)[89]);
}

#[test]
fn halves_keep_lengths_of_their_own() {
    let model = load("chat");
    let ids = long_prompt(&model);
    let whole = plain(&model, &ids, Logits::All);
    let (mut lower, mut upper) = (model.cache(90), model.cache(90));
    let mut rows = vec![];
    for chunk in ids.chunks(13) {
        let h = model.lower(chunk, 2, &mut lower).unwrap();
        rows.push(model.upper(&h, 2, &mut upper, Logits::All).unwrap());
    }
    assert!(relative_error(&Tensor::cat(&rows, 0).unwrap(), &whole) <= 1e-5);
    assert_eq!((lower.len_at(2), lower.len_at(3)), (90, 0));
    assert_eq!((upper.len_at(2), upper.len_at(3)), (0, 90));
    // One cache serves both halves, but not when they differ.
    let mut one = model.cache(90);
    model.lower(&ids[..5], 2, &mut one).unwrap();
    assert!(matches!(
        model.forward(&ids[5..], &mut one, None, None, Logits::None),
        Err(Error::Argument(_))
    ));
}

#[test]
fn a_truncated_cache_goes_on_from_there_and_a_copy_is_its_own() {
    let model = load("base");
    let ids = long_prompt(&model);
    let mut cache = model.cache(100);
    model
        .forward(&ids, &mut cache, None, None, Logits::None)
        .unwrap();
    let mut copy = cache.deep_copy().unwrap();
    cache.truncate(40);
    let step = |cache: &mut gemma::KvCache, ids: &[u32]| {
        values(
            &model
                .forward(ids, cache, None, None, Logits::Last)
                .unwrap()
                .logits
                .unwrap(),
        )
    };
    let again = step(&mut cache, &ids[40..]);
    assert_eq!(again, values(&plain(&model, &ids, Logits::Last)));
    // What is written into one is not seen by the other.
    cache.truncate(0);
    step(&mut cache, &[1, 2, 3]);
    let continued = step(&mut copy, &[17]);
    let mut longer = ids.clone();
    longer.push(17);
    let whole = plain(&model, &longer, Logits::Last);
    let error = relative_error(&Tensor::new(continued, whole.device()).unwrap(), &whole);
    assert!(error <= 1e-5, "{error}");
}

/// Half precision takes the plain tensor operations that a GPU takes, in place of the fused kernels.
#[test]
fn half_precision_follows_single_precision() {
    for name in MODELS {
        let single = load(name);
        let half = gemma::Checkpoint::open(common::fixtures().join(name))
            .unwrap()
            .load(single.device(), candle_core::DType::F16, &mut |_| {})
            .unwrap();
        let ids = long_prompt(&single);
        let wanted = plain(&single, &ids, Logits::All);
        assert!(
            relative_error(&plain(&half, &ids, Logits::All), &wanted) <= 0.02,
            "{name}"
        );
        let mut cache = half.cache(ids.len());
        let rows: Vec<Tensor> = ids
            .chunks(21)
            .map(|chunk| {
                half.forward(chunk, &mut cache, None, None, Logits::All)
                    .unwrap()
                    .logits
                    .unwrap()
            })
            .collect();
        assert!(
            relative_error(&Tensor::cat(&rows, 0).unwrap(), &wanted) <= 0.02,
            "{name}"
        );
        let h = half.lower(&ids, 1, &mut half.cache(ids.len())).unwrap();
        assert_eq!(h.dtype(), candle_core::DType::F16);
        let h = h.to_dtype(candle_core::DType::F32).unwrap();
        let halves = half
            .upper(&h, 1, &mut half.cache(ids.len()), Logits::All)
            .unwrap();
        assert!(relative_error(&halves, &wanted) <= 0.02, "{name}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let model = load("base");
    let vocab_size = model.config().vocab_size as u32;
    let run = |ids: &[u32], capacity: usize| {
        model.forward(ids, &mut model.cache(capacity), None, None, Logits::Last)
    };
    assert!(matches!(run(&[], 4), Err(Error::Empty)));
    assert!(matches!(
        run(&[6, vocab_size], 4),
        Err(Error::TokenId { position: 1, .. })
    ));
    assert!(matches!(
        run(&[6; 5], 4),
        Err(Error::TooLong {
            wanted: 5,
            limit: 4,
            ..
        })
    ));
    let positions = model.config().max_positions;
    assert!(matches!(
        run(&vec![6; positions + 1], positions + 1),
        Err(Error::TooLong { .. })
    ));
    assert!(run(&vec![6; positions], positions).is_ok());
    assert!(model.unembed_direction(&[0.0; 7]).is_err());
    let narrow = Tensor::zeros((2, 7), candle_core::DType::F32, model.device()).unwrap();
    assert!(matches!(
        model.blocks(&narrow, 0..2, &mut model.cache(4)),
        Err(Error::Argument(_))
    ));
    assert!(
        expected()["layer"]
            .as_u64()
            .is_some_and(|layer| (layer as usize) < model.config().num_layers)
    );
    assert_eq!(
        ids(&expected()["conversations"][0]["ids"])[0],
        model.config().bos_id.unwrap()
    );
}

#[test]
fn sequences_side_by_side_are_as_each_alone() {
    for name in MODELS {
        let model = load(name);
        let long = long_prompt(&model);
        let sequences = [&long[..], &long[3..4], &long[40..], &long[7..29]];
        for layer in [0, model.config().num_layers - 1] {
            let together = model.lower_many(&sequences, layer).unwrap();
            assert_eq!(together.len(), sequences.len());
            for (found, ids) in together.iter().zip(sequences) {
                let alone = model
                    .lower(ids, layer, &mut model.cache(ids.len()))
                    .unwrap();
                let error = relative_error(found, &alone);
                assert!(
                    error <= 1e-5,
                    "{name}, layer {layer}, {}: {error}",
                    ids.len()
                );
            }
            let again = model.lower_many(&sequences, layer).unwrap();
            for (first, second) in together.iter().zip(&again) {
                assert_eq!(values(first), values(second));
            }
        }
    }
}

#[test]
fn more_sequences_than_run_together() {
    let model = load("chat");
    let long = long_prompt(&model);
    let sequences: Vec<&[u32]> = (0..60).map(|i| &long[i % 7..]).collect();
    let tokens: usize = sequences.iter().map(|ids| ids.len()).sum();
    assert!(tokens > 2 * 2048);
    let together = model.lower_many(&sequences, 1).unwrap();
    assert_eq!(together.len(), sequences.len());
    for (found, ids) in together.iter().zip(sequences) {
        let alone = model.lower(ids, 1, &mut model.cache(ids.len())).unwrap();
        assert!(relative_error(found, &alone) <= 1e-5);
    }
    assert!(model.lower_many(&[], 1).unwrap().is_empty());
}

#[test]
fn sequences_that_cannot_run_are_refused() {
    let model = load("base");
    let vocabulary = model.config().vocab_size as u32;
    let long = vec![1; model.config().max_positions + 1];
    let refusal = |ids: &[u32], layer| model.lower_many(&[&[1, 2], ids], layer).unwrap_err();
    assert!(matches!(refusal(&[], 0), Error::Empty));
    assert!(matches!(refusal(&long, 0), Error::TooLong { .. }));
    let outside = refusal(&[3, vocabulary], 0);
    assert!(
        matches!(outside, Error::TokenId { position: 1, .. }),
        "{outside}"
    );
    assert!(matches!(refusal(&[3], 99), Error::Argument(_)));
}

#[test]
fn alternatives_of_a_token_are_what_each_alone_would_be() {
    let layer = 1;
    for name in MODELS {
        let model = load(name);
        let ids = long_prompt(&model);
        // The first token, one inside the first window, and one beyond it.
        for at in [0, 3, ids.len() - 1] {
            let residual = model
                .lower(&ids, layer, &mut model.cache(ids.len()))
                .unwrap();
            let token = residual.narrow(0, at, 1).unwrap();
            let rows: Vec<Tensor> = [1.0, -0.5, 3.0, 0.25]
                .iter()
                .map(|factor| (&token * *factor).unwrap())
                .collect();
            let mut cache = model.cache(ids.len());
            if at > 0 {
                let before = residual.narrow(0, 0, at).unwrap();
                model
                    .upper(&before, layer, &mut cache, Logits::None)
                    .unwrap();
            }
            let together = Tensor::cat(&rows, 0).unwrap();
            let states = model.alternatives(&together, layer, &cache).unwrap();
            let found = model.logits(&states, Logits::All).unwrap();
            for (n, row) in rows.iter().enumerate() {
                // The cache is as it was, so each may follow in turn.
                let alone = model.upper(row, layer, &mut cache, Logits::All).unwrap();
                cache.truncate(at);
                let error = relative_error(&found.narrow(0, n, 1).unwrap(), &alone);
                assert!(error < 1e-5, "{name}, token {at}, row {n}: {error}");
            }
        }
    }
}
