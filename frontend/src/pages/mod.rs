//! One module per page.

pub(crate) mod lab;
pub(crate) mod latent;
pub(crate) mod latents;
pub(crate) mod method;
pub(crate) mod missing;
pub(crate) mod run;
pub(crate) mod study;
