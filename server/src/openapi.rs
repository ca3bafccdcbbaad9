//! The OpenAPI description, generated from the handlers and the wire types.

use utoipa::OpenApi;

use crate::routes::{
    activations, dictionaries, effects, explain, generate, healthz, metrics, readyz, runs, study,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Stereoscope",
        description = "What fine-tuning changed inside a language model. Numbers are never rounded; unknown values are null. Every 4xx and 5xx is application/problem+json.",
    ),
    paths(
        study::get,
        dictionaries::latents::get,
        dictionaries::latent::get,
        dictionaries::decoder::get,
        dictionaries::examples::get,
        dictionaries::export::get,
        dictionaries::columns::get,
        dictionaries::matches::get,
        dictionaries::scaling::get,
        dictionaries::effects::get,
        dictionaries::curves::get,
        dictionaries::truth::get,
        dictionaries::controls::get,
        activations::post,
        effects::post,
        explain::post,
        generate::post,
        runs::post,
        runs::get,
        runs::verify,
        healthz::get,
        readyz::get,
        metrics::get,
    ),
    components(schemas(
        api::MetaEvent,
        api::QueuedEvent,
        api::TokenEvent,
        api::DoneEvent,
        api::DoneReason,
        api::Problem,
        api::Class,
        api::Verdict,
    )),
    tags(
        (name = "study", description = "What is there"),
        (name = "latents", description = "Latents and their examples"),
        (name = "prompts", description = "Prompts through both models"),
        (name = "runs", description = "Saved runs"),
        (name = "server", description = "The server itself"),
    )
)]
struct Document;

/// The description of the interface.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
