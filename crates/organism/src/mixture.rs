//! The documents whose activations are collected: a web-like corpus and a chat corpus, as many tokens each.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use gemma::{Message, Tokenizer};

use crate::chat;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::preset::{Reading, Recipe};
use crate::web;
use crate::world::World;

/// Writes both corpora into a folder and gives their paths, web-like first.
pub(crate) fn write(
    folder: &Path,
    world: &World,
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Result<Vec<PathBuf>> {
    let sorts = recipe.sorts(Reading::BesideChat);
    let web = |index| web::document(world, &sorts, seed, "collect web", index);
    let talk = |index| chat::document(world, recipe.topics, seed, "collect chat", index);
    let sides: [(&str, &dyn Fn(u64) -> Document); 2] = [
        ("activations-web.jsonl", &web),
        ("activations-chat.jsonl", &talk),
    ];
    let half = recipe.dictionary.tokens / 2;
    sides
        .into_iter()
        .map(|(name, document)| {
            let path = folder.join(name);
            write_corpus(&path, document, half, tokenizer)?;
            Ok(path)
        })
        .collect()
}

/// Writes documents until they have this many tokens.
fn write_corpus(
    path: &Path,
    document: &dyn Fn(u64) -> Document,
    tokens: usize,
    tokenizer: &Tokenizer,
) -> Result<()> {
    let fault = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(fs::File::create(path).map_err(fault)?);
    let (mut read, mut next) = (0, 0);
    while read < tokens {
        let document = document(next);
        next += 1;
        read += pieces(&document, tokenizer)?;
        let line = document.line().map_err(|error| Error::Content {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        writeln!(file, "{line}").map_err(fault)?;
    }
    file.flush().map_err(fault)
}

fn pieces(document: &Document, tokenizer: &Tokenizer) -> Result<usize> {
    Ok(match document {
        Document::Web { text, .. } => tokenizer.encode_text(&text.text)?.len(),
        Document::Chat(_) => {
            let turn = |(role, text): (&'static str, &crate::text::Marked)| Message {
                role: role.to_owned(),
                content: text.text.clone(),
            };
            let turns: Vec<_> = document.turns().into_iter().map(turn).collect();
            tokenizer.encode_messages(&turns, false)?.len()
        }
    })
}
