//! Read-only connections to one database, shared by the server's threads.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use duckdb::{AccessMode, Config, Connection};

use crate::carry::{Old, Rows};
use crate::{Error, Result, schema};

/// How many queries may run at once.
const CONNECTIONS: usize = 8;

/// Threads of DuckDB for one query; the queries are small, and the models need the cores.
const THREADS: i64 = 1;

/// What DuckDB may keep of the file. Left alone it takes four fifths of the machine's memory, which the models need.
const MEMORY: &str = "256MB";

/// A fixed number of connections, handed out one query at a time.
pub(crate) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Pool {
    /// Opens the file read-only; neither other files nor the network can be reached through it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Err(Error::io("read", path)(std::io::ErrorKind::NotFound.into()));
        }
        let refuse = |error: duckdb::Error| Error::NotADatabase {
            path: path.to_path_buf(),
            message: first_line(&error.to_string()),
        };
        let config = Config::default()
            .access_mode(AccessMode::ReadOnly)
            .and_then(|config| config.enable_external_access(false))
            .and_then(|config| config.enable_autoload_extension(false))
            .and_then(|config| config.threads(THREADS))
            .and_then(|config| config.max_memory(MEMORY))
            .map_err(refuse)?;
        let mut first = Connection::open_with_flags(path, config).map_err(refuse)?;
        schema::check(&first, "meta", path)?;
        if schema::is_earlier(&first, "meta") {
            first = brought_up(path).map_err(Error::database(path))?;
        }
        let mut idle = Vec::with_capacity(CONNECTIONS);
        for _ in 1..CONNECTIONS {
            idle.push(first.try_clone().map_err(Error::database(path))?);
        }
        idle.push(first);
        for connection in &idle {
            schema::complete(connection).map_err(Error::database(path))?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            idle: Mutex::new(idle),
            returned: Condvar::new(),
        })
    }

    /// Runs a query on a free connection, waiting for one if need be.
    pub(crate) fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> duckdb::Result<T>,
    ) -> Result<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = loop {
            if let Some(connection) = idle.pop() {
                break connection;
            }
            idle = self
                .returned
                .wait(idle)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(idle);
        let lease = Lease {
            pool: self,
            connection: Some(connection),
        };
        match &lease.connection {
            Some(connection) => query(connection).map_err(Error::database(&self.path)),
            None => Err(Error::Damaged("a connection was lost".into())),
        }
    }
}

/// A database in memory with the rows of one of an earlier version.
fn brought_up(path: &Path) -> duckdb::Result<Connection> {
    let config = Config::default()
        .enable_autoload_extension(false)?
        .threads(THREADS)?;
    let connection = Connection::open_in_memory_with_flags(config)?;
    schema::create(&connection)?;
    let quoted = path.display().to_string().replace('\'', "''");
    connection.execute_batch(&format!("ATTACH '{quoted}' AS old (READ_ONLY)"))?;
    let old = Old::of(&connection)?;
    let rows = Rows {
        dictionary: "",
        own: true,
    };
    for (table, _) in schema::TABLES {
        old.carry(&connection, table, rows)?;
    }
    connection.execute_batch("DETACH old; SET enable_external_access = false")?;
    Ok(connection)
}

/// Gives the connection back even when a query panics.
struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            self.pool.returned.notify_one();
        }
    }
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_string()
}
