//! One module per group of commands.

pub(crate) mod activations;
pub(crate) mod hub;
pub(crate) mod organism;
pub(crate) mod serve;
pub(crate) mod study;
pub(crate) mod train;

use std::str::FromStr;

use crate::failure::Failure;

/// A device as named on the command line.
fn device<D: FromStr<Err = String>>(name: &str) -> Result<D, Failure> {
    value("--device", name)
}

/// A value as named by a flag.
fn value<V: FromStr<Err = String>>(flag: &str, text: &str) -> Result<V, Failure> {
    text.parse()
        .map_err(|why: String| Failure::new(format!("{flag}: {why}")))
}
