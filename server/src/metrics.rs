//! Counters of requests, and their text for Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use crate::App;

/// Requests answered, by method, route and status.
#[derive(Default)]
pub(crate) struct Requests(Mutex<BTreeMap<(String, String, u16), u64>>);

impl Requests {
    fn count(&self, method: &str, route: &str, status: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .entry((method.into(), route.into(), status))
            .or_default() += 1;
    }

    fn write(&self, text: &mut String) {
        head(text, "requests_total", "counter", "Requests answered.");
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((method, route, status), count) in counts.iter() {
            let _ = writeln!(
                text,
                "stereoscope_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
    }
}

/// Counts a request by its route's pattern, so that the number of series stays small.
pub(crate) async fn count(
    State(app): State<App>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    }
    .to_owned();
    let route = route.map_or_else(|| "other".to_owned(), |r| r.as_str().to_owned());
    let response = next.run(request).await;
    app.requests()
        .count(&method, &route, response.status().as_u16());
    response
}

/// The server's counters in Prometheus' text format.
pub(crate) fn text(app: &App) -> String {
    let mut text = String::new();
    app.requests().write(&mut text);
    let engine = app
        .engine()
        .map(engine::Engine::metrics)
        .unwrap_or_default();
    let plain = [
        (
            "queue_depth",
            "gauge",
            "Requests that wait for the models.",
            engine.queue_depth as u64,
        ),
        (
            "tokens_generated_total",
            "counter",
            "Tokens generated.",
            engine.tokens_generated,
        ),
        (
            "prefill_tokens_total",
            "counter",
            "Prompt tokens read for lanes that generate, once for lanes that read them alike.",
            engine.prefill_tokens,
        ),
        (
            "prompt_cache_hits_total",
            "counter",
            "Prompts, each by one model, that were found read or begun.",
            engine.kept.hits,
        ),
        (
            "prompt_cache_misses_total",
            "counter",
            "Prompts, each by one model, that were read from their beginning.",
            engine.kept.misses,
        ),
        (
            "prompt_cache_tokens_total",
            "counter",
            "Prompt tokens that were not read again.",
            engine.kept.tokens,
        ),
        (
            "prompt_cache_bytes",
            "gauge",
            "Bytes of the prompts that are kept.",
            engine.kept.bytes,
        ),
        (
            "failures_total",
            "counter",
            "Requests whose computation failed.",
            engine.failures,
        ),
        (
            "skipped_total",
            "counter",
            "Requests whose client left before they were served.",
            engine.skipped,
        ),
        (
            "ready",
            "gauge",
            "Whether prompts can be run.",
            u64::from(app.readiness().state == api::ReadyState::Ready),
        ),
    ];
    let seconds = [
        (
            "decode_seconds_total",
            "counter",
            "Seconds spent on generating tokens.",
            engine.decode_seconds,
        ),
        (
            "prefill_seconds_total",
            "counter",
            "Seconds spent on reading the prompts of generations.",
            engine.prefill_seconds,
        ),
        (
            "tokens_per_second",
            "gauge",
            "Tokens generated in a second of generating, since the start.",
            rate(engine.tokens_generated, engine.decode_seconds),
        ),
        (
            "prefill_tokens_per_second",
            "gauge",
            "Prompt tokens read in a second of reading, since the start.",
            rate(engine.prefill_tokens, engine.prefill_seconds),
        ),
    ];
    for (name, kind, help, value) in seconds {
        head(&mut text, name, kind, help);
        let _ = writeln!(text, "stereoscope_{name} {value}");
    }
    for (name, kind, help, value) in plain {
        head(&mut text, name, kind, help);
        let _ = writeln!(text, "stereoscope_{name} {value}");
    }
    let name = "resident_halves";
    let help = "Whether a half of a model is in memory; the base model's upper one is read at its first use.";
    head(&mut text, name, "gauge", help);
    for (model, halves) in ["base", "chat"].into_iter().zip(engine.resident) {
        for (half, there) in ["lower", "upper"].into_iter().zip(halves) {
            let there = u8::from(there);
            let _ = writeln!(
                text,
                "stereoscope_{name}{{model=\"{model}\",half=\"{half}\"}} {there}"
            );
        }
    }
    let name = "time_to_first_token_seconds";
    let help = "Time from a request's arrival to a lane's first token.";
    head(&mut text, name, "histogram", help);
    let mut total = 0;
    let bounds = engine::FIRST_TOKEN_BUCKETS
        .iter()
        .map(ToString::to_string)
        .chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(engine.first_token) {
        total += count;
        let _ = writeln!(text, "stereoscope_{name}_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(text, "stereoscope_{name}_sum {}", engine.first_token_sum);
    let _ = writeln!(text, "stereoscope_{name}_count {total}");
    text
}

/// Per second; 0 before the first.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP stereoscope_{name} {help}");
    let _ = writeln!(text, "# TYPE stereoscope_{name} {kind}");
}
