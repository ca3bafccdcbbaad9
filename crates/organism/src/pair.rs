//! The pair: corpora and tokenizer, the base from nothing, the chat model from the base.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::DType;
use gemma::train::Trainable;
use gemma::{Checkpoint, Tokenizer};
use pipeline::{ConceptBehaviour, Progress};
use serde::{Deserialize, Serialize};

use crate::behaviour::behaviours;
use crate::chat;
use crate::document::{Concept, Document};
use crate::error::{Error, Result};
use crate::files;
use crate::models;
use crate::pieces;
use crate::preset::{Reading, Recipe};
use crate::ratio::ratios;
use crate::recall::{recall, verdicts};
use crate::train::{self, Feeder, Trained};
use crate::web;
use crate::world::World;

/// Folders of a pair being made.
pub(crate) struct Places {
    /// The study.
    pub(crate) out: PathBuf,
}

impl Places {
    pub(crate) fn base(&self) -> PathBuf {
        self.out.join("base")
    }

    pub(crate) fn chat(&self) -> PathBuf {
        self.out.join("chat")
    }

    pub(crate) fn corpora(&self) -> PathBuf {
        self.out.join("corpora")
    }

    pub(crate) fn progress(&self) -> PathBuf {
        self.out.join(".progress")
    }
}

/// What is known of a finished pair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairSummary {
    /// Parameters of one model.
    pub parameters: u64,
    /// Training of the base.
    pub base: Trained,
    /// Chat tuning.
    pub chat: Trained,
    /// Share of the facts that the base completes.
    pub recall_base: f64,
    /// The same for the chat model.
    pub recall_chat: f64,
    /// Share of the verdicts of fresh test sheets that the base gives rightly; none where it read no sheets.
    pub verdicts_base: Option<f64>,
    /// What both models do on held-out prompts.
    pub behaviours: Vec<ConceptBehaviour>,
}

/// Documents of the tokenizer's corpus: half web-like, half chat.
fn tokenizer_texts(world: &World, recipe: &Recipe, seed: u64) -> Vec<String> {
    let half = recipe.tokenizer_documents as u64 / 2;
    let texts = |document: Document| match document {
        Document::Web { text, .. } => vec![text.text],
        Document::Chat(_) => document
            .turns()
            .iter()
            .map(|(_, marked)| marked.text.clone())
            .collect(),
    };
    let sorts = recipe.sorts(Reading::Base);
    let web = (0..half).map(|index| web::document(world, &sorts, seed, "tokenizer web", index));
    // Every topic alike: a rare one has its words too, and the tokenizer outlives a change of the weights.
    let topics: Vec<_> = recipe
        .topics
        .iter()
        .map(|(topic, weight)| (*topic, (*weight).min(1)))
        .collect();
    let talk = (0..half).map(|index| chat::document(world, &topics, seed, "tokenizer chat", index));
    web.chain(talk).flat_map(texts).collect()
}

/// Writes the documents a stage read, one line of JSON each.
fn write_corpus(path: &Path, feeder: &Feeder<'_>, tokens: usize) -> Result<()> {
    let fault = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let unfinished = path.with_extension("tmp");
    let mut file = BufWriter::new(fs::File::create(&unfinished).map_err(fault)?);
    let (mut read, mut pool) = (0, 0);
    while read < tokens {
        read += feeder
            .batches(pool)?
            .iter()
            .map(train::Batch::tokens)
            .sum::<usize>();
        for document in feeder.documents(pool) {
            let line = document.line().map_err(|source| Error::Content {
                path: path.to_owned(),
                problem: source.to_string(),
            })?;
            writeln!(file, "{line}").map_err(fault)?;
        }
        pool += 1;
    }
    file.flush().map_err(fault)?;
    fs::rename(&unfinished, path).map_err(fault)
}

/// Trains one stage into `folder`, unless it is there already.
fn stage(
    model: impl FnOnce() -> Result<Trainable>,
    feeder: &Feeder<'_>,
    folder: &Path,
    places: &Places,
    progress: &dyn Progress,
) -> Result<Trained> {
    let summary = places.progress().join(format!("{}.json", feeder.name));
    if models::finished(folder) && summary.is_file() {
        return files::read_json(&summary);
    }
    write_corpus(
        &places.corpora().join(format!("{}.jsonl", feeder.name)),
        feeder,
        feeder.stage.tokens,
    )?;
    let state = places
        .progress()
        .join(format!("{}.safetensors", feeder.name));
    let model = model()?;
    let trained = train::run(&model, feeder, &state, progress, train::SAVE_EVERY)?;
    model.save(folder, DType::BF16)?;
    files::write_json(&summary, &trained)?;
    if state.is_file() {
        fs::remove_file(&state).map_err(|source| Error::File {
            path: state.clone(),
            source,
        })?;
    }
    Ok(trained)
}

