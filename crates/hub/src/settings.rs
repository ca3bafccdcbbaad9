//! The environment that all of the hub's tools read: address, token, cache, whether to ask at all.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Content, Error, Reference, Result};

const ENDPOINT: &str = "https://huggingface.co";

/// Where the hub and its cache are, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address of the hub.
    pub endpoint: String,
    /// Folder of the cache.
    pub cache: PathBuf,
    /// The user's token.
    pub token: Option<String>,
    /// Whether only the cache is to be used.
    pub offline: bool,
}

/// Shows everything but the token.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish()
    }
}

fn is_offline(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    variable("HF_HUB_OFFLINE").is_some_and(|value| {
        ["1", "ON", "YES", "TRUE"]
            .iter()
            .any(|yes| value.eq_ignore_ascii_case(yes))
    })
}

impl Settings {
    /// From `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH` and `HF_HUB_OFFLINE`, or their usual places.
    ///
    /// # Errors
    /// [`Error::Home`] where neither they nor a home folder say where the cache is.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")))?;
            Some(caches.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub")));
        let token_file =
            path("HF_TOKEN_PATH").or_else(|| home.as_ref().map(|home| home.join("token")));
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| std::fs::read_to_string(token_file?).ok());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            cache: cache.ok_or(Error::Home)?,
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: is_offline(variable),
        })
    }

    /// Folder of a repository in the cache.
    pub(crate) fn repository(&self, reference: &Reference) -> PathBuf {
        let name = format!("models--{}", reference.id().replace('/', "--"));
        self.cache.join(name)
    }

    /// Folder of a revision's files, if the cache has any; its name is the commit.
    pub(crate) fn snapshot(&self, reference: &Reference) -> Option<PathBuf> {
        let repository = self.repository(reference);
        let revision = reference.revision();
        let named = std::fs::read_to_string(repository.join("refs").join(revision)).ok();
        let commit = named.as_deref().map_or(revision, str::trim);
        let plain = |c: char| c.is_ascii_alphanumeric();
        if commit.is_empty() || !commit.chars().all(plain) {
            return None;
        }
        let folder = repository.join("snapshots").join(commit);
        folder.is_dir().then_some(folder)
    }

    /// Folder of a revision that the cache holds whole.
    ///
    /// # Errors
    /// [`Error::NotCached`] with the first file that is missing.
    pub fn cached(&self, reference: &Reference, content: Content) -> Result<PathBuf> {
        let missing = |file| Error::NotCached {
            reference: reference.clone(),
            file,
            cache: self.cache.clone(),
        };
        let Some(folder) = self.snapshot(reference) else {
            return Err(missing(content.first().into()));
        };
        match content.missing(&folder) {
            None => Ok(folder),
            Some(file) => Err(missing(file)),
        }
    }

    /// The commit that a snapshot's folder stands for.
    pub fn commit(snapshot: &Path) -> Option<String> {
        Some(snapshot.file_name()?.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Settings> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Settings::from_variables(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_environment_is_read_as_the_hubs_own_tools_do() {
        let cache = |variables: &[(&str, &str)]| with(variables).unwrap().cache;
        let home = ("HOME", "/a");
        assert_eq!(cache(&[home]), Path::new("/a/.cache/huggingface/hub"));
        let caches = ("XDG_CACHE_HOME", "/c");
        assert_eq!(cache(&[home, caches]), Path::new("/c/huggingface/hub"));
        let own = ("HF_HOME", "/h");
        assert_eq!(cache(&[home, caches, own]), Path::new("/h/hub"));
        let hub = ("HF_HUB_CACHE", "/x");
        assert_eq!(cache(&[home, own, hub]), Path::new("/x"));
        assert!(matches!(with(&[]), Err(Error::Home)));

        let settings = with(&[home, ("HF_ENDPOINT", "http://127.0.0.1:9/")]).unwrap();
        assert_eq!(settings.endpoint, "http://127.0.0.1:9");
        assert_eq!(with(&[home]).unwrap().endpoint, ENDPOINT);
        for (value, expected) in [("1", true), ("true", true), ("0", false), ("", false)] {
            let found = with(&[home, ("HF_HUB_OFFLINE", value)]).unwrap().offline;
            assert_eq!(found, expected, "{value:?}");
        }
    }

    #[test]
    fn a_token_comes_from_its_variable_or_its_file_and_is_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().to_string_lossy().into_owned();
        let own = ("HF_HOME", own.as_str());
        assert_eq!(with(&[own]).unwrap().token, None);
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        let settings = with(&[own]).unwrap();
        assert_eq!(settings.token.as_deref(), Some("hf_file"));
        assert!(!format!("{settings:?}").contains("hf_file"));
        let settings = with(&[own, ("HF_TOKEN", "hf_variable")]).unwrap();
        assert_eq!(settings.token.as_deref(), Some("hf_variable"));
    }

    #[test]
    fn a_snapshot_is_found_by_branch_and_by_commit() {
        let cache = tempfile::tempdir().unwrap();
        let cached = cache.path().to_string_lossy().into_owned();
        let settings = with(&[("HF_HUB_CACHE", &cached)]).unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let branch: Reference = "a/b".parse().unwrap();
        let exact = Reference::new("a/b", Some(commit)).unwrap();
        assert_eq!(settings.snapshot(&branch), None);
        let repository = cache.path().join("models--a--b");
        let snapshot = repository.join("snapshots").join(commit);
        std::fs::create_dir_all(&snapshot).unwrap();
        assert_eq!(settings.snapshot(&exact), Some(snapshot.clone()));
        assert_eq!(settings.snapshot(&branch), None);
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        std::fs::write(repository.join("refs").join("main"), commit).unwrap();
        assert_eq!(settings.snapshot(&branch), Some(snapshot.clone()));
        assert_eq!(Settings::commit(&snapshot).as_deref(), Some(commit));
        std::fs::write(repository.join("refs").join("main"), "../../..").unwrap();
        assert_eq!(settings.snapshot(&branch), None);
    }
}
