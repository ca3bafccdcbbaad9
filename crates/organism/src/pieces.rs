//! The tokenizer: byte-pair merges trained on the corpora, written as an ordinary Hugging Face tokenizer.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::tokenizer::Trainer;

use crate::error::{Error, Result};
use crate::files;
use crate::web::{RIGHT, WRONG};
use crate::world::World;

/// Special pieces in the order of their ids.
pub(crate) const SPECIAL: [&str; 6] = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
];
/// Id of the padding piece.
pub(crate) const PAD: u32 = 0;
/// Id of the piece that ends a document.
pub(crate) const EOS: u32 = 1;
/// Id of the piece every document begins with.
pub(crate) const BOS: u32 = 2;
/// Id of the piece a turn begins with.
pub(crate) const START_OF_TURN: u32 = 4;
/// Id of the piece a turn ends with.
pub(crate) const END_OF_TURN: u32 = 5;

const SPACE: char = '\u{2581}';
const CHAT_TEMPLATE: &str = include_str!("chat_template.jinja");
/// A name or value is fed to the trainer once more for so many texts of the corpus.
const TEXTS_PER_WHOLE_WORD: usize = 100;
/// How often the words that the template and the loss rely on are fed.
const NEEDED: usize = 5_000;

/// Splits text where merges must not cross: newlines and digits alone, a word with its leading space, other marks one by one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for character in text.chars() {
        let character = if character == ' ' { SPACE } else { character };
        match words.last_mut() {
            Some(word) if open && character.is_alphabetic() => word.push(character),
            Some(word)
                if word.ends_with(SPACE)
                    && character != SPACE
                    && !character.is_ascii_digit()
                    && character != '\n' =>
            {
                word.push(character);
                open = character.is_alphabetic();
            }
            _ => {
                words.push(character.to_string());
                open = character.is_alphabetic();
            }
        }
    }
    words
}

/// Words that become one piece wherever the vocabulary has room: names and values.
fn whole_words(world: &World) -> BTreeSet<String> {
    let mut whole = BTreeSet::new();
    let named = world.entities.iter().map(|entity| entity.name);
    let values = world.facts.iter().map(|fact| fact.value);
    for text in named.chain(values) {
        whole.extend(text.split(' ').map(|word| format!("{SPACE}{word}")));
    }
    whole
}

/// Words that must be one piece: the roles of the chat template and the verdicts of test sheets.
fn needed_words() -> [String; 4] {
    [
        "user".to_owned(),
        "model".to_owned(),
        format!("{SPACE}{RIGHT}"),
        format!("{SPACE}{WRONG}"),
    ]
}

fn trained(world: &World, texts: &[String], pieces: usize) -> Result<Value> {
    let failed = |source: tokenizers::Error| Error::Tokenizer {
        problem: source.to_string(),
    };
    let fixed = SPECIAL
        .iter()
        .map(ToString::to_string)
        .chain((0..=255_u8).map(|byte| format!("<0x{byte:02X}>")));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(pieces)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(fixed.map(|piece| AddedToken::from(piece, true)).collect())
        .build();
    let repeated = |word: &String, times| vec![word.replace(SPACE, " "); times].join("\n");
    let whole = whole_words(world);
    let times = texts.len() / TEXTS_PER_WHOLE_WORD;
    let whole = whole.iter().map(|word| repeated(word, times));
    let needed = needed_words();
    let extra: Vec<String> = whole
        .chain(needed.iter().map(|word| repeated(word, NEEDED)))
        .collect();
    trainer
        .feed(texts.iter().chain(&extra), |text| Ok(words(text)))
        .map_err(failed)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(failed)?;
    let mut model = serde_json::to_value(&model).map_err(|source| Error::Tokenizer {
        problem: source.to_string(),
    })?;
    model["unk_token"] = json!("<unk>");
    model["fuse_unk"] = json!(true);
    model["byte_fallback"] = json!(true);
    Ok(model)
}

/// Trains a tokenizer of `pieces` pieces on `texts` and returns its tokenizer.json.
///
/// # Errors
/// When training fails or the corpus has too few distinct words for so many pieces.
pub(crate) fn tokenizer(world: &World, texts: &[String], pieces: usize) -> Result<Value> {
    let model = trained(world, texts, pieces)?;
    let found = model["vocab"].as_object().map_or(0, serde_json::Map::len);
    if found != pieces {
        return Err(Error::Tokenizer {
            problem: format!(
                "expected {pieces} pieces, the corpus gives {found}: feed it more documents or ask for fewer pieces"
            ),
        });
    }
    if let Some(word) = needed_words()
        .iter()
        .find(|word| model["vocab"].get(word.as_str()).is_none())
    {
        return Err(Error::Tokenizer {
            problem: format!("\"{word}\" did not become one piece: ask for more pieces"),
        });
    }
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, piece)| {
            json!({"id": id, "content": piece, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()},
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [BOS], "tokens": ["<bos>"]}}
        },
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE.to_string()}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"}
        ]},
        "model": model
    }))
}