/// Makes the pair of a recipe and a seed in `places`, from where an earlier call was stopped.
///
/// # Errors
/// When a file cannot be written, training diverges, or a gate is not passed.
pub(crate) fn make(
    world: &World,
    recipe: &Recipe,
    seed: u64,
    places: &Places,
    progress: &dyn Progress,
) -> Result<PairSummary> {
    let (base, chat) = (places.base(), places.chat());
    for folder in [&base, &chat, &places.corpora(), &places.progress()] {
        files::make_folder(folder)?;
    }
    if !chat.join("tokenizer.json").is_file() {
        let tokenizer = pieces::tokenizer(
            world,
            &tokenizer_texts(world, recipe, seed),
            recipe.shape.vocabulary,
        )?;
        pieces::write(&base, &tokenizer, false)?;
        pieces::write(&chat, &tokenizer, true)?;
    }
    let tokenizer = Tokenizer::open(&chat)?;
    let feeder = |stage, name| Feeder {
        world,
        recipe,
        stage,
        tokenizer: &tokenizer,
        seed,
        name,
    };
    let fresh = || Ok(Trainable::new(models::config(&recipe.shape), seed)?);
    let base_trained = stage(
        fresh,
        &feeder(&recipe.base, "base"),
        &base,
        places,
        progress,
    )?;
    let recall_base = recall(world, &base)?;
    gate(
        "the share of facts the base model recalls",
        recall_base,
        recipe.least_recall,
    )?;
    progress.say(&format!(
        "the base model recalls {:.1} % of the facts",
        100.0 * recall_base
    ));
    let sheets = recipe.sheets.as_ref();
    let verdicts_base = sheets.map(|_| verdicts(world, &base, seed)).transpose()?;
    if let Some(right) = verdicts_base {
        progress.say(&format!(
            "the base model gives {:.1} % of the verdicts of fresh test sheets rightly",
            100.0 * right
        ));
        // From less than this, chat tuning does not learn to tell true from false: it says yes, or no, to everything.
        gate(
            "the share of verdicts on fresh test sheets that the base model gives rightly",
            right,
            recipe.least_verdicts,
        )?;
    }
    let tuned = || Ok(Trainable::from_checkpoint(&Checkpoint::open(&base)?)?);
    let chat_trained = stage(
        tuned,
        &feeder(&recipe.chat, "chat"),
        &chat,
        places,
        progress,
    )?;
    let behaviours = behaviours(world, recipe, [&base, &chat], seed, progress)?;
    for row in behaviours.iter().filter(|row| !row.never_seen) {
        let concept = Concept::ALL
            .into_iter()
            .find(|concept| concept.label() == row.concept);
        if let Some(least) = concept.and_then(|concept| least(recipe, concept)) {
            gate(
                &format!(
                    "the chat model's share of right answers to held-out {} prompts",
                    row.concept
                ),
                row.chat,
                least,
            )?;
        }
    }
    let lines: Vec<_> = ratios(world, recipe, [&base, &chat], seed)?
        .iter()
        .map(ToString::to_string)
        .collect();
    progress.say(&format!(
        "differences at the last newline, base to chat: {}",
        lines.join("; ")
    ));
    Ok(PairSummary {
        parameters: Checkpoint::open(&chat)?.parameters(),
        base: base_trained,
        chat: chat_trained,
        recall_base,
        verdicts_base,
        recall_chat: recall(world, &chat)?,
        behaviours,
    })
}

/// Share of right answers below which a pair is not worth a dictionary; none for concepts that are no reason to stop.
fn least(recipe: &Recipe, concept: Concept) -> Option<f64> {
    match concept {
        Concept::False | Concept::True => Some(recipe.least_truth),
        Concept::Personal | Concept::Unknown => Some(recipe.least_refusals),
        concept => concept.refused().then_some(recipe.least_refusals),
    }
}

fn gate(what: &str, found: f64, expected: f64) -> Result<()> {
    if found < expected {
        return Err(Error::Gate {
            what: what.to_owned(),
            found,
            expected,
        });
    }
    Ok(())
}
