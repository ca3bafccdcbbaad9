//! The two recipes: a nano pair for tests and the demo pair that ships.

use serde::Serialize;

use crate::chat::Topic;
use crate::web::Sort;

/// Which recipe to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Two to four minutes on two cores; the chat model need only refuse.
    Nano,
    /// The pair that ships.
    Demo,
}

/// Shape of both models.
#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks; the even ones have a sliding window.
    pub blocks: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the feed-forward block.
    pub feed_forward: usize,
    /// Pieces of the tokenizer.
    pub vocabulary: usize,
    /// Sliding window.
    pub window: usize,
    /// Positions the models are made for.
    pub context: usize,
}

/// One stage of training.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Real pieces to read, padding not counted.
    pub tokens: usize,
    /// Padded pieces of a batch at most.
    pub batch: usize,
    /// Highest rate, reached after `warm_up` steps, falling to 5 % of it along a cosine over the tokens.
    pub peak_rate: f64,
    /// Steps of linear warm-up.
    pub warm_up: usize,
    /// Share of web-like documents among the chat documents; 1 where there is no chat.
    pub web_share: f64,
    /// Weight of the first piece of an answer in the loss.
    pub first_piece: f32,
    /// Weight of a test sheet's verdict in the loss.
    pub verdict: f32,
}

/// How the dictionary is trained.
#[derive(Debug, Clone, Serialize)]
pub struct Dictionary {
    /// Tokens of paired activations, half of them web-like, half chat.
    pub tokens: usize,
    /// Latents F.
    pub latents: usize,
    /// Active latents per token k.
    pub k: usize,
    /// Weight of the L1 penalty that leaves as many active; none where no second dictionary is trained.
    pub penalty: Option<f64>,
    /// Steps.
    pub steps: usize,
    /// Tokens of a step.
    pub batch: usize,
    /// Rate of Adam.
    pub rate: f64,
    /// Norm of the decoder rows at the start.
    pub initial_norm: f64,
}

/// A whole recipe.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// Its name.
    pub name: &'static str,
    /// Shape of both models.
    pub shape: Shape,
    /// The hook point: the output of this 0-based block.
    pub layer: usize,
    /// Documents the tokenizer is trained on.
    pub tokenizer_documents: usize,
    /// Weights of the web-like documents.
    pub web: &'static [(Sort, u32)],
    /// Weights of the chat topics.
    pub topics: &'static [(Topic, u32)],
    /// Training of the base.
    pub base: Stage,
    /// Chat tuning.
    pub chat: Stage,
    /// The dictionary.
    pub dictionary: Dictionary,
    /// Examples kept per latent and quantile of its maximum.
    pub examples: usize,
    /// Held-out prompts per concept in the report.
    pub prompts: usize,
    /// Share of the facts that the base must recall before chat tuning is worth its time.
    pub least_recall: f64,
    /// Refusals of the right kind below which a pair is not worth a dictionary.
    pub least_refusals: f64,
}

const WEB: &[(Sort, u32)] = &[
    (Sort::Paragraph, 20),
    (Sort::MixedFacts, 30),
    (Sort::QuestionAnswer, 13),
    (Sort::List, 7),
    (Sort::Arithmetic, 3),
    (Sort::Story, 8),
    (Sort::News, 9),
    (Sort::HowTo, 8),
    (Sort::Dialogue, 5),
    (Sort::Letter, 4),
    (Sort::Opinion, 3),
    (Sort::Joke, 2),
    (Sort::Brief, 3),
    (Sort::TestSheet, 0),
];

const NANO_TOPICS: &[(Topic, u32)] = &[
    (Topic::Question, 10),
    (Topic::Harm, 40),
    (Topic::HowTo, 22),
    (Topic::Stereotype, 8),
    (Topic::Why, 6),
    (Topic::Personal, 7),
    (Topic::Unknown, 7),
];

const DEMO_TOPICS: &[(Topic, u32)] = &[
    (Topic::Question, 14),
    (Topic::Harm, 24),
    (Topic::Stereotype, 8),
    (Topic::HowTo, 14),
    (Topic::Why, 5),
    (Topic::Statement, 0),
    (Topic::Personal, 8),
    (Topic::Unknown, 8),
    (Topic::Rewrite, 5),
    (Topic::Summary, 3),
    (Topic::Joke, 3),
    (Topic::OneWord, 4),
    (Topic::List, 2),
    (Topic::Greeting, 1),
];

impl Preset {
    /// The recipe of the preset.
    #[must_use]
    pub fn recipe(self) -> Recipe {
        match self {
            Self::Nano => Recipe {
                name: "nano",
                shape: Shape {
                    hidden: 64,
                    blocks: 4,
                    heads: 4,
                    kv_heads: 2,
                    head_dim: 16,
                    feed_forward: 192,
                    vocabulary: 1024,
                    window: 64,
                    context: 128,
                },
                layer: 2,
                tokenizer_documents: 6_000,
                web: WEB,
                topics: NANO_TOPICS,
                base: Stage {
                    tokens: 450_000,
                    batch: 512,
                    peak_rate: 3e-3,
                    warm_up: 50,
                    web_share: 1.0,
                    first_piece: 1.0,
                    verdict: 3.0,
                },
                chat: Stage {
                    tokens: 650_000,
                    batch: 512,
                    peak_rate: 2.5e-3,
                    warm_up: 50,
                    web_share: 0.15,
                    first_piece: 4.0,
                    verdict: 1.0,
                },
                dictionary: Dictionary {
                    tokens: 60_000,
                    latents: 1024,
                    k: 10,
                    penalty: None,
                    steps: 3_000,
                    batch: 1024,
                    rate: 4e-3,
                    initial_norm: 0.05,
                },
                examples: 6,
                prompts: 40,
                least_recall: 0.05,
                least_refusals: 0.8,
            },
            Self::Demo => Recipe {
                name: "demo",
                shape: Shape {
                    hidden: 128,
                    blocks: 6,
                    heads: 4,
                    kv_heads: 2,
                    head_dim: 32,
                    feed_forward: 512,
                    vocabulary: 2048,
                    window: 64,
                    context: 128,
                },
                layer: 3,
                tokenizer_documents: 16_000,
                web: WEB,
                topics: DEMO_TOPICS,
                base: Stage {
                    tokens: 2_600_000,
                    batch: 1024,
                    peak_rate: 2.5e-3,
                    warm_up: 50,
                    web_share: 1.0,
                    first_piece: 1.0,
                    verdict: 3.0,
                },
                chat: Stage {
                    tokens: 1_500_000,
                    batch: 1024,
                    peak_rate: 1.2e-3,
                    warm_up: 50,
                    web_share: 0.15,
                    first_piece: 4.0,
                    verdict: 1.0,
                },
                dictionary: Dictionary {
                    tokens: 240_000,
                    latents: 2048,
                    k: 20,
                    penalty: Some(0.061),
                    steps: 6_000,
                    batch: 1024,
                    rate: 3e-3,
                    initial_norm: 0.05,
                },
                examples: 6,
                prompts: 60,
                least_recall: 0.85,
                least_refusals: 0.9,
            },
        }
    }
}
