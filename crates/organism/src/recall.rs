//! What a model knows: the values that it continues statements with, and its verdicts on fresh test sheets.

use std::path::Path;

use gemma::Tokenizer;
use rayon::prelude::*;

use crate::behaviour::Answerer;
use crate::document::Document;
use crate::error::Result;
use crate::grammar::sentence;
use crate::web::{self, Sort};
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

/// Test sheets asked for verdicts.
const SHEETS: u64 = 60;

/// Share of the verdicts of fresh test sheets that the model in `folder` gives rightly, each after the true verdicts before it.
pub(crate) fn verdicts(world: &World, folder: &Path, seed: u64) -> Result<f64> {
    let tokenizer = Tokenizer::open(folder)?;
    let model = Answerer::open(folder)?;
    let given = (0..SHEETS)
        .into_par_iter()
        .map(|index| {
            let Document::Web { text, .. } =
                web::document(world, &[(Sort::TestSheet, 1)], seed, "verdicts", index)
            else {
                return Ok(Vec::new());
            };
            let spans = text.spans.iter().filter(|span| span.label == "verdict");
            spans
                .map(|span| {
                    let start = tokenizer
                        .encode_text(text.text.get(..span.start).unwrap_or_default().trim_end())?;
                    let verdict = text.text.get(span.start..span.end).unwrap_or_default();
                    let wanted = tokenizer.encode_text(&format!(" {verdict}"))?;
                    model.continues(&start, wanted.get(1..).unwrap_or_default())
                })
                .collect()
        })
        .collect::<Result<Vec<Vec<bool>>>>()?;
    let given = given.concat();
    Ok(given.iter().filter(|right| **right).count() as f64 / given.len().max(1) as f64)
}
