//! Entity tags of what the study's data alone decide, so that a client asks again and transfers nothing.

use std::fmt::Write;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use sha2::{Digest, Sha256};

use crate::App;

/// Tags successful answers with the study's revision and answers 304 when the client has that one.
///
/// The tag is weak, since an answer may be compressed or not. A handler that depends on more than the data sets its own.
pub(crate) async fn tag(State(app): State<App>, request: Request, next: Next) -> Response {
    let cacheable = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let mut response = next.run(request).await;
    if !cacheable || response.status() != StatusCode::OK {
        return response;
    }
    let headers = response.headers_mut();
    if !headers.contains_key(header::ETAG)
        && let Ok(tag) = HeaderValue::from_str(&etag(app.revision()))
    {
        headers.insert(header::ETAG, tag);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    unless_known(known.as_ref(), response)
}

/// The tag of answers that follow from `state` and this version of the program.
pub(crate) fn etag(state: &str) -> String {
    format!("W/\"{state}-{}\"", env!("CARGO_PKG_VERSION"))
}

/// The response, or 304 with its headers when `known` (If-None-Match) has its tag.
pub(crate) fn unless_known(known: Option<&HeaderValue>, response: Response) -> Response {
    let tag = response.headers().get(header::ETAG);
    let same = match (
        known.and_then(|k| k.to_str().ok()),
        tag.and_then(|t| t.to_str().ok()),
    ) {
        (Some(known), Some(tag)) => known
            .split(',')
            .map(str::trim)
            .any(|k| k == "*" || weak(k) == weak(tag)),
        _ => false,
    };
    if !same {
        return response;
    }
    let mut headers = HeaderMap::new();
    for name in [header::ETAG, header::CACHE_CONTROL] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

/// A short name of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}
