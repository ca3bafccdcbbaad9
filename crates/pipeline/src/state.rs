//! What a run has gathered, in a binary file that is whole or refused: the value, then its SHA-256.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::files::write_whole;
use crate::{Error, Result};

/// Bytes of the checksum at the end of a file.
const CHECKSUM: usize = 32;

/// Hashes what passes, and remembers why writing failed, which the serialiser does not tell.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
    failed: Option<io::ErrorKind>,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self
            .out
            .write(bytes)
            .inspect_err(|error| self.failed = Some(error.kind()))?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a value under a temporary name and renames it into place. Every number comes back bit for bit.
///
/// # Errors
/// A disk that is full, a folder that cannot be written.
pub(crate) fn write_state(path: &Path, value: &impl Serialize) -> Result<()> {
    write_whole(path, |out| {
        let mut hashing = Hashing {
            out,
            hash: Sha256::new(),
            failed: None,
        };
        let written = postcard::to_io(value, BufWriter::new(&mut hashing));
        match (written.map(|mut buffer| buffer.flush()), hashing.failed) {
            (_, Some(kind)) => return Err(kind.into()),
            (Ok(flushed), None) => flushed?,
            (Err(error), None) => return Err(io::Error::other(error)),
        }
        hashing.out.write_all(&hashing.hash.finalize())
    })
}

/// Reads what [`write_state`] wrote; `remedy` says what to do about a file that cannot be used.
///
/// # Errors
/// A file that is missing, cut off, changed, or of another program version.
pub(crate) fn read_state<T: DeserializeOwned>(path: &Path, remedy: &str) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |problem: &str| Error::file(path, format!("{problem}; {remedy}"));
    let (content, checksum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or_else(|| damaged("is cut off"))?;
    if Sha256::digest(content)[..] != checksum[..] {
        return Err(damaged("is damaged: its content does not fit its checksum"));
    }
    postcard::from_bytes(content)
        .map_err(|_| damaged("was written by another version of the program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_bit_for_bit_and_damage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let value = (
            vec![0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 3.0, f64::INFINITY],
            Some(vec![(7u32, f32::EPSILON)]),
            std::collections::HashMap::from([(u64::MAX, "ω".to_string())]),
        );
        write_state(&path, &value).unwrap();
        let mut found = read_state::<(Vec<f64>, Option<Vec<(u32, f32)>>, _)>(&path, "").unwrap();
        assert_eq!(found, value);
        assert!(found.0[1].is_sign_negative());
        found.0[0] = 0.3;
        assert_ne!(found, value);

        let bytes = fs::read(&path).unwrap();
        let mut changed = bytes.clone();
        changed[3] ^= 1;
        for damaged in [&changed[..], &bytes[..bytes.len() - 1], &bytes[..5], &[]] {
            fs::write(&path, damaged).unwrap();
            let refused = read_state::<(
                Vec<f64>,
                Option<Vec<(u32, f32)>>,
                std::collections::HashMap<u64, String>,
            )>(&path, "make it anew");
            let message = refused.unwrap_err().to_string();
            assert!(
                message.contains("state") && message.contains("make it anew"),
                "{message}"
            );
        }
    }
}
