//! `cargo check-all`: format, lints, and every test, with the real program, the models and a browser.

use crate::build;
use crate::duckdb::DuckDb;
use crate::place::Place;
use crate::step::{Failure, command, run, step};
use crate::tools;

pub(crate) fn all(place: &Place) -> Result<(), Failure> {
    step("checking the format", || {
        run(command(place, "cargo").args(["fmt", "--all", "--check"]))
    })?;
    let duckdb = build::all(place)?;
    let chromium = tools::chromium(place)?;
    let features: &[&str] = if duckdb == DuckDb::Bundled {
        &["--features", "cli/bundled"]
    } else {
        &[]
    };
    step("linting", || {
        run(command(place, "cargo")
            .args([
                "clippy",
                "--release",
                "--workspace",
                "--exclude",
                "frontend",
                "--all-targets",
            ])
            .args(features)
            .args(["--", "--deny", "warnings"]))
    })?;
    step("linting the explorer", || {
        run(command(place, "cargo")
            .args([
                "clippy",
                "--profile",
                "wasm-release",
                "--package",
                "frontend",
                "--target",
                "wasm32-unknown-unknown",
            ])
            .args(["--", "--deny", "warnings"]))
    })?;
    let nano = place.target.join("nano-study");
    step("training the nano study (some minutes)", || {
        let _ = std::fs::remove_dir_all(&nano);
        run(command(place, place.binary())
            .args(["organism", "build"])
            .arg(&nano)
            .args(["--preset", "nano", "--seed", "1"]))
    })?;
    step("testing", || {
        run(command(place, "cargo")
            .args([
                "test",
                "--release",
                "--workspace",
                "--lib",
                "--bins",
                "--tests",
            ])
            .args(features)
            .env("STEREOSCOPE_BIN", place.binary())
            .env("STEREOSCOPE_NANO_STUDY", &nano)
            .env("CHROME", chromium))
    })?;
    println!("── all checks passed");
    Ok(())
}
