//! The planted toy of the paper's argument: a feature of both models that is weaker in base looks chat-only to L1, and Latent Scaling
//! tells; BatchTopK has no such artefact.

use candle_core::{Device, Tensor};
use diffing::{ScalingSums, delta_norm, norm, nu};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::train::{Origin, Settings, Trainer};
use crate::{Crosscoder, Kind};

const DIM: usize = 24;
/// Planted features: equal in both models, in base only, in chat only, and in both but weaker in base.
const SHARED: usize = 8;
const OWN: usize = 3;
const WEAKER: usize = 3;
const PLANTED: usize = SHARED + 2 * OWN + WEAKER;
/// Length in base of the features that are weaker there, of 1 in chat.
const RATIO: f32 = 0.3;
/// Mean number of features per token.
const ACTIVE: f64 = 3.0;
/// Standard deviation of each number's noise.
const NOISE: f32 = 0.15;
const LATENTS: usize = 24;
const STEPS: u64 = 1500;

struct World {
    rng: ChaCha8Rng,
    /// Unit directions, and the features' lengths in base and chat.
    features: Vec<(Vec<f32>, [f32; 2])>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let features = (0..PLANTED).map(|j| {
            let row: Vec<f32> = (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
            let length = norm(&row);
            let direction = row.iter().map(|x| x / length).collect();
            let lengths = match j {
                _ if j < SHARED => [1.0, 1.0],
                _ if j < SHARED + OWN => [1.0, 0.0],
                _ if j < SHARED + 2 * OWN => [0.0, 1.0],
                _ => [RATIO, 1.0],
            };
            (direction, lengths)
        });
        let features = features.collect();
        Self { rng, features }
    }

    fn batch(&mut self, rows: usize) -> Vec<f32> {
        let rng = &mut self.rng;
        let mut noise = || (0..4).map(|_| rng.random_range(-1.0..1.0)).sum::<f32>();
        // Four uniform numbers have variance 4/3.
        let scale = NOISE * 0.75f32.sqrt();
        let mut x: Vec<f32> = (0..rows * 2 * DIM).map(|_| scale * noise()).collect();
        for token in x.chunks_exact_mut(2 * DIM) {
            for (direction, lengths) in &self.features {
                if rng.random::<f64>() < ACTIVE / PLANTED as f64 {
                    let f: f32 = rng.random_range(0.8..1.6);
                    for (part, length) in token.chunks_exact_mut(DIM).zip(lengths) {
                        let row = part.iter_mut().zip(direction);
                        row.for_each(|(x, d)| *x += f * length * d);
                    }
                }
            }
        }
        x
    }
}

/// What was learnt of a planted feature.
#[derive(Debug)]
struct Found {
    cosine: f64,
    delta: f64,
    nu_epsilon: Option<f64>,
}

/// Trains on the world and gives what became of the chat-only features and of those that are weaker in base; L0 too.
fn train(seed: u64, kind: Kind) -> (Vec<Found>, Vec<Found>, f64) {
    let mut world = World::new(seed);
    let settings = Settings {
        kind,
        k: 3,
        l1_penalty: 0.22,
        lr: Some(3e-3),
        warmup_steps: 100,
        steps: STEPS,
        decay_start: Some(STEPS * 3 / 4),
        threshold_start_step: STEPS / 2,
        threshold_beta: 0.99,
        dead_after_tokens: 50_000,
        norm_init_scale: Some(0.1),
        seed,
        ..Settings::default()
    };
    let mut trainer = Trainer::new(settings, DIM, LATENTS, None).unwrap();
    for _ in 0..STEPS {
        trainer.step(&world.batch(256)).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    trainer.save(dir.path(), &Origin::default()).unwrap();
    let crosscoder = Crosscoder::load(dir.path(), &Device::Cpu).unwrap();
    let decoder = crosscoder.decoder().unwrap();
    let x = world.batch(4000);
    let rows = Tensor::from_slice(&x, (4000, 2, DIM), &Device::Cpu).unwrap();
    let codes = crosscoder.codes(&rows).unwrap();
    let x_hat = crosscoder.reconstruct_normalized(&codes);
    let mut sums = ScalingSums::new(LATENTS);
    for (t, (x, x_hat)) in x
        .chunks_exact(2 * DIM)
        .zip(x_hat.chunks_exact(2 * DIM))
        .enumerate()
    {
        let active: Vec<(u32, f32)> = codes.token(t).iter().map(|a| (a.id, a.f[1])).collect();
        sums.add_token(
            x.split_at(DIM).into(),
            x_hat.split_at(DIM).into(),
            &active,
            &decoder,
        )
        .unwrap();
    }
    let betas = sums.betas(&decoder).unwrap();
    let find = |feature: usize| {
        let (direction, _) = &world.features[feature];
        let cosine = |j: usize| diffing::cosine(decoder.chat(j), direction).unwrap_or(-1.0);
        let j = (0..LATENTS)
            .max_by(|&a, &b| cosine(a).total_cmp(&cosine(b)))
            .unwrap();
        let delta = delta_norm(norm(decoder.base(j)), norm(decoder.chat(j)));
        Found {
            cosine: cosine(j),
            delta: delta.unwrap(),
            nu_epsilon: nu(betas[j].beta_error_base, betas[j].beta_error_chat),
        }
    };
    let own = SHARED + OWN..SHARED + 2 * OWN;
    let weaker = SHARED + 2 * OWN..PLANTED;
    let l0 = codes.all().len() as f64 / 4000.0;
    (own.map(find).collect(), weaker.map(find).collect(), l0)
}

/// Δ_norm from which a latent counts as chat-only, and ν^ε from which its direction is in base's error after all.
const CHAT_ONLY: f64 = 0.9;
const IN_BASE: f64 = 0.2;

// Seeds 0 to 5 were tried: under L1 ν^ε was 0.23 to 0.30 for the features weaker in base and at most 0.09 for those of chat, at L0 2.9
// to 3.1; under BatchTopK Δ_norm was 0.85 to 0.86 and at least 0.98.
#[test]
fn e10_l1_invents_chat_only_latents_that_scaling_flags_and_batch_top_k_does_not() {
    for seed in 0..3 {
        let (own, weaker, l0) = train(seed, Kind::L1);
        for found in own.iter().chain(&weaker) {
            assert!(found.cosine > 0.95, "{seed}: {found:?}");
            assert!(found.delta >= CHAT_ONLY, "{seed}: {found:?}");
        }
        assert!(
            own.iter().all(|f| f.nu_epsilon.unwrap() < IN_BASE),
            "{seed}: {own:?}"
        );
        assert!(
            weaker.iter().all(|f| f.nu_epsilon.unwrap() > IN_BASE),
            "{seed}: {weaker:?}"
        );

        let (own, weaker, same_l0) = train(seed, Kind::BatchTopK);
        assert!((l0 - same_l0).abs() < 0.5, "{seed}: {l0} and {same_l0}");
        for found in own.iter().chain(&weaker) {
            assert!(found.cosine > 0.95, "{seed}: {found:?}");
        }
        assert!(own.iter().all(|f| f.delta >= CHAT_ONLY), "{seed}: {own:?}");
        assert!(
            weaker.iter().all(|f| f.delta < CHAT_ONLY),
            "{seed}: {weaker:?}"
        );
        assert!(
            own.iter().all(|f| f.nu_epsilon.unwrap() < IN_BASE),
            "{seed}: {own:?}"
        );
    }
}
