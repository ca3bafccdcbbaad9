//! What `build` and `report` refuse, before anything is trained.

use organism::{BuildOptions, Preset, ReportOptions, build, report};
use pipeline::{Manifest, Silent};

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("thesis.txt");
    std::fs::write(&file, "years of work").expect("a file");
    let options = BuildOptions {
        out: folder.path().to_owned(),
        preset: Preset::Nano,
        seed: 0,
    };
    let error = build(&options, &Silent)
        .expect_err("a folder in use")
        .to_string();
    assert!(
        error.contains("is not empty") && error.contains("another folder"),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("the file"),
        "years of work"
    );
    assert_eq!(
        std::fs::read_dir(folder.path())
            .expect("the folder")
            .count(),
        1
    );
}

#[test]
fn an_unfinished_build_goes_on_only_as_it_was_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".progress")).expect("a folder");
    std::fs::write(
        folder.path().join(".progress/plan.json"),
        r#"{"recipe": "another", "seed": 0}"#,
    )
    .expect("a file");
    let options = BuildOptions {
        out: folder.path().to_owned(),
        preset: Preset::Nano,
        seed: 0,
    };
    let error = build(&options, &Silent)
        .expect_err("another plan")
        .to_string();
    assert!(
        error.contains("unfinished build of another preset, seed or version"),
        "{error}"
    );
}

#[test]
fn reports_need_a_study_of_this_origin() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ReportOptions {
        study: folder.path().to_owned(),
    };
    assert!(report(&options, &Silent).is_err());

    let mut manifest = Manifest::new("a pair", 1);
    manifest.write(folder.path()).expect("a manifest");
    let error = report(&options, &Silent)
        .expect_err("no provenance")
        .to_string();
    assert!(
        error.contains("has no preset") && error.contains("organism build"),
        "{error}"
    );

    manifest
        .provenance
        .insert("preset".to_owned(), "huge".to_owned());
    manifest
        .provenance
        .insert("seed".to_owned(), "0".to_owned());
    manifest.write(folder.path()).expect("a manifest");
    let error = report(&options, &Silent)
        .expect_err("an unknown preset")
        .to_string();
    assert!(error.contains("\"huge\", expected nano or demo"), "{error}");

    manifest
        .provenance
        .insert("preset".to_owned(), "nano".to_owned());
    manifest
        .provenance
        .insert("seed".to_owned(), "-1".to_owned());
    manifest.write(folder.path()).expect("a manifest");
    let error = report(&options, &Silent).expect_err("no seed").to_string();
    assert!(error.contains("seed is not a whole number"), "{error}");

    manifest
        .provenance
        .insert("seed".to_owned(), "0".to_owned());
    manifest.write(folder.path()).expect("a manifest");
    let error = report(&options, &Silent)
        .expect_err("no models")
        .to_string();
    assert!(error.contains("[base] is missing"), "{error}");
}
