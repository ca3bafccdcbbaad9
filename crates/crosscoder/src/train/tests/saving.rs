//! Saved folders: what they load as, and in fewer bytes.

use candle_core::{Device, Tensor};

use super::batch;
use super::laws::{normalizer, rich};
use crate::train::{Origin, Settings, Trainer, WeightFormat};
use crate::{CodeNormalization, Crosscoder, Kind};

fn trained(kind: Kind, code_normalization: CodeNormalization) -> Trainer {
    let settings = Settings {
        kind,
        code_normalization,
        l1_penalty: 0.05,
        ..rich()
    };
    let mut trainer = Trainer::new(settings, 6, 24, Some(normalizer(6))).unwrap();
    for i in 0..9 {
        trainer.step(&batch(64, 6, i)).unwrap();
    }
    trainer
}

#[test]
fn a_saved_dictionary_loads_and_encodes_as_validation_did() {
    for (kind, code_normalization) in [
        (Kind::BatchTopK, CodeNormalization::Crosscoder),
        (Kind::BatchTopK, CodeNormalization::Sae),
        (Kind::BatchTopK, CodeNormalization::Decoupled),
        (Kind::L1, CodeNormalization::None),
        (Kind::L1, CodeNormalization::Decoupled),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut trainer = trained(kind, code_normalization);
        let x = batch(64, 6, 99);
        let validation = trainer.validate([x.as_slice()]).unwrap();
        let origin = Origin {
            layer: Some(3),
            lm_name: Some("chat-base".into()),
            ..Origin::default()
        };
        trainer.save(dir.path(), &origin).unwrap();
        let crosscoder = Crosscoder::load(dir.path(), &Device::Cpu).unwrap();
        let header = crosscoder.header();
        assert_eq!(
            (header.kind, header.normalization),
            (kind, code_normalization)
        );
        assert!(header.normalized);
        let batch_top_k = kind == Kind::BatchTopK;
        assert_eq!(header.k, batch_top_k.then_some(4));
        assert_eq!(
            header.thresholds,
            batch_top_k.then_some(trainer.thresholds())
        );

        let x = Tensor::from_vec(x, (64, 2, 6), &Device::Cpu).unwrap();
        let codes = crosscoder.codes(&x).unwrap();
        let active = codes.all().iter().flat_map(|a| a.f);
        let active = active.filter(|f| *f > 0.0).count();
        assert_eq!(active as f64 / 128.0, validation.l0);
        let v: f64 = codes.all().iter().map(|a| f64::from(a.v)).sum();
        assert!((v / 64.0 - validation.sparsity).abs() < 1e-4 * validation.sparsity);
        let normalized = crosscoder.normalize(&x).unwrap();
        let normalized: Vec<f32> = normalized.flatten_all().unwrap().to_vec1().unwrap();
        let x_hat = crosscoder.reconstruct_normalized(&codes);
        for model in 0..2 {
            let (mut error, mut total) = (diffing::Moments::new(6), diffing::Moments::new(6));
            for (x, x_hat) in normalized.chunks_exact(12).zip(x_hat.chunks_exact(12)) {
                let range = model * 6..(model + 1) * 6;
                let e: Vec<f32> = x[range.clone()]
                    .iter()
                    .zip(&x_hat[range.clone()])
                    .map(|(x, y)| x - y)
                    .collect();
                error.add(&e).unwrap();
                total.add(&x[range]).unwrap();
            }
            let variance = |m: &diffing::Moments| m.std().iter().map(|s| s * s).sum::<f64>();
            let fve = 1.0 - variance(&error) / variance(&total);
            assert!((fve - validation.fve[model]).abs() < 1e-4);
        }
        let trainer_config =
            std::fs::read_to_string(dir.path().join("trainer_config.json")).unwrap();
        let trainer_config: serde_json::Value = serde_json::from_str(&trainer_config).unwrap();
        let fields = &trainer_config["trainer"];
        assert_eq!(fields["layer"], 3);
        assert_eq!(fields["lm_name"], "chat-base");
        assert_eq!(fields["dict_class"], kind.class());
        assert_eq!(fields["dict_size"], 24);
    }
}

#[test]
fn half_formats_store_the_nearest_numbers() {
    let trainer = trained(Kind::BatchTopK, CodeNormalization::Crosscoder);
    let load = |format: WeightFormat| {
        let dir = tempfile::tempdir().unwrap();
        trainer
            .save_as(dir.path(), &Origin::default(), format)
            .unwrap();
        let bytes = std::fs::metadata(dir.path().join("model.safetensors"))
            .unwrap()
            .len();
        (Crosscoder::load(dir.path(), &Device::Cpu).unwrap(), bytes)
    };
    let (whole, all_bytes) = load(WeightFormat::F32);
    for (format, relative) in [(WeightFormat::Bf16, 0.004), (WeightFormat::F16, 0.0005)] {
        let (half, bytes) = load(format);
        // Two bytes less for every one of 2·(2·6·24) + 24 + 12 numbers; the names of the formats are as long or longer.
        assert!(all_bytes - bytes >= 2 * 612 - 16, "{all_bytes} {bytes}");
        let stored = half.header().number_bytes;
        assert_eq!(stored, if format == WeightFormat::Bf16 { 2 } else { 4 });
        let mut header = half.header().clone();
        header.number_bytes = whole.header().number_bytes;
        assert_eq!(header, *whole.header());
        for model in 0..2 {
            for j in 0..24 {
                let (half, whole) = (half.decoder_row(model, j), whole.decoder_row(model, j));
                for (h, w) in half.iter().zip(whole.iter()) {
                    assert!((h - w).abs() <= relative * w.abs().max(1e-3), "{h} {w}");
                }
            }
        }
    }
}

#[test]
fn weights_beyond_a_half_format_are_refused() {
    let mut trainer = trained(Kind::L1, CodeNormalization::Crosscoder);
    trainer.parameters.decoder[7] = 1e5;
    let dir = tempfile::tempdir().unwrap();
    let save = |format| trainer.save_as(dir.path(), &Origin::default(), format);
    let message = save(WeightFormat::F16).unwrap_err().to_string();
    assert!(
        message.contains("65504") && message.contains("100000"),
        "{message}"
    );
    assert!(!dir.path().join("model.safetensors").exists());
    save(WeightFormat::Bf16).unwrap();
}
