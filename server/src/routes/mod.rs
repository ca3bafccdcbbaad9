//! Handlers; the modules mirror the addresses.

pub(crate) mod activations;
pub(crate) mod dictionaries;
pub(crate) mod effects;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod healthz;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod readyz;
pub(crate) mod runs;
pub(crate) mod study;
