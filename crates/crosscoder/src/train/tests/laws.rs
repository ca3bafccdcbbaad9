//! Schedules, initial draw, threshold, determinism, checkpoints, saved folders, and refusals.

use super::{batch, small};
use crate::train::median::geometric_medians;
use crate::train::trainer::next_threshold;
use crate::train::{BiasStart, Settings, Trainer};
use crate::{CodeNormalization, Kind, Normalizer};

#[test]
fn e8_the_rate_rises_stays_and_falls() {
    let s = Settings {
        steps: 4000,
        decay_start: Some(3000),
        ..Settings::default()
    };
    for (step, factor) in [
        (0, 0.0),
        (500, 0.5),
        (1000, 1.0),
        (2999, 1.0),
        (3500, 0.5),
        (3999, 0.001),
        (4000, 0.0),
    ] {
        assert!((s.lr_factor(step) - factor).abs() < 1e-12, "{step}");
    }
    assert!((s.base_lr(1 << 14) - 2e-4).abs() < 1e-18);
    assert!((s.base_lr(1 << 16) - 1e-4).abs() < 1e-18);
}

#[test]
fn k_falls_to_its_target() {
    let s = Settings {
        k: 100,
        k_initial: Some(1000),
        k_annealing_steps: 10,
        ..Settings::default()
    };
    assert_eq!(
        [0, 1, 5, 9, 10, 99].map(|t| s.k_at(t)),
        [1000, 910, 550, 190, 100, 100]
    );
    assert_eq!(Settings::default().k_at(0), 100);
}

#[test]
fn e5_the_threshold_starts_at_the_first_minimum_and_follows() {
    let first = next_threshold(-1.0, 2.0, 0.999);
    assert_eq!(first, 2.0);
    assert!((next_threshold(first, 3.0, 0.999) - 2.001).abs() < 1e-6);
}

#[test]
fn the_threshold_waits_for_its_start() {
    let mut trainer = small(Settings {
        k: 4,
        threshold_start_step: 2,
        warmup_steps: 0,
        ..Settings::default()
    });
    let thresholds: Vec<f32> = (0..5)
        .map(|i| {
            trainer
                .step(&batch(64, 6, i))
                .unwrap()
                .batch_top_k
                .unwrap()
                .threshold
        })
        .collect();
    assert_eq!(thresholds[..3], [-1.0; 3]);
    assert!(thresholds[3] > 0.0 && thresholds[4] > 0.0);
}

#[test]
fn the_first_update_of_a_warm_up_moves_nothing() {
    let mut trainer = small(Settings {
        k: 4,
        decoder_bias: BiasStart::Zero,
        ..Settings::default()
    });
    let before = trainer.parameters.clone();
    trainer.step(&batch(64, 6, 0)).unwrap();
    assert_eq!(trainer.parameters, before);
    trainer.step(&batch(64, 6, 0)).unwrap();
    assert_ne!(trainer.parameters, before);
}

#[test]
fn silent_l1_latents_are_drawn_anew_from_the_batch() {
    let mut trainer = small(Settings {
        kind: Kind::L1,
        resample_steps: Some(4),
        warmup_steps: 2,
        norm_init_scale: Some(0.5),
        ..Settings::default()
    });
    let mute = [1usize, 5, 6];
    for j in mute {
        trainer.parameters.encoder_bias[j] = -100.0;
    }
    let last = batch(64, 6, 4);
    for i in 0..4 {
        let metrics = trainer.step(&batch(64, 6, i)).unwrap();
        assert_eq!(metrics.frac_deads, 3.0 / 24.0);
    }
    let metrics = trainer.step(&last).unwrap();
    assert_eq!((metrics.step, metrics.lr), (4, 0.0));
    for j in mute {
        assert_eq!(trainer.parameters.encoder_bias[j], 0.0);
        let range = j * 12..(j + 1) * 12;
        let decoder = &trainer.parameters.decoder[range.clone()];
        let token = last
            .chunks_exact(12)
            .find(|x| diffing::cosine(&x[..6], &decoder[..6]).unwrap() > 0.9999)
            .expect("a token of the batch");
        for model in 0..2 {
            let part = model * 6..(model + 1) * 6;
            assert!((diffing::norm(&decoder[part.clone()]) - 1.0).abs() < 1e-5);
            assert!(diffing::cosine(&token[part.clone()], &decoder[part]).unwrap() > 0.9999);
        }
        let encoder = &trainer.parameters.encoder[range.clone()];
        assert!(diffing::cosine(encoder, token).unwrap() > 0.999);
        let ratio = diffing::norm(encoder) / diffing::norm(token);
        assert!((ratio - 0.05 * 0.5).abs() < 0.003, "{ratio}");
        for part in &trainer.moments {
            assert!(part.encoder[range.clone()].iter().all(|x| *x == 0.0));
        }
    }
    let metrics = trainer.step(&last).unwrap();
    assert_eq!(metrics.frac_deads, 0.0);
    assert!(metrics.lr > 0.0);
}

