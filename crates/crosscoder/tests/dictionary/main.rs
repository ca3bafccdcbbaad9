//! Dictionaries as they are read and used: parity, exact cases, faults.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod bad_input;
mod common;
mod exact;
mod few;
mod parity;
mod resting;
