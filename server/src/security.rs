//! Headers that keep a browser from doing with the explorer what it never needs.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};

use crate::site;

/// Adds the headers to every answer.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| all(Framing::Refused));
    static EMBEDDED: LazyLock<HeaderMap> = LazyLock::new(|| all(Framing::Allowed));
    let headers = if is_embedded(&request) {
        &EMBEDDED
    } else {
        &HEADERS
    };
    let mut response = next.run(request).await;
    for (name, value) in headers.iter() {
        response
            .headers_mut()
            .entry(name)
            .or_insert_with(|| value.clone());
    }
    response
}

/// Whether other sites may show a page inside theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Refused,
    Allowed,
}

/// Whether a page of latents is asked for in the form made for other sites. Pages where a click saves something are never framed.
fn is_embedded(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.uri().path().starts_with("/d/") && query.split('&').any(|pair| pair == "embed=true")
}

fn all(framing: Framing) -> HeaderMap {
    let plain: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    let mut headers: HeaderMap = plain
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect();
    if framing == Framing::Refused {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    let policy = content_security_policy(&site::pages(), framing);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers
}

/// Everything from this server alone; inline scripts only those that the pages were built with, named by their hashes.
fn content_security_policy(page: &str, framing: Framing) -> String {
    let mut scripts = String::from("'self' 'wasm-unsafe-eval'");
    for script in inline_scripts(page) {
        let hash = base64(&Sha256::digest(script.as_bytes()));
        let _ = write!(scripts, " 'sha256-{hash}'");
    }
    let ancestors = match framing {
        Framing::Refused => "'none'",
        Framing::Allowed => "*",
    };
    format!(
        "default-src 'self'; script-src {scripts}; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {ancestors}"
    )
}

/// Contents of the page's script elements that have no source.
fn inline_scripts(page: &str) -> Vec<&str> {
    page.split("<script")
        .skip(1)
        .filter_map(|rest| {
            let (attributes, rest) = rest.split_once('>')?;
            let (content, _) = rest.split_once("</script>")?;
            let external = attributes
                .split_whitespace()
                .any(|attribute| attribute.starts_with("src="));
            (!external && !content.is_empty()).then_some(content)
        })
        .collect()
}

/// Base64 with padding, as hashes in a policy are written.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                let index = (word >> (18 - 6 * digit)) & 63;
                text.extend(DIGITS.get(index as usize).map(|b| char::from(*b)));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn inline_scripts_are_named_by_hash_and_others_left_to_self() {
        let page = "<script type=\"module\">alert(1)</script><script src=\"/a.js\"></script>";
        assert_eq!(inline_scripts(page), ["alert(1)"]);
        let policy = content_security_policy(page, Framing::Refused);
        assert_eq!(policy.matches("'sha256-").count(), 1);
        assert!(!policy.contains("unsafe-inline"));
        assert!(policy.contains("frame-ancestors 'none'"));
    }
}
