//! What is compared: one case, and one repetition of one side.

use std::path::Path;

use serde_json::Value;

pub(crate) use harness::side::{Outcome, Task};

/// One comparison.
pub(crate) struct Case {
    /// What both sides do, as the table shows it.
    pub(crate) name: String,
    /// Names our side in this program and the other's script, `<task>.py`.
    pub(crate) task: &'static str,
    /// What both sides are told, besides `threads` and `folder`.
    pub(crate) setup: Value,
    /// Repetitions that count; one more goes before them.
    pub(crate) repetitions: usize,
    /// The ratio to reach.
    pub(crate) bar: f64,
    /// What the reader should know of the comparison.
    pub(crate) note: &'static str,
    /// Writes what both sides read into an empty folder.
    pub(crate) prepare: fn(&Value, &Path),
}

/// A whole number of the setup.
pub(crate) fn number(setup: &Value, key: &str) -> usize {
    let number = setup[key].as_u64();
    number.unwrap_or_else(|| panic!("the setup has no number {key}: {setup}")) as usize
}

/// The folder that `prepare` filled.
pub(crate) fn folder(setup: &Value) -> &Path {
    Path::new(setup["folder"].as_str().expect("a folder in the setup"))
}
