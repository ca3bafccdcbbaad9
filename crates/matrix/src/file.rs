//! Files that are mapped into memory and watched for changes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;

/// A file was written to while its numbers were in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} was written to or cut while it was in use; start the program again to read it anew (a file in use may only be replaced by renaming another over it)",
    path.display()
)]
pub struct Changed {
    /// The file.
    pub path: PathBuf,
}

/// A file in the address space, read-only.
///
/// A file that is replaced by renaming another over it stays what it was for whoever has it mapped. One that is written to or cut in place
/// changes under its readers; [`MappedFile::check`] tells. Between a check and the use of the numbers a cut can still happen: the system
/// then ends the program (SIGBUS), as it does with every program that maps its weights.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    file: File,
    map: Mmap,
    modified: SystemTime,
}

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// When it cannot be opened or mapped.
    #[allow(unsafe_code)] // a map is unsafe because another program could change the file while it is read
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let modified = file.metadata()?.modified()?;
        // SAFETY: the map is only read, as bytes, of which every value is valid; numbers are copied out of it one by one, so a change
        // gives other numbers and no dangling reference.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self {
            path: path.to_owned(),
            file,
            map,
            modified,
        })
    }

    /// Its path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Fails for a file that was written to or cut since it was mapped.
    ///
    /// # Errors
    /// [`Changed`].
    pub fn check(&self) -> Result<(), Changed> {
        let same = self.file.metadata().is_ok_and(|now| {
            now.len() == self.map.len() as u64
                && now.modified().is_ok_and(|time| time == self.modified)
        });
        if same {
            return Ok(());
        }
        Err(Changed {
            path: self.path.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::MappedFile;

    #[test]
    fn a_change_in_place_is_told_and_a_replacement_is_harmless() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights");
        fs::write(&path, b"0123456789")?;
        let mapped = MappedFile::open(&path)?;
        assert!(mapped.check().is_ok());

        let other = folder.path().join("other");
        fs::write(&other, b"other")?;
        fs::rename(&other, &path)?;
        assert!(mapped.check().is_ok());
        assert_eq!(mapped.bytes(), b"0123456789");

        let mapped = MappedFile::open(&path)?;
        let mut file = fs::OpenOptions::new().append(true).open(&path)?;
        file.write_all(b"more")?;
        let told = mapped.check().unwrap_err().to_string();
        assert!(told.contains("weights"), "{told}");

        let mapped = MappedFile::open(&path)?;
        file.set_len(3)?;
        assert!(mapped.check().is_err());
        Ok(())
    }
}