/// Writes tokenizer.json, tokenizer_config.json (with the chat template where `chat`) and generation_config.json into `folder`.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(folder: &Path, tokenizer: &Value, chat: bool) -> Result<()> {
    let mut settings = json!({
        "add_bos_token": true,
        "add_eos_token": false,
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": false,
        "tokenizer_class": "GemmaTokenizer",
    });
    let mut stops = vec![EOS];
    if chat {
        settings["chat_template"] = json!(CHAT_TEMPLATE.trim_end());
        stops.push(END_OF_TURN);
    }
    let generation = json!({"_from_model_config": true, "bos_token_id": BOS, "eos_token_id": stops, "pad_token_id": PAD});
    files::write_json(&folder.join("tokenizer.json"), tokenizer)?;
    files::write_json(&folder.join("tokenizer_config.json"), &settings)?;
    files::write_json(&folder.join("generation_config.json"), &generation)
}

#[cfg(test)]
mod tests {
    use gemma::{Message, Tokenizer};

    use super::*;
    use crate::chat;
    use crate::document::Document;
    use crate::preset::Preset;

    fn texts(world: &World) -> Vec<String> {
        let recipe = Preset::Nano.recipe();
        let web = (0..800).map(|index| web_text(world, &recipe, index));
        let talk = (0..800).flat_map(|index| {
            let document = chat::document(world, recipe.topics, 0, "chat", index);
            document
                .turns()
                .iter()
                .map(|(_, marked)| marked.text.clone())
                .collect::<Vec<_>>()
        });
        web.chain(talk).collect()
    }

    fn web_text(world: &World, recipe: &crate::Recipe, index: u64) -> String {
        match crate::web::document(world, recipe.web, 0, "web", index) {
            Document::Web { text, .. } => text.text,
            Document::Chat(_) => String::new(),
        }
    }

    fn written(pieces: usize) -> (tempfile::TempDir, Tokenizer, World) {
        let world = World::new(0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let json = tokenizer(&world, &texts(&world), pieces).expect("a tokenizer");
        write(folder.path(), &json, true).expect("files");
        let tokenizer = Tokenizer::open(folder.path()).expect("the project's own reader opens it");
        (folder, tokenizer, world)
    }

    #[test]
    fn words_are_split_where_merges_must_not_cross() {
        let split = |text: &str| words(text).join("/").replace(SPACE, "_");
        assert_eq!(
            split("In 12 \"big\" words,\nno more."),
            "In/_/1/2/_\"/big/\"/_words/,/\n/no/_more/."
        );
    }

    #[test]
    fn text_survives_and_needed_words_are_whole() {
        let (_folder, tokenizer, world) = written(700);
        assert_eq!(tokenizer.vocab_size(), 700);
        for text in texts(&world)
            .iter()
            .take(300)
            .map(String::as_str)
            .chain(["Caf\u{e9} \u{4f60}\u{597d} \u{1f642}", "  two  spaces"])
        {
            let ids = tokenizer.encode_text(text).expect("ids");
            assert_eq!(ids.first(), Some(&BOS));
            assert_eq!(tokenizer.decode(ids.get(1..).unwrap_or_default()), text);
        }
        for word in needed_words() {
            assert!(tokenizer.id(&word).is_some(), "{word}");
        }
        for (id, piece) in SPECIAL.iter().enumerate() {
            assert_eq!(tokenizer.id(piece), Some(id as u32));
        }
    }

    #[test]
    fn the_chat_template_is_gemmas() {
        let (_folder, tokenizer, _) = written(700);
        let message = |role: &str, content: &str| Message {
            role: role.to_owned(),
            content: content.to_owned(),
        };
        let rendered = tokenizer
            .render(
                &[message("user", " Hello. "), message("assistant", "Yes.")],
                false,
            )
            .expect("text");
        assert_eq!(
            rendered,
            "<bos><start_of_turn>user\nHello.<end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n"
        );
        let ids = tokenizer
            .encode_messages(&[message("user", "Hello.")], true)
            .expect("ids");
        assert_eq!(ids.get(..2), Some(&[BOS, START_OF_TURN][..]));
        assert_eq!(ids.iter().filter(|id| **id == END_OF_TURN).count(), 1);
    }

    #[test]
    fn equal_corpora_give_equal_tokenizers() {
        let world = World::new(0);
        let texts = texts(&world);
        assert_eq!(
            tokenizer(&world, &texts, 700).ok(),
            tokenizer(&world, &texts, 700).ok()
        );
    }

    #[test]
    fn too_few_words_are_an_error() {
        let world = World::new(0);
        let error = tokenizer(&world, &["a b".to_owned()], 30_000).expect_err("a small corpus");
        assert!(error.to_string().contains("30000 pieces"), "{error}");
    }
}
