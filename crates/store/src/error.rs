//! What can go wrong with a study on disk, each as a sentence with its remedy.

use std::path::{Path, PathBuf};

use crate::pool::first_line;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A study that cannot be read or written, or a question that it cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for instance `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no study.
    #[error("{} is not a study: it has no study.toml; make one with `stereoscope init {}`", folder.display(), folder.display())]
    NoStudy {
        /// The folder.
        folder: PathBuf,
    },
    /// `study.toml` says something that cannot be used.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The key, what was found and what is expected.
        message: String,
    },
    /// A hub reference that leads to no folder.
    #[error("{}: {key}: {source}", path.display())]
    Hub {
        /// The manifest.
        path: PathBuf,
        /// The entry.
        key: String,
        /// Why.
        source: Box<hub::Error>,
    },
    /// The database was written with another schema.
    #[error("{} has schema version {found}, this program reads version {expected}; write it anew with {remedy}", path.display())]
    Schema {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: String,
        /// The version of this program.
        expected: u32,
        /// The commands that mend it.
        remedy: String,
    },
    /// The file is not a database, or it is damaged.
    #[error("{} cannot be opened as a study database ({message}); delete it and run `stereoscope analyse` again", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What DuckDB said.
        message: String,
    },
    /// Another process is writing the same database.
    #[error("{} is being written by another process; wait until it ends", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// DuckDB refused a statement.
    #[error("the study database {}: {message}{}", path.display(), hint(message))]
    Database {
        /// The database.
        path: PathBuf,
        /// What DuckDB said.
        message: String,
    },
    /// A Parquet file that cannot be used.
    #[error("{}: {message}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What was found and what is expected.
        message: String,
    },
    /// The database contains a value that this program never writes.
    #[error("the study database is damaged: {0}; run `stereoscope analyse` again")]
    Damaged(String),
    /// No dictionary of that name.
    #[error("there is no dictionary {slug:?}; this study has {}", list(known))]
    UnknownDictionary {
        /// The name asked for.
        slug: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// No latent of that number.
    #[error("dictionary {dictionary} has no latent {id}; its latents are 0 to {}", latents.saturating_sub(1))]
    UnknownLatent {
        /// The dictionary.
        dictionary: String,
        /// The latent asked for.
        id: u64,
        /// How many latents there are.
        latents: usize,
    },
    /// A dictionary that nobody held against ground truth.
    #[error(
        "dictionary {dictionary} has no ground truth; only studies that `stereoscope organism build` made can have it, and \
         `stereoscope organism report` writes it"
    )]
    NoTruth {
        /// The dictionary.
        dictionary: String,
    },
    /// No saved run of that id.
    #[error(
        "there is no run {id:?} here; it may have been saved with another study or another --runs file"
    )]
    UnknownRun {
        /// The id asked for.
        id: String,
    },
    /// The file of saved runs cannot be read or written.
    #[error("runs cannot be kept in {}: {message}; make room there, or name another file with --runs, in a folder that can be written", path.display())]
    Runs {
        /// The file.
        path: PathBuf,
        /// What was found, or what DuckDB said.
        message: String,
    },
    /// There are as many saved runs as the server allows.
    #[error("{} holds {most} runs, which is as many as this server keeps; allow more with --max-runs, or name another file with --runs", path.display())]
    RunsFull {
        /// The file.
        path: PathBuf,
        /// The limit.
        most: u64,
    },
    /// A parameter whose value cannot be used.
    #[error("{0}")]
    Invalid(String),
}

/// What an error means to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The thing asked for does not exist.
    NotFound,
    /// A value cannot be used.
    Invalid,
    /// A run cannot be kept.
    Runs,
    /// The study itself is at fault.
    Study,
}

impl Error {
    /// What the error means to a client: 404, 422 or 500.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownDictionary { .. }
            | Self::UnknownLatent { .. }
            | Self::NoTruth { .. }
            | Self::UnknownRun { .. } => ErrorKind::NotFound,
            Self::Runs { .. } | Self::RunsFull { .. } => ErrorKind::Runs,
            Self::Invalid(_) => ErrorKind::Invalid,
            _ => ErrorKind::Study,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn database(path: &Path) -> impl Fn(duckdb::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Database {
            path: path.clone(),
            message: first_line(&source.to_string()),
        }
    }
}

/// DuckDB gives no code for a full disk, only the system's words.
fn hint(message: &str) -> &'static str {
    if message.contains("No space left") {
        "; make room and run the same command again, the study is as it was before"
    } else {
        ""
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
