//! The program for NVIDIA GPUs: a CUDA toolkit where the machine has none, and a build of its own.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::{self, Place};
use crate::step::{Failure, command, output, run, skipped, step};
use crate::{build, duckdb, tools};

/// NVIDIA's own wheels on PyPI: the compiler, its headers, and the libraries to link against. No GPU or driver is needed.
const WHEELS: [&str; 8] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-runtime==13.0.88",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-curand==10.4.0.35",
    "nvidia-cublas==13.0.2.14",
];

/// Libraries that are linked by their plain names, which wheels lack.
const LIBRARIES: [&str; 5] = [
    "libcudart",
    "libcublas",
    "libcublasLt",
    "libcurand",
    "libnvrtc",
];

/// What is compiled for where there is no GPU to ask: Hopper.
const COMPUTE_CAPABILITY: &str = "90";

/// The device to use, for tests and benchmarks; unless the environment says otherwise, it is [`DEVICE`].
const DEVICES: [&str; 2] = ["STEREOSCOPE_TEST_DEVICE", "STEREOSCOPE_BENCH_DEVICE"];
const DEVICE: &str = "cuda:0";

/// Builds the program with the feature `cuda` into `target/cuda`.
pub(crate) fn build(place: &Place) -> Result<(), Failure> {
    let (own, toolkit) = cargo(
        place,
        "building the program for CUDA (long, the first time)",
        &["build", "--bin", "stereoscope"],
        &[],
    )?;
    println!("── the program is {}", own.binary().display());
    if let Some(home) = toolkit {
        println!(
            "── it needs the NVIDIA driver where it runs, and CUDA's libraries: LD_LIBRARY_PATH={}",
            home.join("lib").display()
        );
    }
    Ok(())
}

/// Runs the libraries' own tests, and those of the models, with the feature `cuda` on a GPU: cuda:0, or the device that the environment
/// names. They fail without one. One at a time, as they share the device.
pub(crate) fn test(place: &Place) -> Result<(), Failure> {
    let arguments = ["test", "--lib", "--test", "device"];
    cargo(
        place,
        "testing with CUDA",
        &arguments,
        &["--", "--test-threads", "1"],
    )
    .map(drop)
}

/// Runs the benchmark of the models on a GPU, as [`test`] finds it.
pub(crate) fn bench(place: &Place) -> Result<(), Failure> {
    let arguments = ["test", "--bench", "gemma"];
    cargo(
        place,
        "benchmarking with CUDA",
        &arguments,
        &["--", "--bench"],
    )
    .map(drop)
}

/// Runs Cargo with the feature `cuda`; says where it put things, and the toolkit's folder as [`toolkit`] does.
fn cargo(
    place: &Place,
    name: &str,
    arguments: &[&str],
    last: &[&str],
) -> Result<(Place, Option<PathBuf>), Failure> {
    let prebuilt = tools::setup(place)?;
    build::frontend(place)?;
    let toolkit = toolkit(place)?;
    let own = Place {
        root: place.root.clone(),
        target: place.target.join("cuda"),
        tools: place.tools.clone(),
    };
    duckdb::ensure(&own)?;
    step(name, || {
        let mut cargo = command(&own, "cargo");
        cargo
            .args(arguments)
            .args(["--release", "--workspace", "--exclude", "frontend"])
            .args(["--features", "cli/cuda"])
            .args(prebuilt.features())
            .arg("--target-dir")
            .arg(&own.target)
            .args(last);
        if let Some(home) = &toolkit {
            use_toolkit(&mut cargo, home)?;
        }
        if std::env::var_os("CUDA_COMPUTE_CAP").is_none() {
            let capability = compute_capability();
            let capability = capability.as_deref().unwrap_or(COMPUTE_CAPABILITY);
            cargo.env("CUDA_COMPUTE_CAP", capability);
        }
        for variable in DEVICES {
            if std::env::var_os(variable).is_none() {
                cargo.env(variable, DEVICE);
            }
        }
        run(&mut cargo)
    })?;
    Ok((own, toolkit))
}

/// The folder of a toolkit put there by this task; `None` where the machine has one.
fn toolkit(place: &Place) -> Result<Option<PathBuf>, Failure> {
    let named = std::env::var_os("CUDA_HOME").is_some();
    if named || output(command(place, "nvcc").arg("--version")).is_some() {
        skipped("the CUDA toolkit", "this machine's own is used");
        return Ok(None);
    }
    let root = place.tools.join("cuda-13.0");
    let home = root.join("nvidia").join("cu13");
    let stamp = root.join("installed");
    if stamp.is_file() {
        return Ok(Some(home));
    }
    step("fetching a CUDA toolkit from PyPI (some 2 GB)", || {
        // A second `--target` would replace what the first one put there, so all come in one call.
        run(command(place, "python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--upgrade",
                "--target",
            ])
            .arg(&root)
            .args(WHEELS))?;
        complete(place, &home)?;
        std::fs::write(&stamp, "")
            .map_err(|e| Failure(format!("{} cannot be written: {e}", stamp.display())))
    })?;
    Ok(Some(home))
}

