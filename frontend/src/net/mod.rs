//! Talking to the server: requests, cancellation, problems, streams.

pub(crate) mod answer;
pub(crate) mod columns;
pub(crate) mod divergences;
pub(crate) mod early;
pub(crate) mod fault;
pub(crate) mod fetch;
pub(crate) mod json;
pub(crate) mod load;
pub(crate) mod notes;
pub(crate) mod request;
pub(crate) mod saved;
pub(crate) mod sse;
pub(crate) mod stream;
