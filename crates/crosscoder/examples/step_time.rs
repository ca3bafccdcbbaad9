//! Time of a training step on this machine: `step_time [D] [F] [k] [batch] [l1|batchtopk] [steps]`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement may stop at a fault

use std::time::Instant;

use crosscoder::train::{Settings, Trainer};
use crosscoder::{Kind, Normalizer};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = |i: usize, default: usize| {
        arguments
            .get(i)
            .map_or(default, |a| a.parse().expect("a number"))
    };
    let (dim, latents, k, batch) = (size(0, 128), size(1, 2048), size(2, 20), size(3, 1024));
    let kind = if arguments.get(4).is_some_and(|a| a == "l1") {
        Kind::L1
    } else {
        Kind::BatchTopK
    };
    let settings = Settings {
        kind,
        k,
        lr: Some(3e-3),
        warmup_steps: 20,
        norm_init_scale: Some(0.05),
        l1_penalty: 0.047,
        steps: 1000,
        ..Settings::default()
    };
    // Sparse mixtures of planted directions, so that the trainer has something to find.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let width = 2 * dim;
    let planted: Vec<f32> = (0..latents * width)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    let batches: Vec<Vec<f32>> = (0..8)
        .map(|_| {
            let mut x = vec![0f32; batch * width];
            for row in x.chunks_exact_mut(width) {
                for _ in 0..k.min(20) {
                    let j = rng.random_range(0..latents);
                    let f: f32 = rng.random_range(0.0..1.0);
                    for (x, d) in row.iter_mut().zip(&planted[j * width..]) {
                        *x += f * d;
                    }
                }
            }
            x
        })
        .collect();
    let mut moments = [diffing::Moments::new(dim), diffing::Moments::new(dim)];
    for (i, row) in batches[0].chunks_exact(dim).enumerate() {
        moments[i % 2].add(row).unwrap();
    }
    let normalizer = Normalizer::from_moments([&moments[0], &moments[1]], 1.0).unwrap();
    let mut trainer = Trainer::new(settings, dim, latents, Some(normalizer)).unwrap();
    let steps = size(5, 25);
    for round in 0..4 {
        let (start, busy) = (Instant::now(), processor_seconds());
        let mut last = None;
        for i in 0..steps {
            last = Some(trainer.step(&batches[i % batches.len()]).unwrap());
        }
        let ms = start.elapsed().as_secs_f64() * 1e3 / steps as f64;
        let m = last.unwrap();
        let busy = (processor_seconds() - busy) * 1e3 / steps as f64;
        println!(
            "round {round}: {ms:.1} ms a step, {busy:.0} ms of all processors; L0 {:.1}, FVE {:.3} / {:.3}, dead {:.3}",
            m.l0, m.fve[0], m.fve[1], m.dead_share
        );
    }
}

/// Time that all threads of this process have run, in seconds; 0 where the system does not tell.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| -> f64 {
        fields
            .get(i)
            .and_then(|t| t.parse().ok())
            .unwrap_or_default()
    };
    (ticks(11) + ticks(12)) / 100.0
}
