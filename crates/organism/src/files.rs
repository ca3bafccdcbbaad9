//! Files written whole: under a temporary name, then renamed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// Deletes a folder with all that it holds, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Gives the files of a folder a second name in another one, which is made.
pub(crate) fn link_folder(from: &Path, to: &Path) -> Result<()> {
    make_folder(to)?;
    let link = || {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::hard_link(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    link().map_err(|source| Error::File {
        path: from.to_owned(),
        source,
    })
}

/// Writes a file so that no half of it is ever seen under its name.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fault = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!("{name}.tmp"));
    fs::write(&unfinished, bytes).map_err(fault)?;
    fs::rename(&unfinished, path).map_err(fault)
}

/// Writes a value as JSON, without spaces: it travels with the program.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|source| Error::Content {
        path: path.to_owned(),
        problem: source.to_string(),
    })?;
    write(path, text.as_bytes())
}

/// Reads a file of JSON.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Content {
        path: path.to_owned(),
        problem: source.to_string(),
    })
}
