//! Every gradient against candle's automatic differentiation in f64, with the same selection.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{batch, small};
use crate::train::entries::Entries;
use crate::train::{BiasStart, Settings, Trainer};
use crate::{CodeNormalization, Kind};

const ROWS: usize = 70;
const DIM: usize = 6;
const LATENTS: usize = 24;
const MIXED: CodeNormalization = CodeNormalization::Mixed {
    alpha_sae: 0.7,
    alpha_cc: 0.4,
};

/// A trainer whose decoder is not the encoder's transpose and whose biases are not zero.
fn scattered(settings: Settings) -> Trainer {
    let mut trainer = small(settings);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (_, values) in trainer.parameters.named_mut() {
        for x in values {
            *x += rng.random_range(-0.3..0.3);
        }
    }
    trainer.weigh();
    trainer
}

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(DType::F64)
}

/// 1 where a token keeps a latent in a model.
fn mask(entries: &Entries, model: usize) -> Result<Tensor> {
    let mut mask = vec![0f32; ROWS * LATENTS];
    for row in 0..ROWS {
        for code in entries.row(row).filter(|code| code.models.has(model)) {
            mask[row * LATENTS + code.latent as usize] = 1.0;
        }
    }
    tensor(&mask, &[ROWS, LATENTS])
}

/// ‖d‖ of a model's half of the decoder rows.
fn norms(decoder: &Tensor, model: usize) -> Result<Tensor> {
    decoder.narrow(1, model * DIM, DIM)?.sqr()?.sum(1)?.sqrt()
}

fn weights(decoder: &Tensor, normalization: CodeNormalization) -> Result<Tensor> {
    let (base, chat) = (norms(decoder, 0)?, norms(decoder, 1)?);
    let cc = (&base + &chat)?;
    let sae = (base.sqr()? + chat.sqr()?)?.sqrt()?;
    match normalization {
        // L1 has one code for both models, so DECOUPLED is CROSSCODER.
        CodeNormalization::Crosscoder | CodeNormalization::Decoupled => Ok(cc),
        CodeNormalization::Sae => Ok(sae),
        CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } => (sae * alpha_sae)? + (cc * alpha_cc)?,
        CodeNormalization::None => cc.ones_like(),
    }
}

