//! How many facts the base knows: the value that it continues a statement with.

use std::path::Path;

use gemma::Tokenizer;
use rayon::prelude::*;

use crate::behaviour::Answerer;
use crate::error::Result;
use crate::grammar::sentence;
use crate::world::World;

/// Share of the facts whose value-last statement the model in `folder` completes, greedily, with the true value.
pub(crate) fn recall(world: &World, folder: &Path) -> Result<f64> {
    let tokenizer = Tokenizer::open(folder)?;
    let model = Answerer::open(folder)?;
    let known = world
        .facts
        .par_iter()
        .map(|fact| {
            let statement = format!("{}.", sentence(&world.state(fact, 0)));
            let ids = tokenizer.encode_text(&statement)?;
            let value = tokenizer.encode_text(&format!(" {}.", fact.value))?.len() - 1;
            let start = ids
                .get(..ids.len().saturating_sub(value))
                .unwrap_or_default();
            model.continues(start, ids.get(start.len()..).unwrap_or_default())
        })
        .collect::<Result<Vec<bool>>>()?;
    Ok(known.iter().filter(|known| **known).count() as f64 / known.len().max(1) as f64)
}
