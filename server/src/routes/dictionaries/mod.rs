//! `/api/v1/dictionaries/{dict}/…`

pub(crate) mod columns;
pub(crate) mod controls;
pub(crate) mod curves;
pub(crate) mod decoder;
pub(crate) mod effects;
pub(crate) mod examples;
pub(crate) mod export;
pub(crate) mod latent;
pub(crate) mod latents;
pub(crate) mod matches;
pub(crate) mod scaling;
pub(crate) mod truth;
