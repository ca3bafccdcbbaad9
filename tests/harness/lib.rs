//! What the black-box tests share: the program under test, the nano study, a server to talk to, a browser to look with; and what the
//! benchmarks do: two sides as processes, and what they take of the machine.

mod browser;
mod disk;
mod hub;
pub mod machine;
mod server;
pub mod side;
mod study;

pub use browser::Browser;
pub use disk::SmallDisk;
pub use hub::{COMMIT, Hub, HubRequest};
pub use server::{Answer, Server, SseEvent};
pub use study::{copy_folder, demo_study, fixture_study, fixtures, nano_study};

use std::path::PathBuf;
use std::process::{Command, Output};

/// The release binary that `cargo check-all` built; a plain `cargo test` without one skips what needs it, and says so.
pub fn program() -> Option<PathBuf> {
    named("STEREOSCOPE_BIN")
}

/// The path in an environment variable that `cargo check-all` sets.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: {variable} is not set; `cargo check-all` sets it");
    }
    found
}

/// Runs the program to its end.
pub fn stereoscope(arguments: &[&str]) -> Option<Output> {
    let program = program()?;
    Some(
        Command::new(program)
            .args(arguments)
            .output()
            .expect("the program starts"),
    )
}

/// Standard output and error of a finished program, as one text.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
