//! A random crosscoder with a planted part, and errors by the definitions.

use api::Betas;
use diffing::{Decoder, SCALING_TARGETS, ScalingSums, dot};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::common::{normal, orthogonalise};

pub(crate) const DIM: usize = 64;
pub(crate) const LATENTS: usize = 256;
pub(crate) const TARGET: usize = 10;

/// A random crosscoder whose target latent is the same in both decoders and at right angles to all others, and tokens whose base
/// residual holds ten times the target's part beyond what was encoded.
pub(crate) struct Planted {
    rows: [Vec<f32>; 2],
    bias: [Vec<f32>; 2],
    pub(crate) tokens: Vec<PlantedToken>,
}

pub(crate) struct PlantedToken {
    pub(crate) x: [Vec<f32>; 2],
    pub(crate) x_hat: [Vec<f32>; 2],
    pub(crate) active: Vec<(u32, f32)>,
}

impl Planted {
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |n: usize, scale: f64| -> Vec<f32> {
            (0..n).map(|_| (scale * normal(&mut rng)) as f32).collect()
        };
        let encoder = [draw(LATENTS * DIM, 12.5), draw(LATENTS * DIM, 12.5)];
        let mut rows = [draw(LATENTS * DIM, 6.0), draw(LATENTS * DIM, 6.0)];
        let bias = [draw(DIM, 1.0), draw(DIM, 1.0)];
        let target = rows[1][TARGET * DIM..(TARGET + 1) * DIM].to_vec();
        for rows in &mut rows {
            for (j, row) in rows.chunks_exact_mut(DIM).enumerate() {
                if j == TARGET {
                    row.copy_from_slice(&target);
                } else {
                    remove(row, &target);
                }
            }
        }
        let bias = bias.map(|mut bias| {
            remove(&mut bias, &target);
            bias
        });
        let tokens = (0..count)
            .map(|_| {
                let mut x = [draw(DIM, 1.0), draw(DIM, 1.0)];
                remove(&mut x[0], &target);
                let active: Vec<(u32, f32)> = (0..LATENTS)
                    .filter_map(|j| {
                        let pre: f64 = (0..2)
                            .map(|m| dot(&encoder[m][j * DIM..(j + 1) * DIM], &x[m]))
                            .sum();
                        (pre > 0.0).then_some((j as u32, pre as f32))
                    })
                    .collect();
                let x_hat = [0, 1].map(|m| {
                    let mut out: Vec<f64> = bias[m].iter().map(|b| f64::from(*b)).collect();
                    for &(j, f) in &active {
                        let row = &rows[m][j as usize * DIM..(j as usize + 1) * DIM];
                        add(&mut out, f64::from(f), row);
                    }
                    out.into_iter().map(|x| x as f32).collect()
                });
                if let Some(&(_, f)) = active.iter().find(|a| a.0 as usize == TARGET) {
                    let mut base: Vec<f64> = x[0].iter().map(|x| f64::from(*x)).collect();
                    add(&mut base, 10.0 * f64::from(f), &target);
                    x[0] = base.into_iter().map(|x| x as f32).collect();
                }
                PlantedToken { x, x_hat, active }
            })
            .collect();
        Self { rows, bias, tokens }
    }

    pub(crate) fn decoder(&self) -> Decoder<'_> {
        let ([base, chat], [bias_base, bias_chat]) = (&self.rows, &self.bias);
        Decoder::new([base, chat], [bias_base, bias_chat]).unwrap()
    }

    pub(crate) fn sums(&self) -> ScalingSums {
        let mut sums = ScalingSums::new(LATENTS);
        for token in &self.tokens {
            let ([x0, x1], [h0, h1]) = (&token.x, &token.x_hat);
            sums.add_token([x0, x1], [h0, h1], &token.active, &self.decoder())
                .unwrap();
        }
        sums
    }

    pub(crate) fn maxima(&self) -> Vec<f32> {
        let mut maxima = vec![0f32; LATENTS];
        for &(j, f) in self.tokens.iter().flat_map(|token| &token.active) {
            maxima[j as usize] = maxima[j as usize].max(f);
        }
        maxima
    }

    /// Squared errors of one latent before and after, target by model, over the tokens with f in (`from`, `to`], by the definitions.
    pub(crate) fn direct(&self, j: usize, betas: &[[f64; 2]; 4], from: f64, to: f64) -> Direct {
        let decoder = self.decoder();
        let mut all: Vec<Errors> = Vec::new();
        for token in &self.tokens {
            let Some(&(_, f)) = token.active.iter().find(|a| a.0 as usize == j) else {
                continue;
            };
            let f = f64::from(f);
            if f <= from || f > to {
                continue;
            }
            let mut errors = Errors::default();
            for (t, errors) in errors.iter_mut().enumerate() {
                for m in 0..2 {
                    for i in 0..DIM {
                        let at = |row: &[f32]| f64::from(row[i]);
                        let (x, x_hat) = (at(&token.x[m]), at(&token.x_hat[m]));
                        let y = match SCALING_TARGETS[t] {
                            "activation" => x,
                            "activation_no_bias" => x - at(&self.bias[m]),
                            "reconstruction" => x_hat,
                            _ => x - (x_hat - f * at(decoder.row(m, j))),
                        };
                        errors[0][m] += y * y;
                        errors[1][m] += (y - betas[t][m] * f * at(decoder.chat(j))).powi(2);
                    }
                }
            }
            all.push(errors);
        }
        let mut direct = Direct {
            mean: Errors::default(),
            std: Errors::default(),
            count: all.len() as u64,
        };
        for (t, when, m) in (0..16).map(|i| (i / 4, i / 2 % 2, i % 2)) {
            let n = all.len() as f64;
            let values = || all.iter().map(|errors| errors[t][when][m]);
            let mean = values().sum::<f64>() / n;
            let squares: f64 = values().map(|x| (x - mean).powi(2)).sum();
            direct.mean[t][when][m] = mean;
            direct.std[t][when][m] = (squares / (n - 1.0)).sqrt();
        }
        direct
    }
}

/// Target; before, after; model.
pub(crate) type Errors = [[[f64; 2]; 2]; 4];

pub(crate) struct Direct {
    pub(crate) mean: Errors,
    pub(crate) std: Errors,
    pub(crate) count: u64,
}

fn remove(row: &mut [f32], target: &[f32]) {
    let mut exact: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
    orthogonalise(&mut exact, target);
    row.iter_mut().zip(exact).for_each(|(x, e)| *x = e as f32);
}

fn add(out: &mut [f64], c: f64, row: &[f32]) {
    out.iter_mut()
        .zip(row)
        .for_each(|(o, x)| *o += c * f64::from(*x));
}

pub(crate) fn by_target(betas: &Betas) -> [[f64; 2]; 4] {
    [
        [betas.beta_activation_base, betas.beta_activation_chat],
        [
            betas.beta_activation_no_bias_base,
            betas.beta_activation_no_bias_chat,
        ],
        [
            betas.beta_reconstruction_base,
            betas.beta_reconstruction_chat,
        ],
        [betas.beta_error_base, betas.beta_error_chat],
    ]
    .map(|pair| pair.map(Option::unwrap))
}
