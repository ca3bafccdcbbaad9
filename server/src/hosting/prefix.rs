//! Serving under a path, whether or not the proxy in front takes the path away.

use axum::{
    extract::{Request, State},
    http::Uri,
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

/// Takes the prefix from the path; an address without it is served as it is, for health checks and proxies that took it away.
pub(crate) async fn strip(
    State(prefix): State<String>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(query) = bare(request.uri(), &prefix) {
        return Redirect::permanent(&format!("{prefix}/{query}")).into_response();
    }
    if let Some(uri) = without(request.uri(), &prefix) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// The query, with its question mark, of the prefix itself without a slash at its end, from which relative addresses would go astray.
fn bare(uri: &Uri, prefix: &str) -> Option<String> {
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    (!prefix.is_empty() && uri.path() == prefix).then_some(query)
}

fn without(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    if prefix.is_empty() || !rest.starts_with('/') {
        return None;
    }
    rest.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_are_taken_away() {
        for (from, to) in [
            ("/a/b", Some("/b")),
            ("/a/", Some("/")),
            ("/a/b?c=/a/d", Some("/b?c=/a/d")),
            ("/ab", None),
            ("/b/a/c", None),
        ] {
            let found = without(&from.parse().unwrap(), "/a");
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), to, "{from}");
        }
        assert_eq!(
            bare(&"/a?x=1".parse().unwrap(), "/a").as_deref(),
            Some("?x=1")
        );
        assert_eq!(bare(&"/a/".parse().unwrap(), "/a"), None);
        assert_eq!(bare(&"/".parse().unwrap(), ""), None);
    }
}