/// Loss and gradients by automatic differentiation, with the trainer's selection, which has no gradient.
fn differentiated(trainer: &Trainer, x: &[f32]) -> Result<(f64, Vec<Vec<f64>>)> {
    let s = &trainer.settings;
    let p = &trainer.parameters;
    let encoder = Var::from_tensor(&tensor(&p.encoder, &[LATENTS, 2 * DIM])?)?;
    let encoder_bias = Var::from_tensor(&tensor(&p.encoder_bias, &[1, LATENTS])?)?;
    let decoder = Var::from_tensor(&tensor(&p.decoder, &[LATENTS, 2 * DIM])?)?;
    let decoder_bias = Var::from_tensor(&tensor(&p.decoder_bias, &[1, 2 * DIM])?)?;
    let x = tensor(x, &[ROWS, 2 * DIM])?;
    let relu = x
        .matmul(&encoder.t()?)?
        .broadcast_add(&encoder_bias)?
        .relu()?;
    let mut f = [relu.clone(), relu.clone()];
    if !trainer.work.dense {
        for (model, f) in f.iter_mut().enumerate() {
            *f = (&relu * mask(&trainer.work.entries, model)?)?;
        }
    }
    let parts = [0, 1].map(|model| f[model].matmul(&decoder.narrow(1, model * DIM, DIM)?));
    let [base, chat] = parts;
    let x_hat = Tensor::cat(&[base?, chat?], 1)?.broadcast_add(&decoder_bias)?;
    let e = (&x - x_hat)?;
    let squares = e.reshape((ROWS, 2, DIM))?.sqr()?.sum(2)?;
    let mut loss = if s.use_mse_loss {
        squares.mean_all()?
    } else {
        squares.sqrt()?.mean_all()?
    };
    if s.kind == Kind::L1 {
        let w = weights(&decoder, s.code_normalization)?;
        let v = f[0].broadcast_mul(&w.reshape((1, LATENTS))?)?;
        loss = (loss + (v.sum_all()? * (s.l1_penalty / ROWS as f64))?)?;
    } else if trainer.work.auxiliary.entries.len() > 0 {
        let r = e.detach();
        let z = (relu * mask(&trainer.work.auxiliary.entries, 0)?)?;
        let left = (&r - z.matmul(&decoder)?)?.sqr()?.sum(1)?.mean_all()?;
        let spread = r.broadcast_sub(&r.mean_keepdim(0)?)?;
        let spread = spread.sqr()?.sum(1)?.mean_all()?;
        loss = (loss + (left / spread)?.affine(s.auxk_alpha, 0.0)?)?;
    }
    let store = loss.backward()?;
    let gradients = [&encoder, &encoder_bias, &decoder, &decoder_bias]
        .iter()
        .map(|v| match store.get(v) {
            Some(g) => g.flatten_all()?.to_vec1::<f64>(),
            None => Ok(vec![0.0; v.elem_count()]),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((loss.to_scalar::<f64>()?, gradients))
}

/// Evaluates a batch and compares loss, norm and every gradient.
fn check(mut trainer: Trainer) -> Trainer {
    let x = batch(ROWS, DIM, 3);
    let evaluation = trainer.evaluate(&x).unwrap();
    let (loss, expected) = differentiated(&trainer, &x).unwrap();
    let found = trainer.work.gradients.named();
    assert!((evaluation.loss - loss).abs() < 1e-5 * loss, "{loss}");
    let mut squares = 0.0;
    for ((name, found), expected) in found.into_iter().zip(&expected) {
        let largest = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
        assert!(largest > 1e-4, "{name} has no gradient");
        assert_eq!(found.len(), expected.len(), "{name}");
        let width = if name.contains("bias") { 1 } else { 2 * DIM };
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            // Rows of latents without codes are not filled in: they count as 0.
            let silent = !name.contains("bias") && !trainer.work.touches(i / width);
            let f = if silent { 0.0 } else { f64::from(*f) };
            let difference = (f - e).abs();
            assert!(difference < 1e-4 * largest, "{name}[{i}]: {f} is not {e}");
            squares += e * e;
        }
    }
    assert!((evaluation.gradient_norm - squares.sqrt()).abs() < 1e-4 * squares.sqrt());
    trainer
}

const NORMALIZATIONS: [CodeNormalization; 5] = [
    CodeNormalization::Crosscoder,
    CodeNormalization::Sae,
    MIXED,
    CodeNormalization::None,
    CodeNormalization::Decoupled,
];

#[test]
fn batch_top_k() {
    for code_normalization in NORMALIZATIONS {
        for use_mse_loss in [false, true] {
            let trainer = check(scattered(Settings {
                k: 4,
                code_normalization,
                use_mse_loss,
                decoder_bias: BiasStart::Zero,
                ..Settings::default()
            }));
            let entries = &trainer.work.entries;
            assert_eq!([0, 1].map(|m| entries.count(m)), [4 * ROWS; 2]);
            let decoupled = code_normalization == CodeNormalization::Decoupled;
            assert_eq!(entries.len() > 4 * ROWS, decoupled, "models differ");
        }
    }
}

#[test]
fn the_auxiliary_loss_of_dead_latents() {
    for code_normalization in NORMALIZATIONS {
        let mut trainer = scattered(Settings {
            k: 3,
            code_normalization,
            auxk_alpha: 0.5,
            top_k_aux: Some(2),
            dead_after_tokens: 1000,
            decoder_bias: BiasStart::Zero,
            ..Settings::default()
        });
        // Short decoder rows, or small codes where rows do not count: they are never among the largest, but have positive codes.
        let none = code_normalization == CodeNormalization::None;
        let dead = [2usize, 3, 11, 17, 20];
        for j in dead {
            let p = &mut trainer.parameters;
            let rows = if none { &mut p.encoder } else { &mut p.decoder };
            for x in &mut rows[j * 2 * DIM..(j + 1) * 2 * DIM] {
                *x *= 0.01;
            }
            if none {
                p.encoder_bias[j] = 0.001;
            }
            trainer.since_fired[j] = 1000;
        }
        trainer.weigh();
        let trainer = check(trainer);
        let chosen = &trainer.work.auxiliary.entries;
        assert!(chosen.len() > ROWS && chosen.len() <= 2 * ROWS);
        let is_dead = |j: &u32| dead.contains(&(*j as usize));
        assert!(chosen.latents.iter().all(is_dead));
    }
}

#[test]
fn l1() {
    for code_normalization in NORMALIZATIONS {
        for (use_mse_loss, few) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut trainer = scattered(Settings {
                kind: Kind::L1,
                l1_penalty: 0.05,
                use_mse_loss,
                code_normalization,
                ..Settings::default()
            });
            if few {
                // Only some latents can be positive, so the codes are read as lists.
                for bias in trainer.parameters.encoder_bias.iter_mut().skip(3) {
                    *bias = -100.0;
                }
            }
            assert_eq!(check(trainer).work.dense, !few);
        }
    }
}
