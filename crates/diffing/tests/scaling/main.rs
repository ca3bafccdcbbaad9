//! Latent Scaling against planted coefficients and direct computation.
#![allow(clippy::unwrap_used)] // a failed test is a panic

mod common;
mod groups;
mod planted;
mod recovery;
mod verification;
