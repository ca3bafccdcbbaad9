//! The interface over the reference checkpoints, without a socket; the modules are one kind of promise each.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers fail as the tests do

mod common;
mod curves;
mod effects;
mod openapi;
mod problems;
mod routes;
mod runs;
mod scaling;
mod startup;
mod truth;
