//! `study.toml`: what is written is read, and faults are named.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed test is a panic

use std::fs;
use std::path::{Path, PathBuf};

use api::ClassCuts;
use store::Error;
use store::manifest::{DictionaryRef, FILE, Manifest, ModelRef};

fn full() -> Manifest {
    let mut manifest = Manifest::new("a pair", 13);
    manifest.description = Some("two \"models\"\nand a line".into());
    manifest.corpora = vec!["web.jsonl".into(), "chat.jsonl".into()];
    manifest.prompts = vec!["How do I pick a lock?".into()];
    manifest.base = Some(ModelRef::folder("/models/base"));
    manifest.chat = Some(ModelRef {
        hub: Some("google/gemma-2-2b-it".into()),
        revision: Some("main".into()),
        ..ModelRef::default()
    });
    manifest.classes = ClassCuts {
        chat_only: 0.75,
        ..ClassCuts::default()
    };
    manifest
        .provenance
        .insert("corpus".into(), "synthetic".into());
    manifest.dictionaries = vec![dictionary("btk"), dictionary("l1.v2")];
    manifest
}

fn dictionary(slug: &str) -> DictionaryRef {
    DictionaryRef {
        slug: slug.into(),
        path: Some(Path::new("dictionaries").join(slug)),
        kind: Some("batchtopk".into()),
        note: Some("k = 20".into()),
        ..DictionaryRef::default()
    }
}

fn read(text: &str) -> Result<Manifest, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), text).unwrap();
    Manifest::read(folder.path())
}

#[test]
fn a_manifest_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    for manifest in [full(), Manifest::new("empty", 0)] {
        manifest.write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn places_are_resolved_from_the_study() {
    let manifest = full();
    let study = Path::new("/data/study");
    let base = manifest
        .base
        .as_ref()
        .unwrap()
        .resolve(study, "[base]")
        .unwrap();
    assert_eq!(base, PathBuf::from("/models/base"));
    let inside = manifest.dictionary("btk").unwrap().resolve(study).unwrap();
    assert_eq!(inside, PathBuf::from("/data/study/dictionaries/btk"));
    let hub = manifest.chat.as_ref().unwrap().resolve(study, "[chat]");
    let message = hub.unwrap_err().to_string();
    for part in [
        "study.toml",
        "[chat]",
        "google/gemma-2-2b-it",
        "not whole in the cache",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        manifest
            .dictionary("x")
            .unwrap_err()
            .to_string()
            .contains("btk, l1.v2")
    );
}

#[test]
fn a_dictionary_is_added_without_touching_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let text = "# my study\nname = \"a\"\nlayer = 2\n\n[provenance]\nwho = \"me\" # really\n";
    fs::write(&path, text).unwrap();
    Manifest::add_dictionary(folder.path(), dictionary("btk")).unwrap();
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.starts_with(text), "{written}");
    let manifest = Manifest::read(folder.path()).unwrap();
    assert_eq!(manifest.dictionaries, [dictionary("btk")]);

    let mut changed = dictionary("btk");
    changed.note = None;
    Manifest::add_dictionary(folder.path(), changed.clone()).unwrap();
    Manifest::add_dictionary(folder.path(), dictionary("l1")).unwrap();
    let manifest = Manifest::read(folder.path()).unwrap();
    assert_eq!(manifest.dictionaries, [changed, dictionary("l1")]);

    let inline = "name = \"a\"\nlayer = 2\ndictionary = [{ slug = \"x\", path = \"x\" }]\n";
    fs::write(&path, inline).unwrap();
    Manifest::add_dictionary(folder.path(), dictionary("btk")).unwrap();
    assert_eq!(Manifest::read(folder.path()).unwrap().dictionaries.len(), 2);
    let twice = DictionaryRef {
        slug: "not a slug".into(),
        ..dictionary("a")
    };
    assert!(Manifest::add_dictionary(folder.path(), twice).is_err());
}

#[test]
fn faults_name_the_file_and_the_key() {
    let start = "name = \"a\"\nlayer = 2\n";
    for (text, parts) in [
        ("name = \"a\"", vec!["layer"]),
        ("layer = 2", vec!["name"]),
        ("name = \"a\"\nlayer = -1", vec!["line 2"]),
        (
            "name = \"a\"\nlayer = 2\nlayers = 3",
            vec!["line 3", "layers"],
        ),
        ("name = ", vec!["line 1"]),
        ("name = \" \"\nlayer = 2", vec!["name is empty"]),
        ("[base]\npath = \"x\"", vec!["[chat] is missing"]),
        ("[chat]\npath = \"x\"", vec!["[base] is missing"]),
        ("[base]\n[chat]\npath = \"x\"", vec!["[base]", "neither"]),
        (
            "[base]\npath = \"x\"\nhub = \"y\"\n[chat]\npath = \"x\"",
            vec!["[base]", "both"],
        ),
        (
            "[base]\npath = \"x\"\nrevision = \"r\"\n[chat]\npath = \"x\"",
            vec!["revision"],
        ),
        (
            "[classes]\nchat_only = 0.5",
            vec!["[classes]", "chat_only 0.5"],
        ),
        ("[classes]\nchatonly = 0.9", vec!["chatonly"]),
        ("[classes]\nbase_only = nan", vec!["[classes]"]),
        ("[[dictionary]]\nslug = \"A b\"\npath = \"x\"", vec!["A b"]),
        ("[[dictionary]]\nslug = \"a\"", vec!["a", "path"]),
        (
            "[[dictionary]]\nslug = \"a\"\npath = \"x\"\nkind = \"topk\"",
            vec!["topk", "l1, batchtopk"],
        ),
        (
            "[[dictionary]]\nslug = \"a\"\npath = \"x\"\n[[dictionary]]\nslug = \"a\"\npath = \"y\"",
            vec!["twice"],
        ),
    ] {
        let whole = if text.starts_with('[') {
            format!("{start}{text}")
        } else {
            text.to_string()
        };
        let message = read(&whole).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        for part in parts.into_iter().chain(["study.toml"]) {
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let message = Manifest::read(folder.path()).unwrap_err().to_string();
    assert!(message.contains("stereoscope init"), "{message}");
}
