//! Models and dictionaries of the Hugging Face hub: where they lie in the cache that all of its tools share, and, with the feature
//! `download`, how they get there.

mod contents;
#[cfg(feature = "download")]
mod download;
mod error;
mod reference;
mod settings;

use std::path::PathBuf;

pub use contents::Content;
pub use error::{Error, Result};
pub use reference::Reference;
pub use settings::Settings;

/// Hears what a download does.
pub trait Watch {
    /// A file of so many bytes begins, or goes on, with so many there already.
    fn begin(&mut self, file: &str, bytes: u64, done: u64);
    /// So many bytes of it are there.
    fn advance(&mut self, done: u64);
    /// The file is whole.
    fn end(&mut self, file: &str, bytes: u64);
    /// A sentence for the reader.
    fn say(&mut self, sentence: &str);
}

/// The folder of a repository's snapshot with every file that is needed of it, after fetching what the cache lacks.
///
/// A commit that the cache holds whole is taken from there without asking. A branch is looked up, and taken from the cache where the hub
/// cannot be reached. Offline, nothing is asked.
///
/// # Errors
/// A sentence that names the repository, the file and the remedy.
pub fn fetch(
    reference: &Reference,
    content: Content,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<PathBuf> {
    let cached = settings.cached(reference, content);
    if settings.offline || (cached.is_ok() && reference.is_commit()) {
        return cached;
    }
    get(reference, content, settings, cached.ok(), watch)
}

#[cfg(feature = "download")]
use download::get;

/// Takes what the cache holds whole.
#[cfg(not(feature = "download"))]
fn get(
    reference: &Reference,
    _: Content,
    settings: &Settings,
    whole: Option<PathBuf>,
    _: &mut dyn Watch,
) -> Result<PathBuf> {
    whole.ok_or_else(|| Error::NotBuilt {
        reference: reference.clone(),
        cache: settings.cache.clone(),
    })
}
