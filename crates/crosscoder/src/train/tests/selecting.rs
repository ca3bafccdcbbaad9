//! The trainer's own search for what BatchTopK keeps, held to the plain definition.

use crate::train::search::DEEP;
use crate::train::{BiasStart, Settings, Trainer};
use crate::{CodeNormalization, top_k_over_batch};

const ROWS: usize = 150;
const LATENTS: usize = 300;

/// Small whole numbers, so that many activations are equal.
fn whole(i: usize) -> f32 {
    ((i.wrapping_mul(2_654_435_761) >> 7) % 5) as f32 - 2.0
}

#[test]
fn the_largest_of_the_batch_are_kept_and_ties_settled_by_order() {
    for code_normalization in [
        CodeNormalization::None,
        CodeNormalization::Crosscoder,
        CodeNormalization::Decoupled,
    ] {
        let settings = Settings {
            k: 7,
            code_normalization,
            decoder_bias: BiasStart::Zero,
            ..Settings::default()
        };
        let mut trainer = Trainer::new(settings, 3, LATENTS, None).unwrap();
        for (i, x) in trainer.parameters.encoder.iter_mut().enumerate() {
            *x = whole(i);
        }
        for (j, row) in trainer.parameters.decoder.chunks_exact_mut(6).enumerate() {
            let lengths = [1 + j % 3, 1 + j % 2].map(|n| n as f32);
            row.copy_from_slice(&[lengths[0], 0.0, 0.0, 0.0, lengths[1], 0.0]);
        }
        trainer.weigh();
        let x: Vec<f32> = (0..ROWS * 6).map(|i| whole(i + 11)).collect();
        // The second time the search begins where the first one ended.
        for _ in 0..2 {
            let evaluation = trainer.evaluate(&x).unwrap();
            let all: Vec<u32> = (0..LATENTS as u32).collect();
            let search = &mut trainer.work.search;
            search.make_exact(&x, &trainer.parameters, &all);
            let models = 1 + usize::from(code_normalization == CodeNormalization::Decoupled);
            for model in 0..models {
                let search = &trainer.work.search;
                let mut v = vec![0f32; ROWS * LATENTS];
                for (i, v) in v.iter_mut().enumerate() {
                    let (row, j) = (i / LATENTS, i % LATENTS);
                    *v = search.pre(row, j, LATENTS).max(0.0) * trainer.weights[j].gates[model];
                }
                let expected = top_k_over_batch(&v, ROWS, 7);
                let kept: Vec<usize> = (0..ROWS)
                    .flat_map(|row| {
                        let codes = trainer.work.entries.row(row);
                        codes
                            .filter(|code| code.models.has(model))
                            .map(move |code| row * LATENTS + code.latent as usize)
                    })
                    .collect();
                assert_eq!(kept, expected.kept, "{code_normalization:?}");
                assert_eq!(evaluation.smallest[model], expected.threshold);
                let equal = |i: &usize| v[*i] == expected.threshold;
                let all = (0..v.len()).filter(equal).count();
                assert!(
                    kept.iter().filter(|i| equal(i)).count() < all,
                    "no ties to settle"
                );
            }
            assert!((evaluation.l0 - 7.0).abs() < 1e-9);
        }
    }
}

#[test]
fn decoupled_models_estimate_thresholds_of_their_own() {
    let settings = Settings {
        k: 4,
        code_normalization: CodeNormalization::Decoupled,
        threshold_start_step: 0,
        warmup_steps: 0,
        same_init_for_all_layers: false,
        ..Settings::default()
    };
    let mut trainer = Trainer::new(settings, 6, 24, None).unwrap();
    for i in 0..4 {
        let metrics = trainer.step(&super::batch(64, 6, i)).unwrap();
        let [base, chat] = trainer.thresholds();
        let told = metrics.batch_top_k.unwrap();
        assert_eq!((told.threshold_l0, told.threshold), (Some(base), chat));
        assert_eq!(base > 0.0 && chat > 0.0 && base != chat, i > 0);
    }
}

#[test]
fn wide_activations_have_the_plain_pre_activations() {
    let settings = Settings {
        k: 7,
        decoder_bias: BiasStart::Zero,
        ..Settings::default()
    };
    for width in [DEEP - 2, DEEP, DEEP + 6] {
        let mut trainer = Trainer::new(settings.clone(), width / 2, LATENTS, None).unwrap();
        for (i, x) in trainer.parameters.encoder.iter_mut().enumerate() {
            *x = whole(i);
        }
        let x: Vec<f32> = (0..ROWS * width).map(|i| whole(i + 11)).collect();
        trainer.evaluate(&x).unwrap();
        let all: Vec<u32> = (0..LATENTS as u32).collect();
        let parameters = &trainer.parameters;
        trainer.work.search.make_exact(&x, parameters, &all);
        for (row, x) in x.chunks_exact(width).enumerate() {
            for (j, encoder) in parameters.encoder.chunks_exact(width).enumerate() {
                let plain: f32 = x.iter().zip(encoder).map(|(x, w)| x * w).sum();
                assert_eq!(trainer.work.search.pre(row, j, LATENTS), plain);
            }
        }
    }
}
