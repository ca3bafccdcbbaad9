//! Token ids, rendered and decoded text, template tokens, streaming and sampling.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{expected, fixtures, ids, messages};
use gemma::{Error, Message, Role, Sampler, TokenKind, Tokenizer};

fn tokenizers() -> [Tokenizer; 2] {
    common::MODELS.map(|name| Tokenizer::open(fixtures().join(name)).unwrap())
}

fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.into(),
        content: content.into(),
    }
}

#[test]
fn texts_give_the_reference_ids_and_come_back() {
    for tokenizer in tokenizers() {
        for case in expected()["tokenizer"].as_array().unwrap() {
            let found = tokenizer
                .encode_text(case["text"].as_str().unwrap())
                .unwrap();
            assert_eq!(found, ids(&case["ids"]));
            assert_eq!(tokenizer.decode(&found), case["decoded"].as_str().unwrap());
        }
    }
}

/// `base/` has no template of its own, `chat/` has one in tokenizer_config.json.
#[test]
fn conversations_render_as_the_reference_does() {
    for tokenizer in tokenizers() {
        for case in expected()["conversations"].as_array().unwrap() {
            let messages = messages(&case["messages"]);
            let prompt = case["add_generation_prompt"].as_bool().unwrap();
            assert_eq!(
                tokenizer.render(&messages, prompt).unwrap(),
                case["text"].as_str().unwrap()
            );
            assert_eq!(
                tokenizer.encode_messages(&messages, prompt).unwrap(),
                ids(&case["ids"])
            );
        }
    }
}

#[test]
fn special_tokens_are_found_by_name() {
    for tokenizer in tokenizers() {
        for (piece, id) in expected()["special"].as_object().unwrap() {
            assert_eq!(
                u64::from(tokenizer.id(piece).unwrap()),
                id.as_u64().unwrap()
            );
        }
        assert_eq!(Some(tokenizer.bos()), tokenizer.id("<bos>"));
        assert_eq!(tokenizer.end_of_turn(), tokenizer.id("<end_of_turn>"));
        assert_eq!(tokenizer.id("no such piece"), None);
    }
}

#[test]
fn exactly_one_bos_stands_in_front() {
    let [tokenizer, _] = tokenizers();
    let once = tokenizer.encode_text("Oslo").unwrap();
    assert_eq!(once.iter().filter(|id| **id == tokenizer.bos()).count(), 1);
    assert_eq!(tokenizer.encode_text("<bos>Oslo").unwrap(), once);
    assert_eq!(tokenizer.encode_text("<bos><bos>Oslo").unwrap(), once);
}

#[test]
fn template_tokens_are_those_of_the_reference() {
    let [tokenizer, _] = tokenizers();
    let ids = ids(&expected()["conversations"][1]["ids"]);
    let mask: Vec<u32> = common::ids(&expected()["ctrl_mask_c1"]);
    let kinds = tokenizer.kinds(&ids);
    assert_eq!(kinds[0], TokenKind::Bos);
    for (i, (kind, template)) in kinds.iter().zip(&mask).enumerate() {
        assert_eq!(*kind == TokenKind::Template, *template == 1, "token {i}");
    }
}

#[test]
fn template_tokens_in_texts_and_at_cut_ends() {
    use TokenKind::{Bos, Content, Template};
    let [tokenizer, _] = tokenizers();
    let kinds = |text: &str| tokenizer.kinds(&tokenizer.encode_text(text).unwrap());
    assert_eq!(
        kinds("<start_of_turn>user\nhi<end_of_turn>\n"),
        [
            Bos, Template, Template, Template, Content, Content, Template, Template
        ]
    );
    // One token after the end of a turn, whatever it is; nothing after the sequence's end.
    assert_eq!(kinds("<end_of_turn>hi"), [Bos, Template, Template, Content]);
    assert_eq!(kinds("hi<end_of_turn>"), [Bos, Content, Content, Template]);
    assert_eq!(kinds("<start_of_turn>user"), [Bos, Template, Template]);
    assert_eq!(kinds("hi"), [Bos, Content, Content]);
    assert_eq!(tokenizer.kinds(&[]), []);
}

