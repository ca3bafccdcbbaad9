//! DuckDB's official prebuilt library, out of its npm package: pinned, checked, and put beside the binary.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha512};

use crate::place::Place;
use crate::step::{Failure, command, output, run, skipped, step};

const PACKAGE: &str = "@duckdb/node-bindings-linux-x64";
const VERSION: &str = "1.5.6-r.1";
const SHA512: &str = "21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e1\
                      6cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5";
const LIBRARY: &str = "libduckdb.so";

/// How the binary gets DuckDB.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DuckDb {
    /// The official library, found beside the binary.
    Prebuilt,
    /// Compiled from source into the binary.
    Bundled,
}

impl DuckDb {
    /// Cargo's arguments for it.
    pub(crate) fn features(self) -> &'static [&'static str] {
        match self {
            Self::Prebuilt => &[],
            Self::Bundled => &["--features", "cli/bundled"],
        }
    }
}

/// Where the pinned library is kept.
fn pinned(place: &Place) -> PathBuf {
    place.tools.join("duckdb")
}

/// The one folder that `.cargo/config.toml` can name.
fn configured(place: &Place) -> PathBuf {
    place.root.join("target").join("tools").join("duckdb")
}

/// A folder that the user names in `DUCKDB_LIB_DIR`. Cargo sets the variable too, from its configuration.
fn named(place: &Place) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("DUCKDB_LIB_DIR")?);
    (folder != configured(place) && folder != pinned(place)).then_some(folder)
}

/// Folder that the build links against.
pub(crate) fn folder(place: &Place) -> PathBuf {
    named(place).unwrap_or_else(|| pinned(place))
}

/// Makes the library available, or says why DuckDB will be built from source.
pub(crate) fn ensure(place: &Place) -> Result<DuckDb, Failure> {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        skipped(
            "DuckDB",
            "no pinned library for this platform; it will be built from source, which takes long (some 25 minutes on two cores)",
        );
        return Ok(DuckDb::Bundled);
    }
    if named(place).is_none() && !pinned(place).join(LIBRARY).is_file() {
        if output(command(place, "npm").arg("--version")).is_none() {
            skipped(
                "DuckDB",
                "npm is not installed; DuckDB will be built from source, which takes long (some 25 minutes on two cores)",
            );
            return Ok(DuckDb::Bundled);
        }
        step(&format!("fetching DuckDB ({PACKAGE} {VERSION})"), || {
            fetch(place)
        })?;
    }
    let source = folder(place).join(LIBRARY);
    link_default_folder(place)?;
    for profile in ["release", "debug"] {
        let beside = place.target.join(profile).join(LIBRARY);
        if !same_size(&source, &beside) {
            replace(&source, &beside)?;
        }
    }
    Ok(DuckDb::Prebuilt)
}

fn fetch(place: &Place) -> Result<(), Failure> {
    let incoming = place.tools.join("duckdb.incoming");
    let _ = std::fs::remove_dir_all(&incoming);
    make(&incoming)?;
    run(command(place, "npm")
        .args(["pack", "--silent", "--pack-destination"])
        .arg(&incoming)
        .arg(format!("{PACKAGE}@{VERSION}")))?;
    let archive = std::fs::read_dir(&incoming)
        .ok()
        .and_then(|mut entries| {
            entries.find_map(|e| {
                e.ok()
                    .map(|e| e.path())
                    .filter(|p| p.extension().is_some_and(|x| x == "tgz"))
            })
        })
        .ok_or_else(|| Failure("npm pack left no archive".into()))?;
    let bytes = std::fs::read(&archive)
        .map_err(|e| Failure(format!("{} cannot be read: {e}", archive.display())))?;
    let found = hexadecimal(&Sha512::digest(&bytes));
    if found != SHA512 {
        return Err(Failure(format!(
            "{PACKAGE} {VERSION} has SHA-512 {found}, expected {SHA512}: the download was altered; try again"
        )));
    }
    run(command(place, "tar")
        .arg("xzf")
        .arg(&archive)
        .args(["--strip-components=1", "-C"])
        .arg(&incoming))?;
    let target = pinned(place);
    make(&target)?;
    std::fs::rename(incoming.join(LIBRARY), target.join(LIBRARY))
        .map_err(|e| Failure(format!("{LIBRARY} could not be moved into place: {e}")))?;
    let _ = std::fs::remove_dir_all(&incoming);
    Ok(())
}

/// A plain `cargo build` reads the library's folder from `.cargo/config.toml`, which can only name the default target folder.
fn link_default_folder(place: &Place) -> Result<(), Failure> {
    let default = configured(place);
    if default.exists() || place.target == place.root.join("target") {
        return Ok(());
    }
    if let Some(parent) = default.parent() {
        make(parent)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(pinned(place), &default)
        .map_err(|e| Failure(format!("{} cannot be linked: {e}", default.display())))?;
    Ok(())
}

fn same_size(a: &Path, b: &Path) -> bool {
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if a.len() == b.len())
}

/// Copies under another name and renames, so that a running program keeps the file it has mapped.
fn replace(source: &Path, target: &Path) -> Result<(), Failure> {
    if let Some(parent) = target.parent() {
        make(parent)?;
    }
    let incoming = target.with_extension("incoming");
    std::fs::copy(source, &incoming)
        .and_then(|_| std::fs::rename(&incoming, target))
        .map_err(|e| {
            Failure(format!(
                "{} cannot be copied to {}: {e}",
                source.display(),
                target.display()
            ))
        })
}

fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure(format!("{} cannot be created: {e}", folder.display())))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
