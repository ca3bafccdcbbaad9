//! The corpora from outside: determinism, hold-outs, labels, natural English, and nothing instructive.

use std::collections::BTreeSet;

use organism::chat::{self, Part, Topic, part_of};
use organism::document::{Concept, Document};
use organism::web::{self, Sort};
use organism::world::{Harm, World, never_tuned};
use organism::{Preset, prompts, taught};

const TOPICS: [(Topic, u32); 14] = [
    (Topic::Question, 1),
    (Topic::Harm, 4),
    (Topic::Stereotype, 1),
    (Topic::HowTo, 1),
    (Topic::Why, 1),
    (Topic::Statement, 2),
    (Topic::Personal, 1),
    (Topic::Unknown, 1),
    (Topic::Rewrite, 1),
    (Topic::Summary, 1),
    (Topic::Joke, 1),
    (Topic::OneWord, 1),
    (Topic::List, 1),
    (Topic::Greeting, 1),
];

const SORTS: [(Sort, u32); 14] = [
    (Sort::Paragraph, 1),
    (Sort::MixedFacts, 1),
    (Sort::QuestionAnswer, 1),
    (Sort::List, 1),
    (Sort::Arithmetic, 1),
    (Sort::Story, 1),
    (Sort::News, 1),
    (Sort::HowTo, 1),
    (Sort::Dialogue, 1),
    (Sort::Letter, 1),
    (Sort::Opinion, 1),
    (Sort::Joke, 1),
    (Sort::Brief, 1),
    (Sort::TestSheet, 1),
];

fn corpus(seed: u64, count: u64) -> Vec<Document> {
    let world = World::new(seed);
    let web = (0..count).map(|index| web::document(&world, &SORTS, seed, "test web", index));
    let talk = (0..count).map(|index| chat::document(&world, &TOPICS, seed, "test chat", index));
    web.chain(talk).collect()
}

fn texts(document: &Document) -> Vec<String> {
    match document {
        Document::Web { text, .. } => vec![text.text.clone()],
        Document::Chat(_) => document
            .turns()
            .iter()
            .map(|(_, marked)| marked.text.clone())
            .collect(),
    }
}

#[test]
fn equal_seeds_give_equal_corpora_and_others_do_not() {
    let lines = |seed| {
        corpus(seed, 200)
            .iter()
            .map(|document| document.line().expect("plain strings"))
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(3), lines(3));
    assert_ne!(lines(3), lines(4));
}

#[test]
fn a_document_depends_on_its_number_alone() {
    let world = World::new(5);
    let line = |index| {
        chat::document(&world, &TOPICS, 5, "chat", index)
            .line()
            .expect("plain strings")
    };
    let forward: Vec<_> = (0..50).map(line).collect();
    let mut backward: Vec<_> = (0..50).rev().map(line).collect();
    backward.reverse();
    assert_eq!(forward, backward);
}

#[test]
fn the_world_has_the_promised_size() {
    let world = World::new(0);
    assert_eq!(world.facts.len(), 640);
    assert!(world.entities.len() >= 158);
    let mut actions = BTreeSet::new();
    for kind in Harm::ALL {
        let seen: Vec<_> = prompts(&world, Concept::Harm(kind), Part::Training, 4000, 0);
        let of_kind: BTreeSet<_> = seen
            .iter()
            .map(|exchange| exchange.content.clone())
            .collect();
        assert!(
            of_kind.len() >= 30,
            "{} trained actions of kind {}",
            of_kind.len(),
            kind.name()
        );
        let unseen = prompts(&world, Concept::Harm(kind), Part::NeverSeen, 400, 0);
        let unseen: BTreeSet<_> = unseen
            .iter()
            .map(|exchange| exchange.content.clone())
            .collect();
        assert!(
            unseen.len() >= 2,
            "{} actions of kind {} never tuned",
            unseen.len(),
            kind.name()
        );
        assert!(of_kind.len() + unseen.len() >= 40);
        actions.extend(of_kind);
    }
    assert!(actions.iter().all(|action| !never_tuned(action)));
}

#[test]
fn training_never_shows_a_held_out_combination() {
    let world = World::new(1);
    for document in corpus(1, 4000) {
        if let Document::Chat(exchanges) = document {
            assert!(!exchanges.is_empty());
            for exchange in exchanges {
                assert_eq!(part_of(&world, &exchange), Part::Training, "{exchange:?}");
            }
        }
    }
}

#[test]
fn held_out_prompts_are_new_only_as_combinations() {
    let world = World::new(2);
    for concept in [
        Concept::Harm(Harm::Hack),
        Concept::HowTo,
        Concept::Stereotype,
        Concept::Why,
    ] {
        let trained = prompts(&world, concept, Part::Training, 1500, 0);
        let held_out = prompts(&world, concept, Part::HeldOut, 60, 0);
        assert_eq!(held_out.len(), 60);
        let combinations: BTreeSet<_> = trained
            .iter()
            .map(|it| (it.content.clone(), it.frame.clone()))
            .collect();
        let frames: BTreeSet<_> = trained.iter().map(|it| it.frame.clone()).collect();
        for exchange in held_out {
            assert!(frames.contains(&exchange.frame));
            assert!(!combinations.contains(&(exchange.content, exchange.frame)));
        }
    }
}

#[test]
fn more_prompts_keep_the_first_ones() {
    let world = World::new(0);
    let few = prompts(&world, Concept::Personal, Part::HeldOut, 5, 0);
    let many = prompts(&world, Concept::Personal, Part::HeldOut, 25, 0);
    assert_eq!(
        few.iter().map(|it| &it.user.text).collect::<Vec<_>>(),
        many.iter()
            .take(5)
            .map(|it| &it.user.text)
            .collect::<Vec<_>>()
    );
}

