//! The head of the explorer's page as one address has it: its place under a prefix, and the tags that make its preview.

use std::fmt::Write;

use axum::http::{HeaderMap, Uri, header};

use super::{early, previews};
use crate::App;

/// The page for an address.
pub(crate) async fn of(app: &App, page: &str, uri: &Uri, headers: &HeaderMap) -> String {
    let preview = previews::of(app, uri.path()).await;
    let public = app.public();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let (origin, prefix) = match public {
        Some(public) => (public.origin().to_owned(), public.prefix()),
        None => (format!("http://{}", host.unwrap_or("localhost")), ""),
    };
    let address = uri.path_and_query().map_or("/", |address| address.as_str());
    let mut tags = String::new();
    let pairs = [
        ("property=\"og:type\"", "website".into()),
        ("property=\"og:site_name\"", "Stereoscope".into()),
        ("property=\"og:title\"", preview.title.clone()),
        ("property=\"og:description\"", preview.description.clone()),
        ("property=\"og:url\"", format!("{origin}{prefix}{address}")),
        (
            "property=\"og:image\"",
            format!("{origin}{prefix}{}", preview.picture),
        ),
        ("name=\"twitter:card\"", "summary_large_image".into()),
        ("name=\"description\"", preview.description),
    ];
    for (name, content) in pairs {
        // Writing to a string cannot fail.
        let _ = write!(tags, "<meta {name} content=\"{}\">", escaped(&content));
    }
    tags += &early::links(uri.path(), uri.query());
    let title = format!("<title>{}</title>{tags}", escaped(&preview.title));
    let page = between(page, "<title>", "</title>", &title);
    // Relative addresses begin here; in the page as it was built, at the root.
    between(&page, "<base ", ">", &format!("<base href=\"{prefix}/\">"))
}

/// The text with what lies from `from` to the next `to`, both included, replaced.
fn between(text: &str, from: &str, to: &str, with: &str) -> String {
    let found = text.split_once(from).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(to)?;
        Some([before, with, after].concat())
    });
    found.unwrap_or_else(|| text.to_owned())
}

pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_is_replaced_and_a_page_without_it_stays() {
        assert_eq!(between("a<t>b</t>c", "<t>", "</t>", "X"), "aXc");
        assert_eq!(between("a<t>b", "<t>", "</t>", "X"), "a<t>b");
    }

    #[test]
    fn names_of_studies_cannot_leave_their_attribute() {
        assert_eq!(escaped("\"><script>&"), "&quot;&gt;&lt;script&gt;&amp;");
    }
}
