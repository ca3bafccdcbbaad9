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

/// 1 where a token keeps a latent.
fn mask(entries: &Entries) -> Result<Tensor> {
    let mut mask = vec![0f32; ROWS * LATENTS];
    for row in 0..ROWS {
        for (j, _) in entries.row(row) {
            mask[row * LATENTS + j] = 1.0;
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
        CodeNormalization::Crosscoder => Ok(cc),
        CodeNormalization::Sae => Ok(sae),
        CodeNormalization::Mixed {
            alpha_sae,
            alpha_cc,
        } => (sae * alpha_sae)? + (cc * alpha_cc)?,
        _ => cc.ones_like(),
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
    let f = (&relu * mask(&trainer.work.entries)?)?;
    let x_hat = f.matmul(&decoder)?.broadcast_add(&decoder_bias)?;
    let e = (&x - x_hat)?;
    let squares = e.reshape((ROWS, 2, DIM))?.sqr()?.sum(2)?;
    let mut loss = if s.kind == Kind::L1 && s.use_mse_loss {
        squares.mean_all()?
    } else {
        squares.sqrt()?.mean_all()?
    };
    if s.kind == Kind::L1 {
        let w = weights(&decoder, s.code_normalization)?;
        let v = f.broadcast_mul(&w.reshape((1, LATENTS))?)?;
        loss = (loss + (v.sum_all()? * (s.l1_penalty / ROWS as f64))?)?;
    } else if trainer.work.auxiliary.entries.len() > 0 {
        let r = e.detach();
        let z = (relu * mask(&trainer.work.auxiliary.entries)?)?;
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
            let silent = !name.contains("bias") && !trainer.work.by_latent.touches(i / width);
            let f = if silent { 0.0 } else { f64::from(*f) };
            let difference = (f - e).abs();
            assert!(difference < 1e-4 * largest, "{name}[{i}]: {f} is not {e}");
            squares += e * e;
        }
    }
    assert!((evaluation.gradient_norm - squares.sqrt()).abs() < 1e-4 * squares.sqrt());
    trainer
}

#[test]
fn batch_top_k() {
    for code_normalization in [
        CodeNormalization::Crosscoder,
        CodeNormalization::Sae,
        MIXED,
        CodeNormalization::None,
    ] {
        let trainer = check(scattered(Settings {
            k: 4,
            code_normalization,
            decoder_bias: BiasStart::Zero,
            ..Settings::default()
        }));
        assert_eq!(trainer.work.entries.len(), 4 * ROWS);
    }
}

#[test]
fn the_auxiliary_loss_of_dead_latents() {
    let mut trainer = scattered(Settings {
        k: 3,
        auxk_alpha: 0.5,
        top_k_aux: Some(2),
        dead_after_tokens: 1000,
        decoder_bias: BiasStart::Zero,
        ..Settings::default()
    });
    // Short decoder rows: they are never among the largest, but have positive codes.
    for j in [2usize, 3, 11, 17, 20] {
        for x in &mut trainer.parameters.decoder[j * 2 * DIM..(j + 1) * 2 * DIM] {
            *x *= 0.01;
        }
        trainer.since_fired[j] = 1000;
    }
    trainer.weigh();
    let trainer = check(trainer);
    let chosen = &trainer.work.auxiliary.entries;
    assert!(chosen.len() > ROWS && chosen.len() <= 2 * ROWS);
    assert!(
        chosen
            .latents
            .iter()
            .all(|j| [2, 3, 11, 17, 20].contains(j))
    );
}

#[test]
fn l1() {
    for code_normalization in [
        CodeNormalization::Crosscoder,
        CodeNormalization::Sae,
        MIXED,
        CodeNormalization::None,
    ] {
        for use_mse_loss in [false, true] {
            check(scattered(Settings {
                kind: Kind::L1,
                l1_penalty: 0.05,
                use_mse_loss,
                code_normalization,
                ..Settings::default()
            }));
        }
    }
}
