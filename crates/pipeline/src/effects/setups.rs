//! The interventions: what each does to the residual, and which latents it moves.

use api::{LatentRow, ModelName};
use crosscoder::{Chosen, Edit};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::EffectOptions;
use crate::edited::At;

const BASE: usize = 0;
const CHAT: usize = 1;

/// Sets of the additive form: Δ_norm at least this, or |ν| of the activations at most these.
const LEAST_DELTA_NORM: f64 = 0.7;
const MOST_NU: [f64; 2] = [0.6, 0.3];

/// A model that reads an edited residual. It starts from the model's own lower half, as the lanes of a prompt do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lane {
    /// 0 base, 1 chat.
    pub(super) model: usize,
    pub(super) edits: Vec<(Edit, At)>,
}

/// An intervention, over one lane or several random ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) description: String,
    /// Latents moved, where it names some.
    pub(super) latents: Option<u64>,
    /// Places in [`Plan::lanes`].
    pub(super) lanes: Vec<usize>,
}

/// Every intervention, and the lanes that they need, each once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The unedited base and chat model first.
    pub(super) lanes: Vec<Lane>,
    pub(super) setups: Vec<Setup>,
    /// Latents from which halves and random sets are drawn.
    pub(super) candidates: usize,
    /// Which interventions were left out, and why.
    pub(super) left_out: Vec<String>,
}

impl Plan {
    /// The interventions that these latents allow.
    pub(super) fn new(rows: &[LatentRow], options: &EffectOptions) -> Self {
        let mut plan = Self {
            lanes: ModelName::BOTH.map(Lane::plain).into(),
            setups: Vec::new(),
            candidates: 0,
            left_out: Vec::new(),
        };
        plan.whole();
        plan.sets(rows, options);
        plan.others();
        plan
    }

    /// The interventions that move nothing or everything.
    fn whole(&mut self) {
        self.add(
            "none",
            "the base model's residual, read by the chat model",
            None,
            [from_base([])],
        );
        self.add(
            "all",
            "the base model's residual with every latent moved from base to chat",
            None,
            [from_base([moved(Chosen::All, 1.0)])],
        );
        self.add(
            "error",
            "the chat model's residual with every latent moved from chat to base: what the dictionary does not explain is chat's",
            None,
            [Lane {
                model: CHAT,
                edits: vec![(moved(Chosen::All, -1.0), At::Everywhere)],
            }],
        );
        self.add(
            "template",
            "the base model's residual, the chat model's at template tokens",
            None,
            [Lane {
                model: CHAT,
                edits: vec![take(BASE, At::Everywhere), take(CHAT, At::Template)],
            }],
        );
    }

    /// The interventions that move a set of latents.
    fn sets(&mut self, rows: &[LatentRow], options: &EffectOptions) {
        let chat = diffing::chat_latents(rows, options.effective);
        let whose = match options.effective {
            None => "chat-only latents".to_string(),
            Some(_) => format!("{} latents of highest Δ_norm", chat.len()),
        };
        if chat.is_empty() {
            self.left_out.push(
                "no latent is chat-only: left out every set of latents; give --effective N to take the N latents of highest Δ_norm"
                    .into(),
            );
            return;
        }
        self.add_sets("chat_only", &format!("all {whose} moved"), [chat.clone()]);
        let candidates = diffing::rankable(rows, &chat);
        self.candidates = candidates.len();
        let half = candidates.len() / 2;
        if half == 0 {
            self.left_out.push(format!(
                "{} of the {whose} live and have reliable ratios of Latent Scaling: left out halves and random sets; run the steps scaling \
                 and statistics, or give --effective N to take the N latents of highest Δ_norm",
                candidates.len()
            ));
            return;
        }
        let [delta_best, delta_worst] = diffing::halves_by_delta_norm(rows, &candidates);
        let [scaling_best, scaling_worst] = diffing::halves_by_scaling(rows, &candidates);
        let halves = [
            (
                "delta_norm_best",
                "the half of highest Δ_norm moved",
                delta_best,
            ),
            (
                "delta_norm_worst",
                "the half of lowest Δ_norm moved",
                delta_worst,
            ),
            (
                "scaling_best",
                "the half that Latent Scaling ranks most chat-specific moved",
                scaling_best,
            ),
            (
                "scaling_worst",
                "the half that Latent Scaling ranks least chat-specific moved",
                scaling_worst,
            ),
        ];
        for (name, description, set) in &halves {
            self.add_sets(name, description, [set.clone()]);
        }
        let live: Vec<u32> = rows
            .iter()
            .filter(|row| row.dead != Some(true))
            .map(|row| row.id)
            .collect();
        let random = |pool: &[u32]| -> Vec<Vec<u32>> {
            (0..options.seeds)
                .map(|seed| draw(pool, half, seed))
                .collect()
        };
        self.add_sets(
            "random_chat_only",
            &format!("as many moved as a half has, drawn from the same {whose}"),
            random(&candidates),
        );
        self.add_sets(
            "random_any",
            "as many moved as a half has, drawn from every live latent",
            random(&live),
        );
        if options.additive {
            self.additive(rows, &candidates, &halves);
        }
    }

