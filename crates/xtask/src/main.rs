//! Development tasks: `cargo demo`, `cargo check-all`, `cargo xtask setup|build|cuda|cuda-test|cuda-bench`. Each installs what it lacks,
//! prints every step with its time, and does nothing twice.

mod build;
mod bundle;
mod check;
mod cuda;
mod duckdb;
mod place;
mod step;
mod tools;

use std::process::ExitCode;

use place::Place;
use step::Failure;

const USAGE: &str = "\
cargo demo [OPTIONS]      build everything and open the demo study; OPTIONS go to `stereoscope demo`
cargo check-all           format, lints and every test, the browser's included
cargo xtask setup         install the tools that the build needs (DuckDB's library, wasm target, wasm-bindgen, Trunk)
cargo xtask build         the release binary, with the explorer inside
cargo xtask cuda          the same for NVIDIA GPUs, into target/cuda; needs neither GPU nor driver
cargo xtask cuda-test     the libraries' tests on a GPU
cargo xtask cuda-bench    the models' benchmark on a GPU";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments
        .split_first()
        .map_or(("help", &[][..]), |(c, r)| (c.as_str(), r));
    let result = Place::find().and_then(|place| match command {
        "demo" => build::demo(&place, rest),
        "check-all" => check::all(&place),
        "setup" => tools::setup(&place).map(drop),
        "build" => build::all(&place).map(drop),
        "cuda" => cuda::build(&place),
        "cuda-test" => cuda::test(&place),
        "cuda-bench" => cuda::bench(&place),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(Failure(format!("there is no task {other:?}\n{USAGE}"))),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
