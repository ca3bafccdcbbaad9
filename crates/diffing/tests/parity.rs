//! Agreement with the reference values, to 1e-5 of each array's largest value.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

use std::path::PathBuf;

use diffing::{Decoder, ScalingSums};
use safetensors::{Dtype, SafeTensors};

const TOLERANCE: f64 = 1e-5;

struct File(Vec<u8>);

impl File {
    fn open(name: &str) -> Self {
        let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
        Self(std::fs::read(dir.join(name)).unwrap())
    }

    fn numbers(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let values = match tensor.dtype() {
            Dtype::F32 => tensor
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f64::from(f32::from_le_bytes(*b)))
                .collect(),
            Dtype::F64 => tensor
                .data()
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b))
                .collect(),
            other => panic!("{other:?}"),
        };
        (tensor.shape().to_vec(), values)
    }

    fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, values) = self.numbers(name);
        (shape, values.into_iter().map(|x| x as f32).collect())
    }
}

/// Largest difference over largest expected value; both must be unknown in the same places.
fn error(what: &str, found: &[Option<f64>], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}");
    let (mut difference, mut largest) = (0f64, 0f64);
    for (i, (found, &expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.is_none(), expected.is_nan(), "{what}[{i}]");
        if let Some(found) = found {
            difference = difference.max((found - expected).abs());
            largest = largest.max(expected.abs());
        }
    }
    difference / largest
}

fn assert_close(what: &str, found: &[Option<f64>], expected: &[f64]) {
    let error = error(what, found, expected);
    println!("{what}: {error:.1e}");
    assert!(error <= TOLERANCE, "{what}: {error}");
}

/// One coefficient of a latent.
type Column = fn(&api::Betas) -> Option<f64>;

const VARIANTS: [&str; 2] = ["l1", "batchtopk"];

#[test]
fn delta_norm_agrees() {
    let expected = File::open("expected.safetensors");
    for variant in VARIANTS {
        let weights = File::open(&format!("crosscoder-{variant}/model.safetensors"));
        let (shape, decoder) = weights.floats("decoder.weight");
        let (base, chat) = decoder.split_at(decoder.len() / 2);
        let found: Vec<_> = base
            .chunks_exact(shape[2])
            .zip(chat.chunks_exact(shape[2]))
            .map(|(b, c)| diffing::delta_norm(diffing::norm(b), diffing::norm(c)))
            .collect();
        let name = format!("{variant}.delta_norm");
        assert_close(&name, &found, &expected.numbers(&name).1);
    }
}

#[test]
fn latent_scaling_agrees_and_merges() {
    let expected = File::open("expected.safetensors");
    let (_, x) = expected.floats("activations");
    for variant in VARIANTS {
        let weights = File::open(&format!("crosscoder-{variant}/model.safetensors"));
        let (shape, rows) = weights.floats("decoder.weight");
        let (_, bias) = weights.floats("decoder.bias");
        let (latents, dim) = (shape[1], shape[2]);
        let (base, chat) = rows.split_at(latents * dim);
        let decoder = Decoder::new([base, chat], [&bias[..dim], &bias[dim..]]).unwrap();
        let (_, f) = expected.floats(&format!("{variant}.f"));
        let (_, x_hat) = expected.floats(&format!("{variant}.reconstruction"));
        let mut parts = [ScalingSums::new(latents), ScalingSums::new(latents)];
        let tokens = f
            .chunks_exact(latents)
            .zip(x.chunks_exact(2 * dim).zip(x_hat.chunks_exact(2 * dim)));
        for (t, (f, (x, x_hat))) in tokens.enumerate() {
            let active: Vec<(u32, f32)> = (0u32..)
                .zip(f.iter().copied())
                .filter(|(_, f)| *f != 0.0)
                .collect();
            parts[t % 2]
                .add_token(
                    [&x[..dim], &x[dim..]],
                    [&x_hat[..dim], &x_hat[dim..]],
                    &active,
                    &decoder,
                )
                .unwrap();
        }
        let [mut sums, other] = parts;
        sums.merge(&other).unwrap();
        let betas = sums.betas(&decoder).unwrap();
        let columns: [(&str, Column); 8] = [
            ("activation_base", |b| b.beta_activation_base),
            ("activation_chat", |b| b.beta_activation_chat),
            ("activation_no_bias_base", |b| {
                b.beta_activation_no_bias_base
            }),
            ("activation_no_bias_chat", |b| {
                b.beta_activation_no_bias_chat
            }),
            ("reconstruction_base", |b| b.beta_reconstruction_base),
            ("reconstruction_chat", |b| b.beta_reconstruction_chat),
            ("error_base", |b| b.beta_error_base),
            ("error_chat", |b| b.beta_error_chat),
        ];
        for (column, of) in columns {
            let name = format!("{variant}.beta_{column}");
            let found: Vec<_> = betas.iter().map(of).collect();
            assert_close(&name, &found, &expected.numbers(&name).1);
        }
        assert_eq!(
            betas.last().copied(),
            Some(api::Betas::default()),
            "a dead latent"
        );
    }
}

#[test]
fn divergence_agrees() {
    let expected = File::open("expected.safetensors");
    let (shape, chat) = expected.floats("c1.chat.logits");
    for variant in VARIANTS {
        for edit in [
            "none",
            "all",
            "error",
            "template",
            "first_eighth",
            "steer_latent0",
        ] {
            let name = format!("{variant}.edit.{edit}");
            let (_, edited) = expected.floats(&format!("{name}.logits"));
            let found: Vec<_> = chat
                .chunks_exact(shape[1])
                .zip(edited.chunks_exact(shape[1]))
                .map(|(p, q)| Some(diffing::kl(p, q)))
                .collect();
            let (_, kl) = expected.numbers(&format!("{name}.kl"));
            assert_close(&name, &found, &kl);
        }
    }
}
