//! What a page asks for as soon as its program runs, named in its head, so that answers and program arrive side by side.

use std::fmt::Write;

use api::{FIRST_COLUMNS, FIRST_ROWS};

/// The elements for a path and its query. What the program then asks otherwise is fetched once in vain, no more.
pub(super) fn links(path: &str, query: Option<&str>) -> String {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let mut routes = vec!["readyz".to_owned(), "api/v1/study".to_owned()];
    let of = |dict: &str, rest: &str| format!("api/v1/dictionaries/{dict}/{rest}");
    match (segments.as_slice(), query.unwrap_or_default()) {
        (["d", dict], "") => {
            routes.push(of(
                dict,
                &format!("columns?names={}", FIRST_COLUMNS.join(",")),
            ));
            routes.push(of(dict, &format!("latents?limit={FIRST_ROWS}")));
        }
        (["d", dict, "l", id], _) => {
            routes.push(of(dict, &format!("latents/{id}")));
            routes.push(of(dict, &format!("latents/{id}/examples")));
        }
        _ => {}
    }
    let mut links = String::new();
    for route in routes {
        // A path cannot hold quotes: they are escaped in addresses. Writing to a string cannot fail.
        let _ = write!(
            links,
            "<link rel=\"preload\" as=\"fetch\" crossorigin href=\"{}\">",
            super::head::escaped(&route)
        );
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_what_it_needs_first() {
        let named = |path, query| links(path, query).matches("<link ").count();
        assert_eq!(named("/", None), 2);
        assert_eq!(named("/d/a", None), 4);
        assert_eq!(named("/d/a", Some("class=shared")), 2);
        assert_eq!(named("/d/a/l/7", Some("extent=short")), 4);
        assert!(links("/d/a\"b/l/7", None).contains("a&quot;b/latents/7"));
    }
}