#[test]
fn the_initial_draw_is_scaled_shared_and_transposed() {
    let p = small(Settings {
        k: 4,
        norm_init_scale: Some(0.3),
        ..Settings::default()
    })
    .parameters;
    assert_eq!(p.encoder, p.decoder);
    for row in p.encoder.chunks_exact(12) {
        assert_eq!(row[..6], row[6..]);
        assert!((diffing::norm(&row[..6]) - 0.3).abs() < 1e-6);
    }
    assert!(
        p.encoder_bias
            .iter()
            .chain(&p.decoder_bias)
            .all(|b| *b == 0.0)
    );
    let own = small(Settings {
        k: 4,
        norm_init_scale: None,
        same_init_for_all_layers: false,
        init_with_transpose: false,
        ..Settings::default()
    })
    .parameters;
    assert_ne!(own.encoder, own.decoder);
    assert!(own.encoder.chunks_exact(12).all(|row| row[..6] != row[6..]));
    let bound = (6f32 / (6.0 * 24.0)).sqrt();
    let largest = own.encoder.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(largest <= bound && largest > 0.9 * bound);
    let reseeded = small(Settings {
        k: 4,
        seed: 1,
        ..Settings::default()
    });
    assert_ne!(reseeded.parameters.encoder, p.encoder);
}

#[test]
fn the_geometric_median_resists_an_outlier() {
    // Base: a square around (1, 2), on whose centre one point lies; chat: three points on a line and a far one.
    let rows: Vec<f32> = [
        ([0., 1.], [0., 0.]),
        ([2., 1.], [1., 0.]),
        ([0., 3.], [1., 0.]),
        ([2., 3.], [2., 0.]),
        ([1., 2.], [1e4, 0.]),
    ]
    .iter()
    .flat_map(|(b, c)| [b[0], b[1], c[0], c[1]])
    .collect();
    let median = geometric_medians(&rows, 2);
    for (found, expected) in median.iter().zip([1.0, 2.0, 1.0, 0.0]) {
        assert!((found - expected).abs() < 1e-2, "{median:?}");
    }
    let mut trainer = Trainer::new(
        Settings {
            k: 1,
            ..Settings::default()
        },
        2,
        4,
        None,
    )
    .unwrap();
    trainer.step(&rows).unwrap();
    assert_eq!(trainer.parameters.decoder_bias, median);
}

pub(super) fn normalizer(dim: usize) -> Normalizer {
    let mean = (0..2 * dim).map(|i| i as f32 / 10.0).collect();
    Normalizer::new(mean, vec![0.6; 2 * dim], 1.0).unwrap()
}

/// Settings that exercise everything a checkpoint must keep; the rate has no short decimal form.
pub(super) fn rich() -> Settings {
    Settings {
        k: 4,
        k_initial: Some(8),
        k_annealing_steps: 6,
        lr: Some(0.01f64 / 3.0),
        warmup_steps: 2,
        decay_start: Some(5),
        steps: 9,
        dead_after_tokens: 100,
        threshold_start_step: 1,
        threshold_beta: 0.9 + 0.01 / 3.0,
        code_normalization: CodeNormalization::Mixed {
            alpha_sae: 1.0 / 3.0,
            alpha_cc: 0.1,
        },
        ..Settings::default()
    }
}