/// Gives the libraries the names that a linker looks for, with a stand-in for the driver's, which no wheel has.
fn complete(place: &Place, home: &Path) -> Result<(), Failure> {
    let lib = home.join("lib");
    let failed = |e: std::io::Error| Failure(format!("{}: {e}", lib.display()));
    let names: Vec<String> = std::fs::read_dir(&lib)
        .map_err(failed)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    for library in LIBRARIES {
        let plain = format!("{library}.so");
        let versioned = names.iter().find(|n| n.starts_with(&format!("{plain}.")));
        let versioned = versioned.ok_or_else(|| {
            Failure(format!(
                "{} has no {library}; delete the folder and try again",
                lib.display()
            ))
        })?;
        link(Path::new(versioned), &lib.join(plain)).map_err(failed)?;
    }
    link(Path::new("lib"), &home.join("lib64")).map_err(failed)?;
    let source = lib.join("driver.c");
    let header = place::read(&home.join("include").join("cuda.h"))?;
    std::fs::write(&source, driver(&header)).map_err(failed)?;
    run(command(place, "cc")
        .args(["-shared", "-Wl,-soname,libcuda.so.1", "-o"])
        .arg(lib.join("libcuda.so"))
        .arg(&source))
}

/// A library in C with every name of the driver's interface, to link against; where the program runs, the driver's own is loaded.
fn driver(header: &str) -> String {
    let names: BTreeSet<&str> = header
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            let rest = word.strip_prefix("cu").unwrap_or_default();
            rest.starts_with(|c: char| c.is_ascii_uppercase())
        })
        .collect();
    names.iter().fold(String::new(), |mut text, name| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "void {name}(void) {{}}");
        text
    })
}

fn link(target: &Path, name: &Path) -> std::io::Result<()> {
    if name.symlink_metadata().is_ok() {
        std::fs::remove_file(name)?;
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(target, name)
    }
    #[cfg(not(unix))]
    {
        let folder = name.parent().unwrap_or(Path::new("."));
        std::fs::copy(folder.join(target), name).map(drop)
    }
}

/// Lets a build find the toolkit.
fn use_toolkit(cargo: &mut Command, home: &Path) -> Result<(), Failure> {
    for name in [
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_ROOT",
        "CUDA_TOOLKIT_ROOT_DIR",
    ] {
        cargo.env(name, home);
    }
    let lib = home.join("lib");
    cargo.env("LIBRARY_PATH", &lib);
    put_first(cargo, "PATH", home.join("bin"))?;
    // Tests are run by Cargo itself.
    put_first(cargo, "LD_LIBRARY_PATH", lib)
}

/// What this machine's oldest GPU can do, as the compiler takes it: 90 for 9.0.
fn compute_capability() -> Option<String> {
    let mut ask = Command::new("nvidia-smi");
    ask.args(["--query-gpu=compute_cap", "--format=csv,noheader"]);
    oldest(&output(&mut ask)?)
}

/// The least of the numbers on the lines, without its point.
fn oldest(answer: &str) -> Option<String> {
    let numbers = answer.lines().filter_map(|line| {
        let (major, minor) = line.trim().split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let (major, minor) = numbers.min()?;
    Some(format!("{major}{minor}"))
}

/// Puts a folder before those of a variable that lists folders.
fn put_first(cargo: &mut Command, name: &str, folder: PathBuf) -> Result<(), Failure> {
    let set = cargo
        .get_envs()
        .find_map(|(key, value)| (key == name).then_some(value?.to_owned()));
    let old = set.or_else(|| std::env::var_os(name));
    let folders = std::iter::once(folder).chain(old.iter().flat_map(std::env::split_paths));
    let path = std::env::join_paths(folders)
        .map_err(|e| Failure(format!("no folder can be added to {name}: {e}")))?;
    cargo.env(name, path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::oldest;

    #[test]
    fn the_oldest_gpu_is_compiled_for() {
        assert_eq!(oldest("9.0\n").as_deref(), Some("90"));
        assert_eq!(oldest("12.0\n8.9\n9.0").as_deref(), Some("89"));
        assert_eq!(oldest("No devices were found"), None);
    }
}
