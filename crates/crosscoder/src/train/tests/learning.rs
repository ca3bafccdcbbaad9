//! A world with known latents: what training must find.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Kind;
use crate::train::{Settings, Trainer};

const DIM: usize = 24;
/// Planted latents: shared, then base-only, then chat-only.
const SHARED: usize = 12;
const OWN: usize = 3;
const PLANTED: usize = SHARED + 2 * OWN;

struct World {
    rng: ChaCha8Rng,
    /// Directions of every planted latent in both models; zero where the model lacks it.
    rows: Vec<[Vec<f32>; 2]>,
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let rows = (0..PLANTED)
            .map(|j| {
                [0, 1].map(|model| {
                    let lacks = match j {
                        0..SHARED => false,
                        _ => (j < SHARED + OWN) == (model == 1),
                    };
                    let row: Vec<f32> = (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
                    let length = if lacks {
                        f32::INFINITY
                    } else {
                        diffing::norm(&row)
                    };
                    row.iter().map(|x| x / length).collect()
                })
            })
            .collect();
        Self { rng, rows }
    }

    /// Tokens on which two planted latents are active on average.
    fn batch(&mut self, rows: usize) -> Vec<f32> {
        let mut x = vec![0f32; rows * 2 * DIM];
        for token in x.chunks_exact_mut(2 * DIM) {
            for planted in &self.rows {
                if self.rng.random::<f64>() < 2.0 / PLANTED as f64 {
                    let f: f32 = self.rng.random_range(0.5..1.5);
                    for (part, row) in token.chunks_exact_mut(DIM).zip(planted) {
                        part.iter_mut().zip(row).for_each(|(x, d)| *x += f * d);
                    }
                }
            }
        }
        x
    }
}

#[test]
fn planted_latents_of_one_model_are_found() {
    let mut world = World::new();
    let settings = Settings {
        k: 2,
        lr: Some(1e-2),
        warmup_steps: 50,
        steps: 800,
        decay_start: Some(600),
        threshold_start_step: 200,
        threshold_beta: 0.99,
        dead_after_tokens: 20_000,
        norm_init_scale: Some(0.1),
        ..Settings::default()
    };
    let mut trainer = Trainer::new(settings, DIM, 32, None).unwrap();
    for _ in 0..800 {
        trainer.step(&world.batch(256)).unwrap();
    }
    let held_out = world.batch(2000);
    let validation = trainer.validate([held_out.as_slice()]).unwrap();
    assert!(validation.fve_total > 0.9, "{validation:?}");
    assert!((1.0..4.0).contains(&validation.l0), "{validation:?}");
    for (j, planted) in world.rows.iter().enumerate().skip(SHARED) {
        let model = usize::from(j >= SHARED + OWN);
        let found = trainer
            .parameters
            .decoder
            .chunks_exact(2 * DIM)
            .max_by(|a, b| {
                let cosine = |row: &[f32]| {
                    diffing::cosine(&row[model * DIM..(model + 1) * DIM], &planted[model])
                };
                cosine(a).partial_cmp(&cosine(b)).unwrap()
            })
            .unwrap();
        let (base, chat) = found.split_at(DIM);
        let delta = diffing::delta_norm(diffing::norm(base), diffing::norm(chat)).unwrap();
        let own = if model == 1 { delta } else { 1.0 - delta };
        assert!(own > 0.8, "planted latent {j}: {delta}");
    }
}

#[test]
fn the_auxiliary_loss_revives_dead_latents() {
    let run = |auxk_alpha: f64| {
        let mut world = World::new();
        let settings = Settings {
            k: 2,
            auxk_alpha,
            lr: Some(1e-2),
            warmup_steps: 0,
            steps: 300,
            dead_after_tokens: 2_000,
            norm_init_scale: Some(0.1),
            ..Settings::default()
        };
        let mut trainer = Trainer::new(settings, DIM, 64, None).unwrap();
        // Half of the latents can hardly win: their rows are short.
        for row in trainer
            .parameters
            .decoder
            .chunks_exact_mut(2 * DIM)
            .skip(32)
        {
            for x in row {
                *x *= 0.01;
            }
        }
        trainer.weigh();
        let mut last = None;
        let mut auxiliary = 0f64;
        for _ in 0..300 {
            let metrics = trainer.step(&world.batch(256)).unwrap();
            auxiliary = auxiliary.max(metrics.batch_top_k.as_ref().unwrap().auxiliary);
            last = Some(metrics);
        }
        (auxiliary, last.unwrap().dead_share)
    };
    let ((none, without), (some, with)) = (run(0.0), run(1.0 / 4.0));
    assert_eq!(none, 0.0);
    assert!(some > 0.0);
    assert!(with < without, "{with} {without}");
}

#[test]
fn l1_learns_and_its_penalty_makes_codes_sparse() {
    let run = |l1_penalty: f64| {
        let mut world = World::new();
        let settings = Settings {
            kind: Kind::L1,
            l1_penalty,
            lr: Some(1e-2),
            warmup_steps: 50,
            norm_init_scale: Some(0.1),
            ..Settings::default()
        };
        let mut trainer = Trainer::new(settings, DIM, 32, None).unwrap();
        for _ in 0..400 {
            trainer.step(&world.batch(256)).unwrap();
        }
        let held_out = world.batch(2000);
        trainer.validate([held_out.as_slice()]).unwrap()
    };
    let (weak, strong) = (run(0.01), run(0.1));
    assert!(weak.fve_total > 0.9, "{weak:?}");
    assert!(strong.l0 < weak.l0, "{strong:?} {weak:?}");
}