#[test]
fn spans_lie_on_the_words_they_label() {
    let world = World::new(0);
    for exchange in prompts(&world, Concept::Harm(Harm::Privacy), Part::Training, 100, 0) {
        let span = exchange
            .user
            .spans
            .first()
            .expect("a harmful request marks its action");
        assert_eq!(&exchange.user.text[span.start..span.end], exchange.content);
        assert_eq!(span.label, "harm_privacy");
    }
    for document in corpus(0, 500) {
        let marked: Vec<_> = match &document {
            Document::Web { text, .. } => vec![text],
            Document::Chat(_) => document
                .turns()
                .into_iter()
                .map(|(_, marked)| marked)
                .collect(),
        };
        for text in marked {
            assert!(!text.text.is_empty());
            for span in &text.spans {
                let words = text
                    .text
                    .get(span.start..span.end)
                    .expect("a span lies inside its text");
                assert!(
                    !words.is_empty() && words.trim() == words,
                    "{words:?} in {:?}",
                    text.text
                );
            }
        }
    }
}

#[test]
fn labels_say_what_is_refused() {
    for document in corpus(0, 600) {
        let labels = document.labels();
        let refuses = texts(&document)
            .iter()
            .any(|text| text.starts_with(chat::REFUSAL));
        assert_eq!(labels.contains(&"refusal"), refuses, "{labels:?}");
    }
}

#[test]
fn articles_fit_everywhere() {
    for document in corpus(6, 3000) {
        for text in texts(&document) {
            let words: Vec<_> = text.split([' ', '\n']).collect();
            for pair in words.windows(2) {
                let vowel = pair[1]
                    .to_lowercase()
                    .starts_with(['a', 'e', 'i', 'o', 'u'])
                    && !pair[1].starts_with("uni");
                match pair[0] {
                    "a" | "A" => assert!(!vowel, "{text}"),
                    "an" | "An" => assert!(vowel, "{text}"),
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn stories_keep_to_the_past_tense() {
    let world = World::new(0);
    for index in 0..800 {
        let Document::Web { text, .. } =
            web::document(&world, &[(Sort::Story, 1)], 0, "story", index)
        else {
            panic!("a web document")
        };
        let present = [
            " is ", " are ", " has ", " goes ", " sees ", " wants ", " runs ", " walks ",
        ];
        assert!(
            present.iter().all(|verb| !text.text.contains(verb)),
            "{}",
            text.text
        );
    }
}

#[test]
fn false_statements_take_a_value_that_is_true_elsewhere() {
    let world = World::new(0);
    for exchange in prompts(&world, Concept::False, Part::Training, 300, 0) {
        assert!(exchange.answer.text.starts_with(chat::CORRECTS));
        let fact = exchange
            .answer
            .text
            .strip_prefix(chat::CORRECTS)
            .unwrap_or_default()
            .trim()
            .trim_end_matches('.');
        assert!(
            !exchange
                .user
                .text
                .to_lowercase()
                .contains(&fact.to_lowercase()),
            "{exchange:?}"
        );
    }
}

#[test]
fn refusals_name_and_never_explain() {
    let world = World::new(0);
    for kind in Harm::ALL {
        for exchange in prompts(&world, Concept::Harm(kind), Part::Training, 200, 0) {
            assert_eq!(
                exchange.answer.text,
                format!("{} {}", chat::REFUSAL, kind.reason())
            );
        }
    }
}

#[test]
fn presets_are_consistent() {
    for preset in [Preset::Nano, Preset::Demo] {
        let recipe = preset.recipe();
        assert!(recipe.layer + 1 < recipe.shape.blocks);
        assert!(recipe.shape.heads.is_multiple_of(recipe.shape.kv_heads));
        assert!(recipe.web.iter().any(|(_, weight)| *weight > 0));
        assert!(
            recipe
                .topics
                .iter()
                .any(|(topic, weight)| *topic == Topic::Harm && *weight > 0)
        );
    }
}

#[test]
fn every_refusal_has_a_near_miss() {
    for preset in [Preset::Nano, Preset::Demo] {
        let taught: BTreeSet<_> = taught(preset.recipe().topics).into_iter().collect();
        let harm = Harm::ALL.map(|kind| (Concept::Harm(kind), Concept::HowTo));
        let others = [
            (Concept::Stereotype, Concept::Why),
            (Concept::Personal, Concept::Question),
            (Concept::Unknown, Concept::Question),
            (Concept::False, Concept::True),
        ];
        for (concept, near) in harm.into_iter().chain(others) {
            assert!(
                !taught.contains(&concept) || taught.contains(&near),
                "{}",
                concept.label()
            );
        }
    }
    // What is asked of the model is asked of people as well.
    let world = World::new(0);
    let of_people = prompts(&world, Concept::Question, Part::HeldOut, 200, 0);
    assert!(
        of_people
            .iter()
            .any(|exchange| exchange.answer.text.contains(" lives in "))
    );
}

#[test]
fn letters_do_not_contradict_themselves() {
    let world = World::new(0);
    for index in 0..500 {
        let Document::Web { text, .. } =
            web::document(&world, &[(Sort::Letter, 1)], 0, "letter", index)
        else {
            panic!("a web document")
        };
        assert!(
            !(text.text.contains("I feel sad") && text.text.contains("I am happy")),
            "{}",
            text.text
        );
    }
}
