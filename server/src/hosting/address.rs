//! The address under which readers know the server, which a reverse proxy may have changed.

use std::{fmt, str::FromStr};

use axum::http::Uri;

/// Scheme, host and path prefix, for instance `https://example.org/stereoscope`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme and authority.
    origin: String,
    /// Empty, or a path that begins with a slash and ends without one.
    prefix: String,
}

impl PublicUrl {
    /// Scheme, host and port, without a path.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Path in front of every address: empty, or beginning with a slash and ending without one.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "{text:?} is not a public address ({why}); write it like https://example.org/stereoscope"
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it cannot be read"))?;
        let Some(scheme @ ("http" | "https")) = uri.scheme_str() else {
            return Err(wrong("it has neither http nor https"));
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        let prefix = uri.path().trim_end_matches('/');
        if !prefix.chars().all(plain) || prefix.contains("//") {
            return Err(wrong(
                "its path has other signs than letters, digits and -._~",
            ));
        }
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/", self.origin, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_origin_and_prefix() {
        for (text, origin, prefix) in [
            ("https://example.org", "https://example.org", ""),
            ("https://example.org/", "https://example.org", ""),
            (
                "http://localhost:8080/a/b/",
                "http://localhost:8080",
                "/a/b",
            ),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.origin(), url.prefix()), (origin, prefix), "{text}");
        }
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        for (text, why) in [
            ("example.org", "neither http"),
            ("ftp://example.org", "neither http"),
            ("https://example.org/?a=1", "query"),
            ("https://example.org/a\"b", "other signs"),
            ("https://example.org/a&b", "other signs"),
            ("https://example.org/a//b", "other signs"),
        ] {
            let refused = text.parse::<PublicUrl>().unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
