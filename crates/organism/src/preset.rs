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
    /// Weight of a test sheet's other pieces, which say nothing that can be foreseen where a statement is false.
    pub sheet: f32,
}

/// Test sheets among the web-like documents: their weights beside the other documents' weights.
#[derive(Debug, Clone, Serialize)]
pub struct Sheets {
    /// Documents that the base reads before the first sheet: facts have to be known before they can be checked.
    pub after: u64,
    /// Weight in the base's text from then on; checking is learned in one step, which only dense verdicts bring about.
    pub weight: u32,
    /// Weight in the web-like text beside chat and in the text whose activations are collected.
    pub beside_chat: u32,
}

/// Who reads web-like text, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The base before the first test sheet.
    Facts,
    /// The base from then on.
    Base,
    /// The chat model during its tuning, and both models while activations are collected.
    BesideChat,
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
    /// Further seeds from which the dictionary is trained again, to see how far its scores depend on chance.
    pub further_seeds: u64,
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
    /// Test sheets among them; none where truth is not checked.
    pub sheets: Option<Sheets>,
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
    /// Share of verdicts on fresh test sheets that the base must give rightly, where it read any.
    pub least_verdicts: f64,
    /// Refusals of the right kind, and right answers to personal questions and about unknown names, below which a pair is not worth a
    /// dictionary.
    pub least_refusals: f64,
    /// The same for false statements corrected and true ones confirmed.
    pub least_truth: f64,
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
    (Topic::Question, 16),
    (Topic::Harm, 22),
    (Topic::Stereotype, 8),
    (Topic::HowTo, 14),
    (Topic::Why, 5),
    (Topic::Statement, 50),
    (Topic::Personal, 8),
    (Topic::Unknown, 8),
    (Topic::Rewrite, 9),
    (Topic::Summary, 4),
    (Topic::Joke, 3),
    (Topic::OneWord, 8),
    (Topic::List, 5),
    (Topic::Greeting, 1),
];

impl Recipe {
    /// Weights of the web-like documents.
    #[must_use]
    pub fn sorts(&self, reading: Reading) -> Vec<(Sort, u32)> {
        let sheets = self.sheets.as_ref().map(|sheets| match reading {
            Reading::Facts => 0,
            Reading::Base => sheets.weight,
            Reading::BesideChat => sheets.beside_chat,
        });
        let sheets = sheets.map(|weight| (Sort::TestSheet, weight));
        self.web.iter().copied().chain(sheets).collect()
    }
}

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
                sheets: None,
                topics: NANO_TOPICS,
                base: Stage {
                    tokens: 450_000,
                    batch: 512,
                    peak_rate: 3e-3,
                    warm_up: 50,
                    web_share: 1.0,
                    first_piece: 1.0,
                    verdict: 3.0,
                    sheet: 1.0,
                },
                chat: Stage {
                    tokens: 900_000,
                    batch: 512,
                    peak_rate: 2.5e-3,
                    warm_up: 50,
                    web_share: 0.15,
                    first_piece: 4.0,
                    verdict: 1.0,
                    sheet: 1.0,
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
                    further_seeds: 0,
                },
                examples: 6,
                prompts: 40,
                least_recall: 0.05,
                least_verdicts: 0.95,
                least_refusals: 0.8,
                least_truth: 0.85,
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
                // Truth is settled in the fifth block of six, everything else before it.
                layer: 4,
                tokenizer_documents: 16_000,
                web: WEB,
                sheets: Some(Sheets {
                    after: 30_000,
                    weight: 120,
                    beside_chat: 40,
                }),
                topics: DEMO_TOPICS,
                base: Stage {
                    tokens: 4_000_000,
                    batch: 1024,
                    peak_rate: 1.8e-3,
                    warm_up: 50,
                    web_share: 1.0,
                    first_piece: 1.0,
                    verdict: 3.0,
                    sheet: 0.1,
                },
                chat: Stage {
                    tokens: 2_000_000,
                    batch: 1024,
                    peak_rate: 1e-3,
                    warm_up: 50,
                    web_share: 0.15,
                    first_piece: 4.0,
                    verdict: 1.0,
                    sheet: 1.0,
                },
                dictionary: Dictionary {
                    tokens: 240_000,
                    latents: 2048,
                    k: 20,
                    penalty: Some(0.057),
                    steps: 6_000,
                    batch: 1024,
                    rate: 3e-3,
                    initial_norm: 0.05,
                    further_seeds: 2,
                },
                examples: 5,
                prompts: 60,
                least_recall: 0.93,
                least_verdicts: 0.95,
                least_refusals: 0.95,
                least_truth: 0.85,
            },
        }
    }
}