#[test]
fn roles_cover_the_contents_of_turns_and_the_answer_s_end() {
    let [tokenizer, _] = tokenizers();
    let turns = [
        message("user", "Is it true?"),
        message("assistant", "No."),
        message("user", "Oh."),
        message("assistant", "Oslo is."),
    ];
    let ids = tokenizer.encode_messages(&turns, false).unwrap();
    let roles = tokenizer.roles(&ids);
    let words = |wanted: Role| -> String {
        let pairs = ids.iter().zip(&roles);
        pairs
            .filter(|(_, role)| **role == wanted)
            .map(|(id, _)| tokenizer.text(*id))
            .collect()
    };
    assert_eq!(words(Role::User), "Is it true?Oh.");
    assert_eq!(
        words(Role::Assistant),
        "No.<end_of_turn>Oslo is.<end_of_turn>"
    );
    // Nothing but the answers' ends is both template and somebody's words.
    for (kind, role) in tokenizer.kinds(&ids).iter().zip(&roles) {
        assert_eq!(
            *role == Role::User,
            *kind == TokenKind::Content && *role != Role::Assistant
        );
    }
}

#[test]
fn roles_in_texts_and_at_cut_ends() {
    use Role::{Assistant, None, User};
    // "model" is two tokens of this vocabulary.
    let [tokenizer, _] = tokenizers();
    let roles = |text: &str| tokenizer.roles(&tokenizer.encode_text(text).unwrap());
    assert_eq!(roles("hi"), [None, None, None]);
    assert_eq!(
        roles("<start_of_turn>user\nhi"),
        [None, None, None, None, User, User]
    );
    assert_eq!(
        roles("<start_of_turn>model\nhi<end_of_turn>\nhi"),
        [
            None, None, None, None, None, Assistant, Assistant, Assistant, None, None, None
        ]
    );
    // A turn that the next one interrupts, and an end of turn inside a header.
    assert_eq!(
        roles("<start_of_turn>model\nhi<start_of_turn><end_of_turn>user"),
        [
            None, None, None, None, None, Assistant, Assistant, None, None, None
        ]
    );
    assert_eq!(tokenizer.roles(&[]), []);
}

#[test]
fn display_text_of_single_tokens() {
    let [tokenizer, _] = tokenizers();
    let text = |piece: &str| tokenizer.text(tokenizer.id(piece).unwrap());
    assert_eq!(text("at\u{2581}is\u{2581}"), "at is ");
    assert_eq!(text("<0xE4>"), "<0xE4>");
    assert_eq!(text("<bos>"), "<bos>");
    assert_eq!(tokenizer.text(100_000), "<id 100000>");
}

#[test]
fn roles_that_a_template_refuses() {
    for tokenizer in tokenizers() {
        let render = |messages: &[Message]| tokenizer.render(messages, true);
        assert!(matches!(
            render(&[message("tool", "x")]),
            Err(Error::Role { index: 0, .. })
        ));
        let error = render(&[message("user", "a"), message("bot", "b")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("message 1") && error.contains("\"bot\""),
            "{error}"
        );
        let error = render(&[message("system", "x"), message("user", "a")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("System role not supported"), "{error}");
        let error = render(&[message("user", "a"), message("user", "b")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("must alternate"), "{error}");
        assert!(matches!(
            render(&[message("assistant", "a")]),
            Err(Error::Template(_))
        ));
        assert!(matches!(render(&[]), Err(Error::Template(_))));
    }
}

#[test]
fn a_template_file_goes_before_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixtures().join("chat").join(file), dir.path().join(file)).unwrap();
    }
    let own =
        "{{ bos_token }}{%- for m in messages %}\n    [{{ m.content.strip() }}]\n{%- endfor %}";
    std::fs::write(dir.path().join("chat_template.jinja"), own).unwrap();
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    assert_eq!(tokenizer.template_source(), own);
    let rendered = tokenizer.render(&[message("user", " a ")], false).unwrap();
    // The newline after a block goes, as in Python.
    assert_eq!(rendered, "<bos>    [a]");
    std::fs::write(dir.path().join("chat_template.jinja"), "{% for %}").unwrap();
    let error = Tokenizer::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("chat_template.jinja") && error.contains("does not compile"),
        "{error}"
    );
}

/// The id of a byte's piece.
fn byte(tokenizer: &Tokenizer, byte: u8) -> u32 {
    tokenizer.id(&format!("<0x{byte:02X}>")).unwrap()
}

#[test]
fn a_stream_never_splits_a_character() {
    let [tokenizer, _] = tokenizers();
    let text = "caf\u{e9} \u{4e16}\u{754c} \u{1f512}\u{1f469}\u{200d}\u{1f52c} na\u{ef}ve\n";
    let ids = tokenizer.encode_text(text).unwrap();
    let mut stream = tokenizer.stream_decoder();
    let pieces: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect();
    assert_eq!(stream.finish(), "");
    assert_eq!(pieces.concat(), text);
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
    // The bytes of the lock come as three empty pieces and a whole character.
    let lock: Vec<&str> = ["\u{1f512}".as_bytes()]
        .concat()
        .iter()
        .map(|b| {
            pieces[ids
                .iter()
                .position(|id| *id == byte(&tokenizer, *b))
                .unwrap()]
            .as_str()
        })
        .collect();
    assert_eq!(lock.last(), Some(&"\u{1f512}"));
    assert_eq!(tokenizer.decode(&ids), text);
}