fn assert_same(a: &Trainer, b: &Trainer) {
    assert_eq!(a.settings, b.settings);
    assert_eq!(a.parameters, b.parameters);
    assert_eq!(a.moments, b.moments);
    assert_eq!(a.since_fired, b.since_fired);
    assert_eq!(
        a.thresholds.map(f32::to_bits),
        b.thresholds.map(f32::to_bits)
    );
    assert_eq!((a.step, a.tokens), (b.step, b.tokens));
    assert_eq!(a.normalizer, b.normalizer);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_run_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let decoupled = Settings {
        code_normalization: CodeNormalization::Decoupled,
        ..rich()
    };
    let resampled = Settings {
        kind: Kind::L1,
        decay_start: None,
        resample_steps: Some(3),
        l1_penalty: 2.0,
        ..rich()
    };
    let l1 = Settings {
        kind: Kind::L1,
        ..rich()
    };
    for settings in [rich(), decoupled, l1, resampled] {
        let mut whole = Trainer::new(settings, 6, 24, Some(normalizer(6))).unwrap();
        let mut resumed = None;
        for i in 0..9 {
            if i == 4 {
                whole.checkpoint(dir.path()).unwrap();
                let trainer = Trainer::resume(dir.path()).unwrap();
                assert_same(&whole, &trainer);
                resumed = Some(trainer);
            }
            let x = batch(64, 6, i);
            let metrics = whole.step(&x).unwrap();
            if let Some(resumed) = &mut resumed {
                assert_eq!(resumed.step(&x).unwrap(), metrics);
            }
        }
        assert_same(&whole, &resumed.unwrap());
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |kind: Kind, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            // More than one block of latents and of tokens.
            let settings = Settings { kind, ..rich() };
            let mut trainer = Trainer::new(settings, 6, 300, Some(normalizer(6))).unwrap();
            for i in 0..6 {
                trainer.step(&batch(200, 6, i)).unwrap();
            }
            trainer
        })
    };
    for kind in [Kind::BatchTopK, Kind::L1] {
        assert_same(&run(kind, 1), &run(kind, 3));
    }
}

#[test]
fn senseless_settings_name_the_field() {
    let cases: [(&str, Settings); 7] = [
        (
            "k",
            Settings {
                k: 0,
                ..Settings::default()
            },
        ),
        (
            "k",
            Settings {
                k: 25,
                ..Settings::default()
            },
        ),
        (
            "steps",
            Settings {
                steps: 0,
                k: 4,
                ..Settings::default()
            },
        ),
        (
            "lr",
            Settings {
                lr: Some(f64::NAN),
                k: 4,
                ..Settings::default()
            },
        ),
        (
            "decay_start",
            Settings {
                decay_start: Some(1000),
                k: 4,
                ..Settings::default()
            },
        ),
        (
            "code_normalization",
            Settings {
                code_normalization: CodeNormalization::Mixed {
                    alpha_sae: 0.0,
                    alpha_cc: 0.0,
                },
                k: 4,
                ..Settings::default()
            },
        ),
        (
            "resample_steps",
            Settings {
                resample_steps: Some(5),
                k: 4,
                ..Settings::default()
            },
        ),
    ];
    for (field, settings) in cases {
        let message = Trainer::new(settings, 6, 24, None).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("setting {field}: expected")),
            "{message}"
        );
    }
    let message = Trainer::new(rich(), 7, 24, Some(normalizer(6))).unwrap_err();
    assert!(message.to_string().contains("expected 7, found 6"));
}

#[test]
fn batches_that_cannot_be_learned_from_are_refused_and_change_nothing() {
    let mut trainer = small(Settings {
        k: 4,
        decoder_bias: BiasStart::Zero,
        ..Settings::default()
    });
    trainer.step(&batch(64, 6, 0)).unwrap();
    let before = trainer.parameters.clone();
    for bad in [vec![], vec![0.0; 13]] {
        let message = trainer.step(&bad).unwrap_err().to_string();
        assert!(
            message.contains(&format!("found {}", bad.len())),
            "{message}"
        );
    }
    let mut x = batch(64, 6, 1);
    x[5] = f32::NAN;
    let message = trainer.step(&x).unwrap_err().to_string();
    assert!(
        message.contains("training step 1") && message.contains("NaN"),
        "{message}"
    );
    assert_eq!(trainer.parameters, before);
    trainer.step(&batch(64, 6, 1)).unwrap();
}

#[test]
fn a_checkpoint_cut_short_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    small(Settings {
        k: 4,
        ..Settings::default()
    })
    .checkpoint(dir.path())
    .unwrap();
    let path = dir.path().join("checkpoint.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let message = Trainer::resume(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("checkpoint.safetensors") && message.contains("bytes"),
        "{message}"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(Trainer::resume(dir.path()).is_err());
}
