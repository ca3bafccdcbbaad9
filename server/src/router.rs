//! Addresses and what surrounds every handler.

use std::any::Any;

use axum::{
    Router,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{DefaultPredicate, NotForContentType},
    },
    trace::TraceLayer,
};

use crate::{
    App, caching,
    hosting::{address::PublicUrl, clients, prefix, previews},
    metrics,
    problem::Problem,
    routes::{
        activations, dictionaries, effects, explain, generate, healthz, openapi, readyz, runs,
        study,
    },
    security, site,
};

/// The whole interface over an open study.
pub fn router(app: App) -> Router {
    // What follows from the study's data alone carries an entity tag.
    let data = Router::new()
        .route("/study", get(study::get))
        .route("/openapi.json", get(openapi::get))
        .route(
            "/dictionaries/{dict}/latents",
            get(dictionaries::latents::get),
        )
        .route(
            "/dictionaries/{dict}/latents/{id}",
            get(dictionaries::latent::get),
        )
        .route(
            "/dictionaries/{dict}/latents/{id}/decoder",
            get(dictionaries::decoder::get),
        )
        .route(
            "/dictionaries/{dict}/latents/{id}/examples",
            get(dictionaries::examples::get),
        )
        .route(
            "/dictionaries/{dict}/latents/export",
            get(dictionaries::export::get),
        )
        .route(
            "/dictionaries/{dict}/columns",
            get(dictionaries::columns::get),
        )
        .route(
            "/dictionaries/{dict}/matches",
            get(dictionaries::matches::get),
        )
        .route(
            "/dictionaries/{dict}/scaling",
            get(dictionaries::scaling::get),
        )
        .route(
            "/dictionaries/{dict}/effects",
            get(dictionaries::effects::get),
        )
        .route(
            "/dictionaries/{dict}/curves",
            get(dictionaries::curves::get),
        )
        .route("/dictionaries/{dict}/truth", get(dictionaries::truth::get))
        .route(
            "/dictionaries/{dict}/controls",
            get(dictionaries::controls::get),
        )
        .route_layer(from_fn_with_state(app.clone(), caching::tag));
    let prompts = Router::new()
        .route("/activations", post(activations::post))
        .route("/effects", post(effects::post))
        .route("/explain", post(explain::post))
        .route("/generate", post(generate::post));
    let runs = Router::new()
        .route("/runs", post(runs::post))
        .route("/runs/{id}", get(runs::get))
        .route("/runs/{id}/verify", post(runs::verify));
    let limited = prompts
        .merge(runs)
        .route_layer(from_fn_with_state(app.clients().clone(), clients::limit));
    let prefix = app.public().map_or("", PublicUrl::prefix).to_owned();
    let rooted = Router::new()
        .nest("/api/v1", data.merge(limited))
        .route("/healthz", get(healthz::get))
        .route("/readyz", get(readyz::get))
        .route("/metrics", get(crate::routes::metrics::get))
        .route("/previews/study.png", get(previews::study_picture))
        .route("/previews/{dict}/{id}", get(previews::latent_picture))
        .fallback(site::fallback)
        .method_not_allowed_fallback(wrong_method)
        // A page of 50 latents grows from 10.5 to 12.6 kB and takes half the processor time. Columns of floats do not shrink.
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(
                    DefaultPredicate::new()
                        .and(NotForContentType::const_new("application/octet-stream")),
                ),
        )
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(security::headers))
        .layer(from_fn_with_state(app.clone(), metrics::count))
        .layer(TraceLayer::new_for_http())
        .with_state(app);
    // Routes are looked up below this layer, so that it may change the address.
    Router::new()
        .fallback_service(rooted)
        .layer(from_fn_with_state(prefix, prefix::strip))
}

async fn wrong_method(request: Request) -> Problem {
    Problem::method_not_allowed(request.method().as_str(), request.uri().path())
}

#[allow(clippy::needless_pass_by_value)] // the layer's signature
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().copied();
    tracing::error!(message, "a handler panicked");
    Problem::internal("the server failed at this request; others are not touched").into_response()
}