    /// The additive form: the chat decoder's part is added, the base decoder's stays.
    fn additive(
        &mut self,
        rows: &[LatentRow],
        candidates: &[u32],
        halves: &[(&str, &str, Vec<u32>)],
    ) {
        for (name, description, set) in halves {
            let description = description.replace("moved", "added with the chat decoder");
            self.add_form(&format!("{name}_additive"), &description, set);
        }
        let of = |keep: &dyn Fn(&LatentRow) -> bool| -> Vec<u32> {
            rows.iter()
                .filter(|row| candidates.binary_search(&row.id).is_ok() && keep(row))
                .map(|row| row.id)
                .collect()
        };
        let high = of(&|row| {
            row.delta_norm
                .is_some_and(|delta| delta >= LEAST_DELTA_NORM)
        });
        self.add_form(
            &format!("delta_norm_from_{LEAST_DELTA_NORM}_additive"),
            &format!(
                "the latents with Δ_norm of at least {LEAST_DELTA_NORM} added with the chat decoder"
            ),
            &high,
        );
        for most in MOST_NU {
            let low = of(&|row| {
                let betas = &row.betas;
                diffing::nu(betas.beta_activation_base, betas.beta_activation_chat)
                    .is_some_and(|nu| nu.abs() <= most)
            });
            self.add_form(
                &format!("nu_to_{most}_additive"),
                &format!("the latents whose ν of the activations is at most {most} in size added with the chat decoder"),
                &low,
            );
        }
    }

    /// The unedited models and what the base model's upper half makes of the chat model's residual.
    fn others(&mut self) {
        let [base, chat] = ModelName::BOTH.map(Lane::plain);
        self.add("base", "the base model itself", None, [base]);
        self.add("chat", "the chat model itself", None, [chat]);
        self.add(
            "chat_to_base",
            "the chat model's residual, read by the base model",
            None,
            [Lane {
                model: BASE,
                edits: vec![take(CHAT, At::Everywhere)],
            }],
        );
        self.add(
            "template_base",
            "the base model's residual, the chat model's at template tokens, read by the base model",
            None,
            [Lane {
                model: BASE,
                edits: vec![take(CHAT, At::Template)],
            }],
        );
    }

    fn add_form(&mut self, name: &str, description: &str, set: &[u32]) {
        if set.is_empty() {
            self.left_out
                .push(format!("left out {name}: no latent is in the set"));
            return;
        }
        let edit = Edit::Scale {
            latents: set.to_vec(),
            factor: 2.0,
            decoder: CHAT,
        };
        let lane = from_base([edit]);
        self.add(name, description, Some(set.len() as u64), [lane]);
    }

    /// Sets of equal size, each moved from base to chat.
    fn add_sets(
        &mut self,
        name: &str,
        description: &str,
        sets: impl IntoIterator<Item = Vec<u32>>,
    ) {
        let sets: Vec<Vec<u32>> = sets.into_iter().collect();
        let Some(size) = sets.first().map(|set| set.len() as u64) else {
            return;
        };
        let lanes = sets.into_iter().map(|set| {
            let edit = (!set.is_empty()).then(|| moved(Chosen::Ids(set), 1.0));
            from_base(edit)
        });
        self.add(name, description, Some(size), lanes);
    }

    fn add(
        &mut self,
        name: &str,
        description: &str,
        latents: Option<u64>,
        lanes: impl IntoIterator<Item = Lane>,
    ) {
        let places = lanes
            .into_iter()
            .map(|lane| {
                let known = self.lanes.iter().position(|other| *other == lane);
                known.unwrap_or_else(|| {
                    self.lanes.push(lane);
                    self.lanes.len() - 1
                })
            })
            .collect();
        self.setups.push(Setup {
            name: name.into(),
            description: description.into(),
            latents,
            lanes: places,
        });
    }
}

impl Lane {
    /// A model as it is.
    fn plain(model: ModelName) -> Self {
        Self {
            model: model.index(),
            edits: Vec::new(),
        }
    }
}

/// The base model's residual, edited, read by the chat model.
fn from_base(edits: impl IntoIterator<Item = Edit>) -> Lane {
    let edits = edits.into_iter().map(|edit| (edit, At::Everywhere));
    Lane {
        model: CHAT,
        edits: std::iter::once(take(BASE, At::Everywhere))
            .chain(edits)
            .collect(),
    }
}

fn take(from: usize, at: At) -> (Edit, At) {
    (Edit::Take { from }, at)
}

/// Latents moved from base to chat; with scale −1 from chat to base.
fn moved(latents: Chosen, scale: f32) -> Edit {
    Edit::Move {
        latents,
        to: CHAT,
        scale,
    }
}

/// `count` latents of a pool, at random, by rising id.
fn draw(pool: &[u32], count: usize, seed: u64) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut pool = pool.to_vec();
    let (drawn, _) = pool.partial_shuffle(&mut random, count);
    let mut drawn = drawn.to_vec();
    drawn.sort_unstable();
    drawn
}
