//! Reads a request's body, query and path; every failure is a problem.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::Problem;

/// Largest body accepted, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// Of a body that is too large, so much is read and thrown away, so that a client still sending hears the answer.
const MAX_DRAINED: usize = 16 << 20;

/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A JSON body: 415 without the content type, 413 over [`MAX_BODY`], 400 if it is not JSON, 422 if it is not a `T`.
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::unsupported_media_type());
        }
        let read = tokio::time::timeout(BODY_TIME, read(&parts.headers, body));
        let bytes = read.await.unwrap_or_else(|_| Err(Problem::slow_body()))?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // A client that waits for leave to send hears the answer without sending.
    if announced.is_some_and(|n| n > MAX_BODY) && headers.contains_key(header::EXPECT) {
        return Err(Problem::too_large(MAX_BODY));
    }
    let mut bytes = Vec::new();
    let mut size = 0;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| {
            Problem::malformed(format!("the body could not be read: {e}; send it again"))
        })?;
        size += chunk.len();
        if size <= MAX_BODY {
            bytes.extend_from_slice(&chunk);
        } else if size > MAX_DRAINED {
            break;
        }
    }
    if size > MAX_BODY {
        return Err(Problem::too_large(MAX_BODY));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Problem::malformed(format!("the body is not UTF-8: {e}")))?;
    // First whether it is JSON at all, then whether it is what the route takes: the two have different statuses.
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|e| Problem::malformed(format!("the body is not JSON: {e}")))?;
    serde_json::from_str(text)
        .map_err(|e| Problem::invalid(format!("the body is not what this route takes: {e}")))
}

/// The query's parameters in order.
pub(crate) struct Parameters(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        query
            .map(|Query(parameters)| Self(parameters))
            .map_err(|e| Problem::invalid(format!("the query cannot be read: {e}")))
    }
}

impl Parameters {
    /// The parameters as borrowed pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The value of each of `names`, in their order, and the other parameters; an empty value counts as absent.
    pub(crate) fn besides<const N: usize>(
        &self,
        names: [&str; N],
    ) -> ([Option<&str>; N], Vec<(&str, &str)>) {
        let value = |name: &str| {
            let given = self.pairs().filter(|(n, _)| *n == name).last();
            given
                .map(|(_, value)| value)
                .filter(|value| !value.is_empty())
        };
        let others = self.pairs().filter(|(name, _)| !names.contains(name));
        (names.map(value), others.collect())
    }

    /// The value of each of `names`, in their order; an empty one counts as absent, and of several the last counts.
    ///
    /// # Errors
    /// 422 for a parameter that is not among them.
    pub(crate) fn named<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<&str>; N], Problem> {
        let mut values = [None; N];
        for (name, value) in self.pairs() {
            let slot = names.iter().position(|n| *n == name);
            match slot.and_then(|at| values.get_mut(at)) {
                Some(slot) => *slot = Some(value).filter(|value| !value.is_empty()),
                None => {
                    return Err(Problem::invalid(format!(
                        "unknown parameter {name:?}; this route has {}",
                        if names.is_empty() {
                            "none".into()
                        } else {
                            names.join(", ")
                        }
                    )));
                }
            }
        }
        Ok(values)
    }
}

/// A latent's id as written in an address; what is not a number names no latent.
pub(crate) fn latent_id(dictionary: &str, text: &str) -> Result<u32, Problem> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Problem::unknown_latent(format!(
            "dictionary {dictionary:?} has no latent {text:?}; latents have the numbers from 0"
        ))
    })
}

/// The address's variable parts; one that cannot be read names nothing.
pub(crate) struct Segments<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value))
            .map_err(|_| Problem::unknown_route(parts.uri.path()))
    }
}