#[test]
fn a_stream_replaces_bytes_that_belong_to_no_character() {
    let [tokenizer, _] = tokenizers();
    let b = |value| byte(&tokenizer, value);
    let hi = tokenizer.encode_text("hi").unwrap();
    let mut stream = tokenizer.stream_decoder();
    assert_eq!(stream.push(b(0xE4)), "");
    assert_eq!(stream.push(b(0xB8)), "");
    assert_eq!(stream.push(hi[1]), "\u{fffd}h");
    assert_eq!(stream.push(b(0xFF)), "\u{fffd}");
    assert_eq!(stream.push(b(0xE4)), "");
    assert_eq!(stream.push(b(0xE4)), "\u{fffd}");
    assert_eq!(stream.push(b(0xB8)), "");
    assert_eq!(stream.push(b(0x96)), "\u{4e16}");
    assert_eq!(stream.push(b(0xF0)), "");
    assert_eq!(stream.finish(), "\u{fffd}");
    assert_eq!(stream.finish(), "");
    assert_eq!(stream.push(tokenizer.bos()), "");
}

#[test]
fn greedy_sampling_takes_the_lowest_of_equals() {
    let logits = [0.5, 2.0, f32::NAN, 2.0, -1.0];
    assert_eq!(Sampler::new(0.0, 1.0, 0, 9).sample(&logits).unwrap().0, 1);
    assert!(Sampler::new(0.0, 1.0, 0, 9).sample(&[]).is_err());
    assert!(Sampler::new(1.0, 1.0, 0, 9).sample(&logits).is_err());
}

#[test]
fn sampling_is_seeded_and_follows_the_distribution() {
    let logits = [0.0, 1.0, 2.0, -30.0];
    let draw = |seed, temperature, top_p| {
        let mut sampler = Sampler::new(temperature, top_p, 0, seed);
        (0..4000)
            .map(|_| sampler.sample(&logits).unwrap().0)
            .collect::<Vec<_>>()
    };
    let first = draw(3, 1.0, 1.0);
    assert_eq!(first, draw(3, 1.0, 1.0));
    assert_ne!(first, draw(4, 1.0, 1.0));
    // Links carry seeds: a library that draws otherwise would change what they show.
    assert_eq!(first[..12], [2, 1, 2, 2, 1, 1, 2, 2, 2, 1, 1, 2]);
    let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    for (id, logit) in logits.iter().enumerate() {
        let share = first.iter().filter(|drawn| **drawn as usize == id).count() as f64 / 4000.0;
        assert!(
            (share - f64::from(*logit).exp() / total).abs() < 0.03,
            "{id}: {share}"
        );
    }
    // p = 0.665, 0.245, 0.090: the first reaches 0.6 alone, two are needed for 0.7.
    assert!(draw(3, 1.0, 0.6).iter().all(|id| *id == 2));
    let two = draw(3, 1.0, 0.7);
    assert!(two.iter().all(|id| *id == 1 || *id == 2) && two.contains(&1));
    // The share to reach is one of all tokens, those that are not kept included.
    let few = |top_k, top_p| -> Vec<u32> {
        let mut sampler = Sampler::new(1.0, top_p, top_k, 3);
        (0..400)
            .map(|_| sampler.sample(&logits).unwrap().0)
            .collect()
    };
    assert!(few(1, 1.0).iter().all(|id| *id == 2));
    assert!(few(2, 1.0).iter().all(|id| *id > 0) && few(2, 1.0).contains(&1));
    assert!(few(2, 0.6).iter().all(|id| *id == 2) && few(2, 0.7).contains(&1));
    assert!(few(3, 1.0).contains(&0));
    // A low temperature is nearly greedy.
    assert!(draw(3, 0.05, 1.0).iter().all(|id| *id == 2));
}

#[test]
fn logprobs_are_those_before_temperature() {
    let logits = [0.0f32, 1.0, 2.0];
    let normaliser = logits.iter().map(|x| x.exp()).sum::<f32>().ln();
    for temperature in [0.0, 0.3, 2.0] {
        let mut sampler = Sampler::new(temperature, 0.8, 0, 1);
        for _ in 0..20 {
            let (id, logprob) = sampler.sample(&logits).unwrap();
            assert!((logprob - (logits[id as usize] - normaliser)).abs() < 1e-6);
        }
    }
}
