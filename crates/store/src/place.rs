//! Names beside a database, and the lock that keeps two writers apart.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Locks the folder against other writers. Where the system cannot lock folders there is no lock.
pub(crate) fn lock(folder: &Path, path: &Path) -> Result<Option<fs::File>> {
    let Ok(file) = fs::File::open(folder) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Busy {
            path: path.to_path_buf(),
        }),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes what an earlier run left behind: the file, its log, and DuckDB's folder of spilled data.
pub(crate) fn discard(temporary: &Path) {
    // What is not there is as good as removed; anything else shows when the file is made.
    let _ = fs::remove_file(temporary);
    let _ = fs::remove_file(with_suffix(temporary, "wal"));
    let _ = fs::remove_dir_all(with_suffix(temporary, "tmp"));
}
