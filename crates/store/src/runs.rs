//! Saved runs: a database of their own beside the study's, the only one that a server writes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::Run;
use duckdb::{AccessMode, Config, Connection, OptionalExt, params};

use crate::pool::first_line;
use crate::schema;
use crate::{Error, Result};

/// Name of the runs' database inside a study's folder.
pub const RUNS: &str = "runs.duckdb";

/// What DuckDB may keep of the file.
const MEMORY: &str = "128MB";

/// Version of the tables.
const VERSION: &str = "1";

/// The runs of a study. The file is made when the first run is saved.
pub struct Runs {
    path: PathBuf,
    most: u64,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    connection: Connection,
    /// Why nothing can be written, where that is so.
    read_only: Option<String>,
}

impl Runs {
    /// Opens the file, if it is there, for no more than `most` runs. A file that another server has open is tried again when it is
    /// asked for.
    ///
    /// # Errors
    /// [`Error::Runs`] for a file that is no database of runs.
    pub fn open(path: &Path, most: u64) -> Result<Self> {
        let opened = if path.exists() {
            match connect(path) {
                Err(Error::Busy { .. }) => None,
                opened => Some(opened?),
            }
        } else {
            None
        };
        Ok(Self {
            path: path.to_path_buf(),
            most,
            opened: Mutex::new(opened),
        })
    }

    /// A run by its id.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], or a file that cannot be read.
    pub fn run(&self, id: &str) -> Result<Run> {
        self.find(id)?
            .ok_or_else(|| Error::UnknownRun { id: id.into() })
    }

    /// A run by its id, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn find(&self, id: &str) -> Result<Option<Run>> {
        let mut opened = self.lock();
        if opened.is_none() && !self.path.exists() {
            return Ok(None);
        }
        let opened = self.opened(&mut opened)?;
        let document = opened
            .connection
            .prepare_cached("SELECT document FROM runs WHERE id = ?")
            .and_then(|mut statement| {
                statement
                    .query_row([id], |row| row.get::<_, String>(0))
                    .optional()
            })
            .map_err(Error::database(&self.path))?;
        document
            .map(|text| {
                serde_json::from_str(&text).map_err(|error| Error::Runs {
                    path: self.path.clone(),
                    message: format!("run {id} cannot be read ({error})"),
                })
            })
            .transpose()
    }

    /// Whether one more run can be saved.
    ///
    /// # Errors
    /// [`Error::RunsFull`], or [`Error::Runs`] for a file that cannot be written.
    pub fn check_room(&self) -> Result<()> {
        let mut opened = self.lock();
        let opened = self.writable(&mut opened)?;
        self.room(opened)
    }

    /// Keeps a run; one that is there already stays as it is.
    ///
    /// # Errors
    /// As [`Runs::check_room`], and a full disk.
    pub fn save(&self, run: &Run) -> Result<()> {
        let document = serde_json::to_string(run).map_err(|error| Error::Runs {
            path: self.path.clone(),
            message: format!("a run cannot be written ({error})"),
        })?;
        let mut lock = self.lock();
        let opened = self.writable(&mut lock)?;
        self.room(opened)?;
        let connection = &opened.connection;
        let written = connection
            .execute(
                "INSERT INTO runs VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                params![run.id, run.saved, document],
            )
            // So that the file is whole without a log beside it.
            .and_then(|_| connection.execute_batch("CHECKPOINT"));
        written.map_err(|error| {
            // DuckDB gives a database up after a full disk; the next request opens it anew.
            *lock = None;
            Error::Runs {
                path: self.path.clone(),
                message: first_line(&error.to_string()),
            }
        })
    }

    fn room(&self, opened: &Opened) -> Result<()> {
        let count: u64 = opened
            .connection
            .query_row("SELECT count(*) FROM runs", [], |row| row.get(0))
            .map_err(Error::database(&self.path))?;
        if count >= self.most {
            return Err(Error::RunsFull {
                path: self.path.clone(),
                most: self.most,
            });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, opened for writing; one that could not be is tried again, since a disk that was full may have room now.
    fn writable<'a>(&self, opened: &'a mut Option<Opened>) -> Result<&'a Opened> {
        if opened.as_ref().is_some_and(|o| o.read_only.is_some()) {
            // Closed first: one process opens a file once.
            *opened = None;
        }
        let opened = self.opened(opened)?;
        match &opened.read_only {
            Some(reason) => Err(Error::Runs {
                path: self.path.clone(),
                message: reason.clone(),
            }),
            None => Ok(opened),
        }
    }

    fn opened<'a>(&self, opened: &'a mut Option<Opened>) -> Result<&'a Opened> {
        Ok(match opened {
            Some(opened) => opened,
            none => none.insert(connect(&self.path)?),
        })
    }
}

/// Opens the file for writing, makes it if need be; else for reading alone.
fn connect(path: &Path) -> Result<Opened> {
    let fault = |error: &duckdb::Error| {
        let message = first_line(&error.to_string());
        if message.contains("set lock") {
            Error::Busy {
                path: path.to_path_buf(),
            }
        } else {
            Error::Runs {
                path: path.to_path_buf(),
                message,
            }
        }
    };
    let there = path.exists();
    let open = |mode: AccessMode| {
        schema::layout()?
            .access_mode(mode)
            .and_then(|config| config.enable_external_access(false))
            .and_then(|config| config.enable_autoload_extension(false))
            .and_then(|config: Config| config.threads(1))
            .and_then(|config| config.max_memory(MEMORY))
            .and_then(|config| Connection::open_with_flags(path, config))
    };
    let opened = match open(AccessMode::ReadWrite) {
        Ok(connection) => Opened {
            connection,
            read_only: None,
        },
        Err(refused) if there => Opened {
            connection: open(AccessMode::ReadOnly).map_err(|_| fault(&refused))?,
            read_only: Some(first_line(&refused.to_string())),
        },
        Err(refused) => return Err(fault(&refused)),
    };
    let connection = &opened.connection;
    if !there {
        connection
            .execute_batch(&format!(
                "BEGIN; CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL); \
                 CREATE TABLE runs (id VARCHAR PRIMARY KEY, saved UBIGINT NOT NULL, document VARCHAR NOT NULL); \
                 INSERT INTO meta VALUES ('runs_version', '{VERSION}'); COMMIT"
            ))
            .map_err(|error| fault(&error))?;
    }
    let version: Option<String> = connection
        .query_row(
            "SELECT value FROM meta WHERE key = 'runs_version'",
            [],
            |row| row.get(0),
        )
        .ok();
    if version.as_deref() == Some(VERSION) {
        return Ok(opened);
    }
    Err(Error::Runs {
        path: path.to_path_buf(),
        message: format!(
            "it is no file of runs of version {VERSION}, it has version {}",
            version.as_deref().unwrap_or("none")
        ),
    })
}
