//! Studies to test with.

use std::path::{Path, PathBuf};

/// The reference checkpoints and dictionaries.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The study that ships with the program.
pub fn demo_study() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo")
}

/// The study of the nano pair that `cargo check-all` trained.
pub fn nano_study() -> Option<PathBuf> {
    crate::named("STEREOSCOPE_NANO_STUDY")
}

/// Copies a folder with all it holds.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a writable folder");
    for entry in std::fs::read_dir(from)
        .expect("a readable folder")
        .flatten()
    {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copied file");
        }
    }
}

/// A study over a copy of the reference checkpoints, without `study.duckdb`, in a folder of its own that a test may damage.
pub fn fixture_study() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for part in ["base", "chat", "crosscoder-l1", "crosscoder-batchtopk"] {
        copy_folder(&fixtures().join(part), &folder.path().join(part));
    }
    let manifest = "name = \"Reference\"\nlayer = 2\n\n[base]\npath = \"base\"\n\n[chat]\npath = \"chat\"\n\n\
                    [[dictionary]]\nslug = \"l1\"\npath = \"crosscoder-l1\"\nkind = \"l1\"\n\n\
                    [[dictionary]]\nslug = \"batchtopk\"\npath = \"crosscoder-batchtopk\"\nkind = \"batchtopk\"\n";
    std::fs::write(folder.path().join("study.toml"), manifest).expect("a written manifest");
    folder
}
