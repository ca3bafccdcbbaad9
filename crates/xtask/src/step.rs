//! Running one step: a line before, the time after, and a failure that names the step.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::place::Place;

/// Why a task ended early.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// Runs `work` between two lines that name the step and its time.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    println!("── {name}");
    let start = Instant::now();
    let result = work();
    println!(
        "── {name}: {} after {:.1} s",
        if result.is_ok() { "done" } else { "failed" },
        start.elapsed().as_secs_f64()
    );
    result
}

/// A line for a step that has nothing to do.
pub(crate) fn skipped(name: &str, why: &str) {
    println!("── {name}: {why}");
}

/// A command in the repository's root with the tools on its path and DuckDB's library known to the build.
pub(crate) fn command(place: &Place, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let mut path = vec![place.tools_bin()];
    if let Some(old) = std::env::var_os("PATH") {
        path.extend(std::env::split_paths(&old));
    }
    if let Ok(joined) = std::env::join_paths(path) {
        command.env("PATH", joined);
    }
    command.env("DUCKDB_LIB_DIR", crate::duckdb::folder(place));
    command.current_dir(&place.root);
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = describe(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("`{shown}` ended with {status}"))),
        Err(e) => Err(Failure(format!("`{shown}` could not be started: {e}"))),
    }
}

/// What a command prints, if it runs and succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| Path::new(word).display().to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
