//! Files that are either whole or absent.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// Writes a file under a temporary name and renames it into place.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let temporary = temporary(path);
    let all = || {
        let mut out = BufWriter::new(File::create(&temporary)?);
        write(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&temporary, path)
    };
    all().map_err(|error| {
        // A partial file would only take up room.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path)(error)
    })
}

/// Writes JSON, indented, under a temporary name and renames it into place; a file that says just this stays as it is.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::file(path, error.to_string()))?;
    text.push('\n');
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    write_whole(path, |out| out.write_all(text.as_bytes()))
}

/// Reads JSON; `remedy` says what to do about a file that cannot be used.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, remedy: &str) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::file(path, format!("cannot be read ({error}); {remedy}")))
}

/// The name under which a file is written.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// SHA-256 of a file's content, in hexadecimal.
pub(crate) fn checksum(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    std::io::copy(&mut file, &mut hash).map_err(Error::io("read", path))?;
    Ok(hexadecimal(&hash.finalize()))
}

/// SHA-256 of a value's JSON, in hexadecimal: equal values have equal ones.
pub(crate) fn fingerprint(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    hexadecimal(&Sha256::digest(json))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let refused = write_whole(&path, |out| {
            out.write_all(b"half")?;
            Err(full())
        });
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains("make room") && message.contains("cannot write"),
            "{message}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        write_whole(&path, |out| out.write_all(b"whole")).unwrap();
        write_whole(&path, |_| Err(full())).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_json(&path, &[1, 2]).unwrap();
        let written = || fs::metadata(&path).unwrap().modified().unwrap();
        let before = written();
        write_json(&path, &[1, 2]).unwrap();
        assert_eq!(written(), before);
        write_json(&path, &[3]).unwrap();
        assert_eq!(read_json::<[u32; 1]>(&path, "").unwrap(), [3]);
    }
}
