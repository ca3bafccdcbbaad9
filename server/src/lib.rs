//! The HTTP server: routes, limits, problems, streams and the explorer's files. The only crate that knows HTTP.
//!
//! [`serve`] checks a study, listens, and ends on SIGTERM or Ctrl-C. [`App::open`] and [`router`] are its two halves, for tests and
//! for programs that bring their own listener. The modules of [`routes`](crate) mirror the addresses.

mod app;
mod caching;
mod error;
mod extract;
mod hosting;
mod metrics;
mod openapi;
mod options;
mod pages;
mod problem;
mod router;
mod routes;
mod runs;
mod security;
mod serve;
mod site;
mod study;
mod transcript;

pub use api::{ActivationsRequest, LatentSet, Message, Prompt};
pub use app::App;
pub use engine::{DeviceChoice, Limits, Plan, Precision, Size, WeightChoice};
pub use error::{Error, Result};
pub use hosting::{address::PublicUrl, clients::ClientLimits};
pub use openapi::document as openapi_document;
pub use options::Options;
pub use router::router;
pub use serve::{Started, activations_once, serve};
pub use study::plan;
