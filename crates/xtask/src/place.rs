//! Where things are: the repository, Cargo's target folder, the tools.

use std::path::{Path, PathBuf};

use crate::step::Failure;

/// The folders that the tasks work in.
pub(crate) struct Place {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Cargo's target folder: `CARGO_TARGET_DIR`, else `target`.
    pub(crate) target: PathBuf,
    /// Installed tools, inside the target folder so that whoever keeps that keeps them.
    pub(crate) tools: PathBuf,
}

impl Place {
    pub(crate) fn find() -> Result<Self, Failure> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from("."), PathBuf::from);
        let root = manifest
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").is_file())
            .ok_or_else(|| Failure("run this inside the repository, through cargo".into()))?
            .to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        let tools = target.join("tools");
        std::fs::create_dir_all(&tools)
            .map_err(|e| Failure(format!("{} cannot be created: {e}", tools.display())))?;
        Ok(Self {
            root,
            target,
            tools,
        })
    }

    /// Folder of the release binary.
    pub(crate) fn release(&self) -> PathBuf {
        self.target.join("release")
    }

    /// The program.
    pub(crate) fn binary(&self) -> PathBuf {
        self.release()
            .join(format!("stereoscope{}", std::env::consts::EXE_SUFFIX))
    }

    /// Where tools' programs lie.
    pub(crate) fn tools_bin(&self) -> PathBuf {
        self.tools.join("bin")
    }
}

/// The file's text, or a sentence that names it.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|e| Failure(format!("{} cannot be read: {e}", path.display())))
}
