//! Corpora of every format, their shares, and what cannot be collected.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use common::{Study, WIDTH, collect_options, documents, fixtures, sequences, study};
use pipeline::{CollectOptions, InitOptions, ModelRef, Progress, Silent, collect, init};

/// Keeps what is said.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Progress for Listener {
    fn start(&self, _: &str, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, sentence: &str) {
        self.0.lock().unwrap().push(sentence.to_string());
    }
}

fn message(options: &CollectOptions) -> String {
    collect(options, &Silent).unwrap_err().to_string()
}

fn contents(study: &Study) -> serde_json::Value {
    let text = fs::read_to_string(study.path.join("activations/manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Tokens of every corpus.
fn tokens(study: &Study) -> Vec<u64> {
    let contents = contents(study);
    let mut tokens = vec![0; contents["identity"]["corpora"].as_array().unwrap().len()];
    for shard in contents["shards"].as_array().unwrap() {
        tokens[shard["corpus"].as_u64().unwrap() as usize] += shard["tokens"].as_u64().unwrap();
    }
    tokens
}

fn parquet(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

#[test]
fn parquet_is_collected_as_json_lines_are() {
    let study = study();
    let lines = study.corpus.with_file_name("same.jsonl");
    fs::write(
        &lines,
        "{\"text\": \"The owl eats.\", \"source\": \"a\"}\n{\"text\": \"Lima is in Peru.\"}\n{\"text\": \"Norway likes sushi.\"}\n\
         {\"conversation\": [{\"role\": \"user\", \"content\": \"Is it true that Peru is a lock?\"}, {\"role\": \"assistant\", \"content\": \"No.\"}]}\n\
         {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Hello, the owl.\"}]}\n",
    )
    .unwrap();
    let collected = |corpora: Vec<PathBuf>| {
        let options = CollectOptions {
            corpora,
            force: true,
            ..collect_options(&study)
        };
        let summary = collect(&options, &Silent).unwrap();
        let rows: Vec<_> = sequences(&study.path)
            .into_iter()
            .map(|s| (s.tokens, s.kinds, s.roles, s.activations))
            .collect();
        (summary.empty, rows)
    };
    let (none, expected) = collected(vec![lines]);
    let (empty, found) = collected(vec![
        parquet("web.parquet"),
        parquet("chat.parquet#conversation"),
    ]);
    assert_eq!(
        (none, empty),
        (0, 3),
        "null, an empty text, an empty conversation"
    );
    assert!(found == expected);
    assert_eq!(
        contents(&study)["identity"]["corpora"][1]["field"],
        "conversation"
    );
}

#[test]
fn tokens_are_divided_by_shares() {
    let study = study();
    let [a, b] = ["a.jsonl", "b.jsonl"].map(|name| study.corpus.with_file_name(name));
    fs::write(&a, documents(90)).unwrap();
    fs::write(&b, documents(90)).unwrap();
    let options = CollectOptions {
        corpora: vec![a.clone(), b.clone()],
        shares: vec![1, 1],
        tokens: 1000,
        ..collect_options(&study)
    };
    collect(&options, &Silent).unwrap();
    let equal = tokens(&study);
    assert_eq!(equal[0], equal[1]);
    assert!((450..=500).contains(&equal[0]), "{equal:?}");
    let shares = |shares: Vec<u32>, tokens: u64| CollectOptions {
        shares,
        tokens,
        force: true,
        ..options.clone()
    };
    collect(&shares(vec![3, 1], 1000), &Silent).unwrap();
    let uneven = tokens(&study);
    assert!(
        (700..=750).contains(&uneven[0]) && (200..=250).contains(&uneven[1]),
        "{uneven:?}"
    );
    // Without shares the first corpus takes what it can.
    collect(&shares(Vec::new(), 1000), &Silent).unwrap();
    assert_eq!(tokens(&study)[1], 0);

    let listener = Listener::default();
    collect(&shares(vec![1, 1], 1_000_000), &listener).unwrap();
    let said = listener.0.lock().unwrap().join("\n");
    assert!(
        said.contains("b.jsonl ended after") && said.contains("500000"),
        "{said}"
    );
    assert!(
        said.contains("take") && said.contains("free there"),
        "{said}"
    );

    for (given, part) in [(vec![1], "2 corpora"), (vec![1, 0], "has a 0")] {
        let refused = message(&shares(given, 1000));
        assert!(refused.contains(part), "{refused}");
    }
    let refused = message(&shares(vec![1000, 1], 1000));
    assert!(refused.contains("b.jsonl gives no tokens"), "{refused}");
    fs::write(&b, "{\"text\": \" \"}\n").unwrap();
    let refused = message(&shares(vec![1, 1], 1000));
    assert!(refused.contains("b.jsonl gives no tokens"), "{refused}");
}

#[test]
fn the_first_tokens_are_read_and_not_stored() {
    let study = study();
    collect(&collect_options(&study), &Silent).unwrap();
    let all = sequences(&study.path);
    let mut lengths: Vec<usize> = all.iter().map(|s| s.tokens.len()).collect();
    lengths.sort_unstable();
    let skip = lengths[30];
    let options = CollectOptions {
        skip_first: skip,
        force: true,
        ..collect_options(&study)
    };
    let summary = collect(&options, &Silent).unwrap();
    let longer: Vec<_> = all.iter().filter(|s| s.tokens.len() > skip).collect();
    assert!(longer.len() < all.len(), "some sequences are too short");
    assert_eq!(summary.empty as usize, all.len() - longer.len());
    let found = sequences(&study.path);
    assert_eq!(found.len(), longer.len());
    for (found, whole) in found.iter().zip(longer) {
        assert_eq!(found.tokens, whole.tokens[skip..]);
        assert_eq!(found.kinds, whole.kinds[skip..]);
        assert_eq!(found.roles, whole.roles[skip..]);
        assert!(found.activations == whole.activations[skip * 2 * WIDTH..]);
    }
    let refused = message(&CollectOptions {
        context: skip,
        ..options
    });
    let expected = format!("--context is {skip}, expected at least {}", skip + 2);
    assert!(refused.contains(&expected), "{refused}");
}

/// A copy of the reference pair that a test may damage, and a study of it.
fn own_pair() -> (tempfile::TempDir, Study) {
    let folder = tempfile::tempdir().unwrap();
    for model in ["base", "chat"] {
        fs::create_dir(folder.path().join(model)).unwrap();
        for file in fs::read_dir(fixtures().join(model)).unwrap() {
            let file = file.unwrap();
            let target = folder.path().join(model).join(file.file_name());
            fs::write(target, fs::read(file.path()).unwrap()).unwrap();
        }
    }
    let study = study();
    let options = InitOptions {
        base: ModelRef::folder(folder.path().join("base")),
        chat: ModelRef::folder(folder.path().join("chat")),
        force: true,
        ..common::init_options(&study.path)
    };
    init(&options).unwrap();
    (folder, study)
}

#[test]
fn tokenizers_that_differ_are_named() {
    let (folder, study) = own_pair();
    let path = folder.path().join("base/tokenizer.json");
    let text = fs::read_to_string(&path).unwrap();
    let original: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Other spaces between the same values are no difference.
    fs::write(&path, serde_json::to_string(&original).unwrap()).unwrap();
    collect(&collect_options(&study), &Silent).unwrap();

    let refused = |change: &dyn Fn(&mut serde_json::Value), parts: &[&str]| {
        let mut changed = original.clone();
        change(&mut changed);
        fs::write(&path, changed.to_string()).unwrap();
        let message = message(&collect_options(&study));
        for part in parts
            .iter()
            .chain(&["base/tokenizer.json", "tokenizers differ"])
        {
            assert!(message.contains(part), "{message}");
        }
    };
    refused(
        &|t| t["model"]["merges"].as_array_mut().unwrap().truncate(5),
        &["model.merges[5]", "absent"],
    );
    refused(
        &|t| t["normalizer"] = serde_json::Value::Null,
        &["normalizer"],
    );
    refused(
        &|t| t["added_tokens"][0]["content"] = "<other>".into(),
        &["added_tokens.", "<other>"],
    );
}

#[test]
fn an_activation_that_is_not_a_number_is_traced() {
    let (folder, study) = own_pair();
    let path = folder.path().join("base/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let (header, _) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let dtype = {
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.tensor("model.embed_tokens.weight").unwrap().dtype()
    };
    let table = safetensors::SafeTensors::read_metadata(&bytes).unwrap().1;
    let place = table
        .info("model.embed_tokens.weight")
        .unwrap()
        .data_offsets;
    let tokenizer = gemma::Tokenizer::open(folder.path().join("chat")).unwrap();
    let ids = tokenizer.encode_text("Lima is in Peru.").unwrap();
    let (width, last) = (WIDTH, *ids.last().unwrap() as usize);
    let size = match dtype {
        safetensors::Dtype::F32 => 4,
        _ => 2,
    };
    let start = header + 8 + place.0 + last * width * size;
    // The largest numbers: finite weights, but too large once the embedding is scaled.
    bytes[start..start + size].fill(0x7f);
    fs::write(&path, bytes).unwrap();
    fs::write(&study.corpus, "{\"text\": \"Lima is in Peru.\"}\n").unwrap();
    let refused = message(&collect_options(&study));
    let position = ids.iter().position(|id| *id as usize == last).unwrap();
    for part in ["line 1", "base model", &format!("token {position}"), "NaN"] {
        assert!(refused.contains(part), "{refused}");
    }
}

/// `/dev/full` answers every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_what_is_finished() {
    let (whole, small) = (study(), study());
    fs::copy(&whole.corpus, &small.corpus).unwrap();
    collect(&collect_options(&whole), &Silent).unwrap();
    let names = |study: &Study| -> Vec<String> {
        common::shards(&study.path)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    let expected = names(&whole);
    let folder = small.path.join("activations");
    fs::create_dir(&folder).unwrap();
    let full = folder.join(format!("{}.tmp", expected[2]));
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let refused = message(&collect_options(&small));
    assert!(
        refused.contains(&expected[2]) && refused.contains("make room"),
        "{refused}"
    );
    assert_eq!(names(&small), expected[..2]);
    let summary = collect(&collect_options(&small), &Silent).unwrap();
    assert_eq!(summary.resumed, 2);
    for name in &expected {
        let read = |study: &Study| fs::read(study.path.join("activations").join(name)).unwrap();
        assert!(read(&whole) == read(&small), "{name}");
    }
}
