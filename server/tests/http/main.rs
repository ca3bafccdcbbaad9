//! The interface over the reference checkpoints, without a socket; the modules are one kind of promise each.

mod common;
mod openapi;
mod problems;
mod routes;
mod startup;
