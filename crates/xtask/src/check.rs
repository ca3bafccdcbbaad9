//! `cargo check-all`: format, lints, and every test, with the real program, the models and a browser.

use std::path::PathBuf;

use crate::build;
use crate::place::Place;
use crate::step::{Failure, command, run, skipped, step};
use crate::tools;

const WASM: &[&str] = &[
    "--profile",
    "wasm-release",
    "--target",
    "wasm32-unknown-unknown",
];

pub(crate) fn all(place: &Place) -> Result<(), Failure> {
    step("checking the format", || {
        run(command(place, "cargo").args(["fmt", "--all", "--check"]))
    })?;
    let chromium = tools::chromium(place)?;
    let duckdb = build::all(place)?;
    let workspace = ["--release", "--workspace", "--exclude", "frontend"];
    step("linting", || {
        let mut clippy = command(place, "cargo");
        clippy
            .arg("clippy")
            .args(workspace)
            .arg("--all-targets")
            .args(duckdb.features());
        run(clippy.args(["--", "--deny", "warnings"]))
    })?;
    step("linting the explorer", || {
        let mut clippy = command(place, "cargo");
        run(clippy
            .args(["clippy", "--package", "frontend"])
            .args(WASM)
            .args(["--", "--deny", "warnings"]))
    })?;
    let nano = nano_study(place)?;
    step("testing the explorer's logic", || {
        run(command(place, "cargo").args(["test", "--release", "--package", "frontend", "--lib"]))
    })?;
    step("testing", || {
        let mut test = command(place, "cargo");
        test.arg("test")
            .args(workspace)
            .args(["--lib", "--bins", "--tests"])
            .args(duckdb.features());
        test.env("STEREOSCOPE_BIN", place.binary())
            .env("STEREOSCOPE_NANO_STUDY", &nano)
            .env("CHROME", chromium);
        run(&mut test)
    })?;
    println!("── all checks passed");
    Ok(())
}

/// Trains the small pair that the tests look at, unless it was trained by this very program.
fn nano_study(place: &Place) -> Result<PathBuf, Failure> {
    let name = "training the nano study (some minutes)";
    let folder = place.target.join("nano-study");
    let stamp = place.target.join("nano-study.program");
    let program = build::hash(&place.target, &[place.binary()])?;
    if folder.is_dir() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == program) {
        skipped(name, "already trained by this program");
        return Ok(folder);
    }
    step(name, || {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .map_err(|e| Failure(format!("{} cannot be removed: {e}", folder.display())))?;
        }
        run(command(place, place.binary())
            .args(["organism", "build"])
            .arg(&folder)
            .args(["--preset", "nano", "--seed", "0"]))?;
        std::fs::write(&stamp, program)
            .map_err(|e| Failure(format!("{} cannot be written: {e}", stamp.display())))
    })?;
    Ok(folder)
}
