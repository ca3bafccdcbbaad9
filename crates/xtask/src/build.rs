//! The explorer, the program, and the demo.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::bundle::bundle;
use crate::duckdb::DuckDb;
use crate::place::Place;
use crate::step::{Failure, command, run, skipped, step};
use crate::tools;

/// What the explorer is made of.
const FRONTEND: &[&str] = &[
    "frontend",
    "style",
    "crates/api",
    "assets/icons",
    "Trunk.toml",
    "Cargo.toml",
    "Cargo.lock",
];

/// Programs beside that of the first page, each with a page of its own name.
const FURTHER: [&str; 3] = ["latents", "lab", "compare"];

/// Everything, up to the release binary with the explorer inside.
pub(crate) fn all(place: &Place) -> Result<DuckDb, Failure> {
    let duckdb = tools::setup(place)?;
    frontend(place)?;
    binary(place, duckdb)?;
    Ok(duckdb)
}

/// Bytes that a first visit may load of each kind, compressed.
const BUDGET: [(&str, u64); 3] = [("wasm", 250_000), ("js", 15_000), ("css", 20_000)];

/// Builds the explorer into `dist`, unless it stands for exactly these sources.
pub(crate) fn frontend(place: &Place) -> Result<(), Failure> {
    let name = "building the explorer";
    let stamp = place.root.join("dist").join(".sources");
    let sources = fingerprint(place)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == sources) {
        skipped(name, "already built from these sources");
        return Ok(());
    }
    step(name, || {
        let dist = place.root.join("dist");
        trunk(place, "index.html", &dist)?;
        for program in FURTHER {
            let name = format!("{program}.html");
            let beside = place.target.join(format!("{program}-dist"));
            let page = further_page(place, program)?;
            let built = trunk(place, &name, &beside);
            std::fs::remove_file(&page)
                .map_err(|e| Failure(format!("{} cannot be removed: {e}", page.display())))?;
            built?;
            add(&beside, &name, &dist)?;
        }
        compress(&dist)?;
        weigh(&dist, "index.html")?;
        for program in FURTHER {
            weigh(&dist, &format!("{program}.html"))?;
        }
        std::fs::write(&stamp, sources)
            .map_err(|e| Failure(format!("{} cannot be written: {e}", stamp.display())))
    })
}

/// Writes the page of a further program beside the first one, which it equals but for its program: Trunk builds one program for a page.
fn further_page(place: &Place, program: &str) -> Result<PathBuf, Failure> {
    let folder = place.root.join("frontend");
    let page = std::fs::read_to_string(folder.join("index.html"))
        .map_err(|e| Failure(format!("frontend/index.html cannot be read: {e}")))?;
    let path = folder.join(format!("{program}.html"));
    let named = format!("data-bin=\"{program}\"");
    std::fs::write(&path, page.replace("data-bin=\"study\"", &named))
        .map_err(|e| Failure(format!("{} cannot be written: {e}", path.display())))?;
    Ok(path)
}

/// Builds one of the explorer's pages with its program into a folder, as `index.html`.
fn trunk(place: &Place, page: &str, folder: &Path) -> Result<(), Failure> {
    // Trunk reads NO_COLOR as a boolean and stops at other values.
    run(command(place, "trunk")
        .args(["build", "--release", "--offline", "--dist"])
        .arg(folder)
        .arg(Path::new("frontend").join(page))
        .env_remove("NO_COLOR"))?;
    bundle(folder)
}

/// Adds what was built for one page to the others' folder, its page under its own name. Files of the same name are the same files: names
/// have hashes.
fn add(from: &Path, page: &str, folder: &Path) -> Result<(), Failure> {
    let mut files = Vec::new();
    collect(from, &mut files);
    for file in files {
        let name = match file.file_name() {
            Some(name) if name == "index.html" => page.as_ref(),
            Some(name) => name,
            None => continue,
        };
        std::fs::copy(&file, folder.join(name))
            .map_err(|e| Failure(format!("{} cannot be copied: {e}", file.display())))?;
    }
    Ok(())
}

/// Writes `name.br` beside what the browser loads, so that the server need not compress it anew, and less well, for everyone.
fn compress(folder: &Path) -> Result<(), Failure> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    let large = |file: &PathBuf| {
        file.extension()
            .is_some_and(|kind| ["wasm", "js", "css"].iter().any(|known| kind == *known))
    };
    for file in files.into_iter().filter(large) {
        let failed = |e| Failure(format!("{} cannot be compressed: {e}", file.display()));
        let bytes = std::fs::read(&file).map_err(failed)?;
        let mut compressed = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams::default();
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut compressed, &parameters)
            .map_err(failed)?;
        let mut name = file.clone().into_os_string();
        name.push(".br");
        std::fs::write(name, compressed).map_err(failed)?;
    }
    Ok(())
}

/// Says what a first visit to a page loads, and refuses more than [`BUDGET`].
fn weigh(folder: &Path, page: &str) -> Result<(), Failure> {
    let html = std::fs::read_to_string(folder.join(page))
        .map_err(|e| Failure(format!("{page} cannot be read: {e}")))?;
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.retain(|file| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        html.contains(name.as_ref())
    });
    for (kind, budget) in BUDGET {
        let ending = format!(".{kind}.br");
        let sizes = files.iter().filter_map(|file| {
            let mine = file.to_string_lossy().ends_with(&ending);
            mine.then(|| file.metadata().map_or(0, |found| found.len()))
        });
        let bytes: u64 = sizes.sum();
        println!("   {page}, {kind}: {bytes} bytes compressed, of {budget}");
        if bytes > budget {
            return Err(Failure(format!(
                "the {kind} files of {page} have {bytes} bytes compressed, more than the {budget} of its budget: see what grew"
            )));
        }
    }
    Ok(())
}

fn binary(place: &Place, duckdb: DuckDb) -> Result<(), Failure> {
    step("building the program", || {
        let mut build = command(place, "cargo");
        // The same selection as the tests', so that both share every dependency as built.
        build.args([
            "build",
            "--release",
            "--workspace",
            "--exclude",
            "frontend",
            "--bin",
            "stereoscope",
        ]);
        run(build.args(duckdb.features()))
    })
}

/// Builds and serves the demo study; the options go to `stereoscope demo`.
pub(crate) fn demo(place: &Place, options: &[String]) -> Result<(), Failure> {
    all(place)?;
    println!("── opening the demo study");
    let mut demo = Command::new(place.binary());
    demo.arg("demo").args(options).current_dir(&place.root);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let error = demo.exec();
        Err(Failure(format!(
            "{} could not be started: {error}",
            place.binary().display()
        )))
    }
    #[cfg(not(unix))]
    run(&mut demo)
}

fn fingerprint(place: &Place) -> Result<String, Failure> {
    let mut files = Vec::new();
    for part in FRONTEND {
        collect(&place.root.join(part), &mut files);
    }
    files.sort();
    hash(&place.root, &files)
}

/// One hash of files' names and contents.
pub(crate) fn hash(root: &Path, files: &[PathBuf]) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    for file in files {
        let bytes = std::fs::read(file)
            .map_err(|e| Failure(format!("{} cannot be read: {e}", file.display())))?;
        hash.update(
            file.strip_prefix(root)
                .unwrap_or(file)
                .to_string_lossy()
                .as_bytes(),
        );
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    Ok(crate::duckdb::hexadecimal(&hash.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_path_buf());
    } else if let Ok(entries) = std::fs::read_dir(path) {
        entries
            .flatten()
            .for_each(|entry| collect(&entry.path(), files));
    }
}
