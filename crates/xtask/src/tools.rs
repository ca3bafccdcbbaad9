//! The tools that the build needs, installed where they are missing.

use std::path::PathBuf;

use crate::duckdb::{self, DuckDb};
use crate::place::{Place, read};
use crate::step::{Failure, command, output, run, skipped, step};

const TRUNK: &str = "0.21.14";
const WASM: &str = "wasm32-unknown-unknown";

/// Everything `cargo xtask build` needs.
pub(crate) fn setup(place: &Place) -> Result<DuckDb, Failure> {
    let duckdb = duckdb::ensure(place)?;
    wasm_target(place)?;
    install(
        place,
        "wasm-bindgen",
        "wasm-bindgen-cli",
        &wasm_bindgen_version(place)?,
        &[],
    )?;
    // Without its defaults it cannot download, which it need not.
    install(place, "trunk", "trunk", TRUNK, &["--no-default-features"])?;
    Ok(duckdb)
}

fn wasm_target(place: &Place) -> Result<(), Failure> {
    let libraries =
        output(command(place, "rustc").args(["--print", "target-libdir", "--target", WASM]));
    if libraries.is_some_and(|folder| PathBuf::from(folder).is_dir()) {
        return Ok(());
    }
    step(&format!("adding the Rust target {WASM}"), || {
        run(command(place, "rustup").args(["target", "add", WASM]))
    })
}

/// wasm-bindgen's command must be of the very version in Cargo.lock.
fn wasm_bindgen_version(place: &Place) -> Result<String, Failure> {
    let path = place.root.join("Cargo.lock");
    let lock = read(&path)?;
    lock.split("[[package]]")
        .find(|package| package.contains("name = \"wasm-bindgen\"\n"))
        .and_then(|package| {
            package
                .lines()
                .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        })
        .map(str::to_owned)
        .ok_or_else(|| Failure(format!("{} names no wasm-bindgen", path.display())))
}

fn install(
    place: &Place,
    program: &str,
    package: &str,
    version: &str,
    more: &[&str],
) -> Result<(), Failure> {
    let found = output(command(place, program).arg("--version"));
    if found.is_some_and(|line| line.split_whitespace().any(|word| word == version)) {
        return Ok(());
    }
    step(
        &format!("installing {package} {version} (once; some minutes)"),
        || {
            run(command(place, "cargo")
                .args([
                    "install",
                    package,
                    "--version",
                    version,
                    "--locked",
                    "--force",
                    "--root",
                ])
                .arg(&place.tools)
                .arg("--target-dir")
                .arg(place.tools.join("build"))
                .args(more)
                // They run for seconds: a fast build is worth more than a fast program.
                .envs([
                    ("CARGO_PROFILE_RELEASE_LTO", "off"),
                    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
                    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
                ]))
        },
    )?;
    // The intermediate files are worth nothing once the program stands.
    let _ = std::fs::remove_dir_all(place.tools.join("build"));
    Ok(())
}

/// A Chromium for the browser tests.
pub(crate) fn chromium(place: &Place) -> Result<PathBuf, Failure> {
    if let Some(found) = find_chromium(place) {
        return Ok(found);
    }
    let advice = "the browser tests need Chromium: install it (Debian and Ubuntu: apt-get install chromium), or name it in CHROME";
    if output(command(place, "apt-get").arg("--version")).is_none() {
        return Err(Failure(advice.into()));
    }
    let root = output(command(place, "id").arg("-u")).is_some_and(|id| id == "0");
    step("installing Chromium with apt", || {
        for arguments in [
            &["update", "-qq"][..],
            &[
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "chromium",
            ],
        ] {
            let mut install = command(place, if root { "apt-get" } else { "sudo" });
            if !root {
                install.args(["-n", "apt-get"]);
            }
            run(install
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive"))?;
        }
        Ok(())
    })
    .map_err(|Failure(why)| Failure(format!("{why}; {advice}")))?;
    find_chromium(place).ok_or_else(|| Failure(advice.into()))
}

fn find_chromium(place: &Place) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROME").map(PathBuf::from) {
        return named.is_file().then_some(named);
    }
    let path = std::env::var_os("PATH")?;
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        skipped(
            "Chromium",
            &format!("not found on the path from {}", place.root.display()),
        );
    }
    found
}
