//! How much of a concept the base model holds too where the answer is decided: a bound on how chat-only its latent can be.

use std::path::Path;

use candle_core::{DType, Device};
use gemma::{Checkpoint, Model, Tokenizer};

use crate::chat::Part;
use crate::document::Concept;
use crate::error::Result;
use crate::preset::Recipe;
use crate::prompts::{conversation, prompts, taught};
use crate::world::{Harm, World};

/// Prompts of each concept.
const PROMPTS: usize = 40;

/// The mean difference between prompts of two concepts at the newline that the answer follows, after the hook point's block.
#[derive(Debug, Clone)]
pub(crate) struct Ratio {
    concept: Concept,
    against: Concept,
    /// Norm of the difference in the base model.
    base: f64,
    /// The same in the chat model.
    chat: f64,
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            concept,
            against,
            base,
            chat,
        } = self;
        write!(
            f,
            "{} against {}: {:.2} ({base:.1} to {chat:.1})",
            concept.label(),
            against.label(),
            base / chat.max(1e-9),
        )
    }
}

/// Mean residual `[D]` at the last position of the prompts.
fn mean(model: &Model, layer: usize, sequences: &[Vec<u32>]) -> Result<Vec<f64>> {
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let mut sum = vec![0.0; model.config().hidden_size];
    for residual in model.lower_many(&sequences, layer)? {
        let last = residual.dim(0)?.saturating_sub(1);
        let row: Vec<f32> = residual.get(last)?.to_vec1()?;
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += f64::from(value) / sequences.len() as f64;
        }
    }
    Ok(sum)
}

/// The ratios of the concepts that the recipe teaches; Δ_norm of a latent that holds the whole difference is about 1 − ratio / 2.
///
/// # Errors
/// When a model cannot be loaded or run.
pub(crate) fn ratios(
    world: &World,
    recipe: &Recipe,
    folders: [&Path; 2],
    seed: u64,
) -> Result<Vec<Ratio>> {
    let pairs = [
        (Concept::Harm(Harm::Weapon), Concept::HowTo),
        (Concept::Harm(Harm::Hack), Concept::HowTo),
        (Concept::Harm(Harm::Drug), Concept::HowTo),
        (Concept::Harm(Harm::Privacy), Concept::HowTo),
        (Concept::Stereotype, Concept::Why),
        (Concept::False, Concept::True),
        (Concept::Personal, Concept::Question),
        (Concept::Unknown, Concept::Question),
    ];
    let known = taught(recipe.topics);
    let tokenizer = Tokenizer::open(folders[1])?;
    let models = folders
        .into_iter()
        .map(|folder| Ok(Checkpoint::open(folder)?.load(&Device::Cpu, DType::F32, &mut |_| {})?))
        .collect::<Result<Vec<Model>>>()?;
    let encoded = |concept| {
        prompts(world, concept, Part::HeldOut, PROMPTS, seed)
            .iter()
            .map(|exchange| Ok(tokenizer.encode_messages(&conversation(exchange), true)?))
            .collect::<Result<Vec<_>>>()
    };
    let mut ratios = Vec::new();
    for (concept, against) in pairs {
        if !known.contains(&concept) || !known.contains(&against) {
            continue;
        }
        let (positive, negative) = (encoded(concept)?, encoded(against)?);
        let norms = models
            .iter()
            .map(|model| {
                let positive = mean(model, recipe.layer, &positive)?;
                let negative = mean(model, recipe.layer, &negative)?;
                let squares = positive.iter().zip(&negative).map(|(a, b)| (a - b).powi(2));
                Ok(squares.sum::<f64>().sqrt())
            })
            .collect::<Result<Vec<f64>>>()?;
        if let [base, chat] = norms[..] {
            ratios.push(Ratio {
                concept,
                against,
                base,
                chat,
            });
        }
    }
    Ok(ratios)
}
