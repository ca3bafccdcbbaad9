//! A repository of the hub and its revision, as a person names them.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Where a repository's default branch is.
pub(crate) const DEFAULT_BRANCH: &str = "main";
/// Digits of a full commit hash.
const COMMIT_DIGITS: usize = 40;

/// A repository, and the branch, tag or commit that is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    id: Box<str>,
    revision: Option<Box<str>>,
}

impl Reference {
    /// The repository `id`, for instance `google/gemma-2-2b`, at a revision or at its default branch.
    ///
    /// # Errors
    /// [`Error::Reference`] for what cannot be a repository's name or a revision.
    pub fn new(id: &str, revision: Option<&str>) -> Result<Self, Error> {
        let fault = |problem| Error::Reference {
            id: id.into(),
            problem,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.chars().all(plain)
                && !part.contains("..")
        };
        let parts: Vec<&str> = id.split('/').collect();
        if !(parts.len() == 1 || parts.len() == 2) || !parts.into_iter().all(part) {
            return Err(fault(
                "expected ORGANISATION/NAME of letters, digits, '-', '_' and '.'",
            ));
        }
        if let Some(revision) = revision {
            let fit = |c: char| plain(c) || c == '/';
            let inside = !revision.starts_with('/') && !revision.contains("..");
            if revision.is_empty() || !revision.chars().all(fit) || !inside {
                return Err(fault(
                    "its revision is not the name of a branch or a tag, nor a commit hash",
                ));
            }
        }
        Ok(Self {
            id: id.into(),
            revision: revision.map(Into::into),
        })
    }

    /// The repository.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The branch, tag or commit; the default branch where none was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_BRANCH)
    }

    /// Whether the revision is a full commit hash, so that its files never change.
    pub fn is_commit(&self) -> bool {
        let revision = self.revision();
        revision.len() == COMMIT_DIGITS && revision.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hub:{}", self.id)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads `ID` or `ID@REVISION`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('@') {
            Some((id, revision)) => Self::new(id, Some(revision)),
            None => Self::new(text, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written_alike() {
        for text in [
            "google/gemma-2-2b",
            "gpt2",
            "a/b@main",
            "a/b.c_d@refs/pr/7",
            "a/b@0123456789abcdef0123456789abcdef01234567",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), format!("hub:{text}"));
            assert_eq!(reference.is_commit(), text.contains("0123456789"));
        }
        let unnamed: Reference = "a/b".parse().unwrap();
        assert_eq!(unnamed.revision(), "main");
    }

    #[test]
    fn what_could_leave_the_cache_is_refused() {
        for text in [
            "", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a/.b", "a b/c", "a/b@", "a/b@../x",
            "a/b@/x", "a/b@x y", "a/b?c", "a..b/c",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
