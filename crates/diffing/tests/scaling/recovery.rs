//! Planted coefficients come back, in f64, at the sizes of the authors' test.

use diffing::{Decoder, Products, ScalingSums, Squares, dot};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::common::{close, code, dot64, noise, normal, orthogonalise};

/// Sizes of the authors' test: width, latents, tokens, tokens of a batch.
const SIZES: [[usize; 4]; 5] = [
    [10, 2, 100, 25],
    [100, 2, 1000, 50],
    [100, 10, 1000, 50],
    [1000, 128, 10_000, 100],
    [1000, 128, 10_000, 200],
];

/// Directions of the given supports, with a length drawn from N(0, 1); one row of `dim` each, exact in f32.
fn directions(rng: &mut ChaCha8Rng, supports: &[Vec<usize>], dim: usize) -> Vec<f32> {
    supports
        .iter()
        .flat_map(|support| {
            let mut row = vec![0f64; dim];
            for &i in support {
                row[i] = normal(rng);
            }
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt() / normal(rng);
            row.into_iter().map(move |x| (x / length) as f32)
        })
        .collect()
}

fn with_target(sums: &mut ScalingSums, j: usize, f: f32, d: &[f32], y: &[f64]) {
    let products = Products {
        activation: [dot64(d, y), 0.0],
        ..Products::default()
    };
    sums.add_products(j as u32, f64::from(f), &products, &Squares::default());
}

fn recovered(sums: &ScalingSums, rows: &[f32], truth: &[f64], what: &str) {
    let zero = vec![0f32; rows.len() / truth.len()];
    let decoder = Decoder::new([rows, rows], [&zero, &zero]).unwrap();
    for (betas, truth) in sums.betas(&decoder).unwrap().iter().zip(truth) {
        let found = betas.beta_activation_base.unwrap();
        close(found, *truth, 1e-8 + 1e-5 * truth.abs(), what);
    }
}

#[test]
fn t1_planted_coefficients_are_recovered_from_common_data() {
    for [dim, latents, tokens, batch] in SIZES {
        let mut rng = ChaCha8Rng::seed_from_u64(batch as u64);
        // Supports without a common coordinate make the directions orthogonal, in f32 as well.
        let mut coordinates: Vec<usize> = (0..dim).collect();
        coordinates.shuffle(&mut rng);
        let supports: Vec<Vec<usize>> = (0..latents)
            .map(|j| {
                coordinates
                    .iter()
                    .skip(j)
                    .step_by(latents)
                    .copied()
                    .collect()
            })
            .collect();
        let rows = directions(&mut rng, &supports, dim);
        let row = |j: usize| &rows[j * dim..(j + 1) * dim];
        let truth: Vec<f64> = (0..latents).map(|_| 5.0 * normal(&mut rng)).collect();
        let mut sums = ScalingSums::new(latents);
        for _ in 0..tokens / batch {
            let mut part = ScalingSums::new(latents);
            for _ in 0..batch {
                let mut y = noise(&mut rng, dim);
                for (j, support) in supports.iter().enumerate() {
                    let d = row(j);
                    let along =
                        support.iter().map(|&i| f64::from(d[i]) * y[i]).sum::<f64>() / dot(d, d);
                    for &i in support {
                        y[i] -= along * f64::from(d[i]);
                    }
                }
                let codes: Vec<_> = (0..latents)
                    .filter_map(|j| Some((j, code(&mut rng)?)))
                    .collect();
                for &(j, f) in &codes {
                    let scale = truth[j] * f64::from(f);
                    y.iter_mut()
                        .zip(row(j))
                        .for_each(|(y, d)| *y += scale * f64::from(*d));
                }
                for (j, f) in codes {
                    with_target(&mut part, j, f, row(j), &y);
                }
            }
            sums.merge(&part).unwrap();
        }
        recovered(&sums, &rows, &truth, &format!("{dim} {latents} {batch}"));
    }
}

#[test]
fn t1_planted_coefficients_are_recovered_from_data_of_each_latent() {
    for [dim, latents, tokens, batch] in SIZES {
        let mut rng = ChaCha8Rng::seed_from_u64(100 + batch as u64);
        let supports = vec![(0..dim).collect::<Vec<_>>(); latents];
        let rows = directions(&mut rng, &supports, dim);
        let truth: Vec<f64> = (0..latents).map(|_| 5.0 * normal(&mut rng)).collect();
        let mut sums = ScalingSums::new(latents);
        for _ in 0..tokens / batch {
            let mut part = ScalingSums::new(latents);
            for j in (0..latents).flat_map(|j| std::iter::repeat_n(j, batch)) {
                // Tokens on which a latent is silent do not count.
                let Some(f) = code(&mut rng) else { continue };
                let d = &rows[j * dim..(j + 1) * dim];
                let mut y = noise(&mut rng, dim);
                orthogonalise(&mut y, d);
                let scale = truth[j] * f64::from(f);
                y.iter_mut()
                    .zip(d)
                    .for_each(|(y, d)| *y += scale * f64::from(*d));
                with_target(&mut part, j, f, d, &y);
            }
            sums.merge(&part).unwrap();
        }
        recovered(&sums, &rows, &truth, &format!("{dim} {latents} {batch}"));
    }
}
