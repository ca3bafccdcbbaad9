//! The explorer's files, embedded in the program, and the page that stands in for them when they were not built.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::{App, caching, hosting::head, problem::Problem};

/// What Trunk built.
#[derive(RustEmbed)]
#[folder = "../dist"]
#[allow_missing = true]
struct Dist;

/// The pages, each with a program that routes itself: that of every address that is not a file, that of a dictionary's latents, that of
/// the lab and its saved runs, and that of two dictionaries compared.
const INDEX: &str = "index.html";
const LATENTS: &str = "latents.html";
const LAB: &str = "lab.html";
const COMPARE: &str = "compare.html";
const PAGES: [&str; 4] = [INDEX, LATENTS, LAB, COMPARE];

/// In place of an explorer that was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Stereoscope</title>\
<h1>The explorer is not inside this program</h1>\
<p>It was built without the browser part. Build it with <code>cargo xtask build</code> in the repository, or run <code>cargo demo</code>.</p>\
<p>The interface answers all the same: <a href=\"/api/v1/study\">the study</a>, <a href=\"/api/v1/openapi.json\">its description</a>.</p></html>";

/// Endings of files that a build may hold; a missing one is missing, not a page of the explorer.
const FILE_ENDINGS: &[&str] = &[
    "css",
    "html",
    "ico",
    "js",
    "json",
    "map",
    "png",
    "svg",
    "txt",
    "wasm",
    "webmanifest",
    "woff2",
];

/// Any address that no route has.
pub(crate) async fn fallback(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return Problem::unknown_route(path).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let problem = Problem::method_not_allowed(request.method().as_str(), path);
        let allow = [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
        return (allow, problem).into_response();
    }
    let headers = request.headers();
    let name = path.trim_start_matches('/');
    if !PAGES.contains(&name)
        && let Some(response) = find(name, headers)
    {
        return response;
    }
    if ending(name).is_some_and(|e| FILE_ENDINGS.contains(&e)) {
        return Problem::unknown_route(path).into_response();
    }
    let Some(page) = page(program(name)) else {
        return Html(NOT_BUILT).into_response();
    };
    let page = head::of(&app, &page, request.uri(), headers).await;
    let tag = caching::etag(&caching::digest(page.as_bytes()));
    let kept = [
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
    ];
    caching::unless_known(
        headers.get(header::IF_NONE_MATCH),
        (kept, Html(page)).into_response(),
    )
}

/// The page whose program shows a path. A program that is given another one's path asks for it again, so that both have to agree.
fn program(path: &str) -> &'static str {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        ["d", _] | ["d", _, "l", _] => LATENTS,
        ["lab"] | ["r", _] => LAB,
        ["compare"] => COMPARE,
        _ => INDEX,
    }
}

/// A file of the explorer as the client wants it: the copy compressed at build time (`name.br`) where there is one, else as it is.
fn find(name: &str, headers: &HeaderMap) -> Option<Response> {
    let file = Dist::get(name)?;
    let smaller = accepts_brotli(headers).then(|| Dist::get(&format!("{name}.br")));
    let response = match smaller.flatten() {
        Some(compressed) => serve(name, compressed, Some("br")),
        None => serve(name, file, None),
    };
    Some(caching::unless_known(
        headers.get(header::IF_NONE_MATCH),
        response,
    ))
}

/// Whether the client takes Brotli.
fn accepts_brotli(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| match coding.split_once(';') {
            None => coding.trim() == "br",
            Some((coding, quality)) => {
                let none = quality
                    .trim()
                    .strip_prefix("q=")
                    .and_then(|q| q.parse().ok());
                coding.trim() == "br" && none != Some(0.0)
            }
        })
}

fn page(name: &str) -> Option<String> {
    Dist::get(name).map(|file| String::from_utf8_lossy(&file.data).into_owned())
}

/// The texts of the explorer's pages, one after the other, as far as they were built.
pub(crate) fn pages() -> String {
    PAGES.into_iter().filter_map(page).collect()
}

fn serve(name: &str, file: EmbeddedFile, coding: Option<&'static str>) -> Response {
    let lasting = if is_hashed(name) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let tag = caching::etag(&caching::digest(&file.metadata.sha256_hash()));
    let mut response = (
        [
            (header::CONTENT_TYPE, media_type(name)),
            (header::CACHE_CONTROL, lasting),
            (header::VARY, "accept-encoding"),
        ],
        [(header::ETAG, tag)],
        file.data,
    )
        .into_response();
    if let Some(coding) = coding {
        let coding = HeaderValue::from_static(coding);
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, coding);
    }
    response
}

fn ending(name: &str) -> Option<&str> {
    let last = name.rsplit('/').next()?;
    last.rsplit_once('.').map(|(_, ending)| ending)
}

/// Whether a name carries a hash of its content, as Trunk's do: `name-0123456789abcdef.js`, `name-0123456789abcdef_bg.wasm`.
fn is_hashed(name: &str) -> bool {
    let hash = name.rsplit('/').next().unwrap_or_default();
    let hash = hash.split_once('-').map_or("", |_| {
        let tail = hash.rsplit_once('-').map_or("", |(_, tail)| tail);
        tail.split(['.', '_']).next().unwrap_or_default()
    });
    hash.len() >= 8 && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

fn media_type(name: &str) -> &'static str {
    match ending(name).unwrap_or_default() {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_hash_are_immutable() {
        for hashed in [
            "frontend-1a2b3c4d5e6f7890.js",
            "frontend-1a2b3c4d5e6f7890_bg.wasm",
            "stereo-scope-1a2b3c4d5e6f7890.css",
        ] {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for plain in [
            "index.html",
            "favicon.svg",
            "stereo-scope.css",
            "1a2b3c4d5e6f7890.js",
        ] {
            assert!(!is_hashed(plain), "{plain}");
        }
    }

    #[test]
    fn every_path_has_one_program() {
        for (path, expected) in [
            ("", INDEX),
            ("d/a", LATENTS),
            ("d/a/l/3", LATENTS),
            ("d/a/l", INDEX),
            ("d/", INDEX),
            ("lab", LAB),
            ("lab/", LAB),
            ("laboratory", INDEX),
            ("lab/more", INDEX),
            ("r/0a1b", LAB),
            ("r/", INDEX),
            ("compare", COMPARE),
            ("compare/more", INDEX),
        ] {
            assert_eq!(program(path), expected, "{path}");
        }
    }

    #[test]
    fn brotli_is_sent_to_who_asks() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=0.5", true),
            ("gzip, br;q=0", false),
            ("gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(accepts_brotli(&headers), expected, "{accepted}");
        }
    }

    #[test]
    fn endings_are_of_the_last_segment() {
        assert_eq!(ending("d/my.dict/l/3"), None);
        assert_eq!(ending("a/b.js"), Some("js"));
    }
}
