//! Documents as rows of pieces with a weight for each piece to predict, and batches sorted by length.

use gemma::{Message, Tokenizer};
use rand::Rng;
use rand::seq::SliceRandom;

use crate::chat;
use crate::document::Document;
use crate::error::Result;
use crate::pieces::{END_OF_TURN, EOS, PAD, START_OF_TURN};
use crate::preset::{Reading, Recipe, Stage};
use crate::random::stream;
use crate::web::{self, RIGHT, Sort, WRONG};
use crate::world::World;

/// Documents sorted by length and cut into batches at a time.
const POOL: u64 = 512;

/// A document as pieces; `weights[i]` is how much the prediction of `ids[i + 1]` counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) ids: Vec<u32>,
    pub(crate) weights: Vec<f32>,
}

/// Rows of similar length, to be padded to the longest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
}

impl Batch {
    /// Length of the longest row.
    pub(crate) fn width(&self) -> usize {
        self.rows.iter().map(|row| row.ids.len()).max().unwrap_or(0)
    }

    /// Pieces without padding.
    pub(crate) fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.ids.len()).sum()
    }

    /// Ids [B, T] row-major, padded on the right.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let width = self.width();
        self.rows
            .iter()
            .flat_map(|row| {
                row.ids
                    .iter()
                    .copied()
                    .chain(std::iter::repeat(PAD))
                    .take(width)
            })
            .collect()
    }

    /// For each position of [B, T] the piece that follows and its weight; weight 0 where nothing is to be learned.
    pub(crate) fn targets(&self) -> (Vec<u32>, Vec<f32>) {
        let width = self.width();
        let next = |row: &Row| {
            let ids = row.ids.iter().skip(1).copied();
            ids.chain(std::iter::repeat(PAD))
                .take(width)
                .collect::<Vec<_>>()
        };
        let weights = |row: &Row| {
            row.weights
                .iter()
                .copied()
                .chain(std::iter::repeat(0.0))
                .take(width)
                .collect::<Vec<_>>()
        };
        (
            self.rows.iter().flat_map(next).collect(),
            self.rows.iter().flat_map(weights).collect(),
        )
    }
}

/// Turns the documents of a stage into batches, pool by pool.
pub(crate) struct Feeder<'a> {
    pub(crate) world: &'a World,
    pub(crate) recipe: &'a Recipe,
    pub(crate) stage: &'a Stage,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) seed: u64,
    /// Name of the stage, which names its streams.
    pub(crate) name: &'static str,
}

impl Feeder<'_> {
    /// How the `index`-th document is read.
    fn reading(&self, index: u64) -> Reading {
        let facts_first = self.recipe.sheets.as_ref().map_or(0, |sheets| sheets.after);
        if self.stage.web_share < 1.0 {
            Reading::BesideChat
        } else if index < facts_first {
            Reading::Facts
        } else {
            Reading::Base
        }
    }

    /// Documents of one pool; the same whenever they are asked for.
    pub(crate) fn documents(&self, pool: u64) -> Vec<Document> {
        (pool * POOL..(pool + 1) * POOL)
            .map(|index| {
                let web_like = self.stage.web_share >= 1.0 || {
                    stream(self.seed, &format!("{} share", self.name), index)
                        .random_bool(self.stage.web_share)
                };
                if web_like {
                    web::document(
                        self.world,
                        &self.recipe.sorts(self.reading(index)),
                        self.seed,
                        &format!("{} web", self.name),
                        index,
                    )
                } else {
                    chat::document(
                        self.world,
                        self.recipe.topics,
                        self.seed,
                        &format!("{} chat", self.name),
                        index,
                    )
                }
            })
            .collect()
    }

    /// Batches of one pool in the order they are trained on. Documents longer than the models' context are left out.
    ///
    /// # Errors
    /// When a document cannot be tokenised.
    pub(crate) fn batches(&self, pool: u64) -> Result<Vec<Batch>> {
        let mut rows = Vec::new();
        for document in self.documents(pool) {
            let row = self.row(&document)?;
            if row.ids.len() > 1 && row.ids.len() <= self.recipe.shape.context {
                rows.push(row);
            }
        }
        rows.sort_by_key(|row| row.ids.len());
        let mut batches: Vec<Batch> = Vec::new();
        for row in rows {
            match batches.last_mut() {
                Some(batch) if (batch.rows.len() + 1) * row.ids.len() <= self.stage.batch => {
                    batch.rows.push(row);
                }
                _ => batches.push(Batch { rows: vec![row] }),
            }
        }
        batches.shuffle(&mut stream(
            self.seed,
            &format!("{} shuffle", self.name),
            pool,
        ));
        Ok(batches)
    }

    fn row(&self, document: &Document) -> Result<Row> {
        match document {
            Document::Web { text, sort } => {
                let mut ids = self.tokenizer.encode_text(&text.text)?;
                ids.push(EOS);
                Ok(self.web_row(ids, *sort == Sort::TestSheet.label()))
            }
            Document::Chat(_) => {
                let messages: Vec<_> = document
                    .turns()
                    .into_iter()
                    .map(|(role, marked)| Message {
                        role: role.to_owned(),
                        content: marked.text.clone(),
                    })
                    .collect();
                Ok(self.chat_row(self.tokenizer.encode_messages(&messages, false)?))
            }
        }
    }

    fn web_row(&self, ids: Vec<u32>, sheet: bool) -> Row {
        let verdicts = [RIGHT, WRONG].map(|word| self.tokenizer.id(&format!("\u{2581}{word}")));
        let weight = |id: &u32| {
            if verdicts.contains(&Some(*id)) {
                self.stage.verdict
            } else if sheet {
                self.stage.sheet
            } else {
                1.0
            }
        };
        let weights = ids.iter().skip(1).map(weight).chain([0.0]).collect();
        Row { ids, weights }
    }

    /// Weighs the answers alone: what follows "start of turn, model, newline", through "end of turn".
    fn chat_row(&self, ids: Vec<u32>) -> Row {
        let newline = self.tokenizer.id("\n");
        let mut weights = vec![0.0; ids.len()];
        let mut turns = 0;
        let mut state = Turn::Others;
        for (now, weight) in ids.iter().zip(&mut weights) {
            state = match (*now, state) {
                (START_OF_TURN, _) => {
                    turns += 1;
                    if turns % 2 == 0 {
                        Turn::Role
                    } else {
                        Turn::Others
                    }
                }
                (END_OF_TURN, _) => Turn::Others,
                (id, Turn::Role) if Some(id) == newline => Turn::First,
                (_, Turn::First) => Turn::Rest,
                (_, state) => state,
            };
            *weight = match state {
                Turn::Others | Turn::Role => 0.0,
                Turn::First => self.stage.first_piece,
                Turn::Rest => 1.0,
            };
        }
        Row { ids, weights }
    }
}

/// Where in a dialogue a piece stands, by what it predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The user's turn, or between turns.
    Others,
    /// The role of the model's turn.
    Role,
    /// The newline that predicts the first piece of the answer.
    First,
    /// The answer.
    Rest,
}
