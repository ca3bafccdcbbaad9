//! Which files of a repository are needed.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
const CONFIG: &str = "config.json";

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A model: configuration, tokenizer, chat template, and one or many safetensors files.
    Model,
    /// A dictionary in the folder layout of dictionary_learning.
    Dictionary,
}

impl Content {
    /// The file without which there is nothing.
    pub(crate) fn first(self) -> &'static str {
        match self {
            Self::Model => CONFIG,
            Self::Dictionary => WEIGHTS,
        }
    }

    /// Files beside the weights, fetched where the repository has them.
    #[cfg(feature = "download")]
    pub(crate) fn beside(self) -> &'static [&'static str] {
        match self {
            Self::Model => &[
                CONFIG,
                "generation_config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "chat_template.jinja",
            ],
            Self::Dictionary => &[CONFIG, "trainer_config.json"],
        }
    }

    /// A needed file that a folder lacks.
    pub(crate) fn missing(self, folder: &Path) -> Option<String> {
        let absent = |file: &str| !folder.join(file).is_file();
        if absent(self.first()) {
            return Some(self.first().into());
        }
        if !absent(WEIGHTS) {
            return None;
        }
        if self == Self::Dictionary || absent(INDEX) {
            return Some(WEIGHTS.into());
        }
        // A damaged index is for the check of the checkpoint to tell.
        let files = std::fs::read(folder.join(INDEX)).ok();
        let files = files.and_then(|bytes| shards(&bytes)).unwrap_or_default();
        files.into_iter().find(|file| absent(file))
    }
}

/// The files that an index names; `None` where it is none or names places outside the folder.
pub(crate) fn shards(index: &[u8]) -> Option<BTreeSet<String>> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let files = index.get("weight_map")?.as_object()?.values();
    let plain = |file: &&str| !file.contains(['/', '\\']) && !file.starts_with('.');
    files
        .map(|file| file.as_str().filter(plain).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_whole_when_every_shard_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let missing = |content: Content| content.missing(folder.path());
        assert_eq!(missing(Content::Model).as_deref(), Some(CONFIG));
        assert_eq!(missing(Content::Dictionary).as_deref(), Some(WEIGHTS));
        write(CONFIG, "{}");
        assert_eq!(missing(Content::Model).as_deref(), Some(WEIGHTS));
        write(
            INDEX,
            r#"{"weight_map": {"a": "one", "b": "two", "c": "one"}}"#,
        );
        write("one", "");
        assert_eq!(missing(Content::Model).as_deref(), Some("two"));
        write("two", "");
        assert_eq!(missing(Content::Model), None);
        assert_eq!(missing(Content::Dictionary).as_deref(), Some(WEIGHTS));
        write(WEIGHTS, "");
        assert_eq!(missing(Content::Dictionary), None);
    }

    #[test]
    fn an_index_names_files_of_its_own_folder() {
        assert!(shards(br#"{"weight_map": {"a": "../x"}}"#).is_none());
        assert!(shards(br#"{"weight_map": {"a": 1}}"#).is_none());
        assert!(shards(b"{").is_none());
        let found = shards(br#"{"weight_map": {"a": "x", "b": "x"}}"#).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["x"]);
    }
}
