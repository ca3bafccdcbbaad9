//! The one program: `stereoscope`. Reads the command line, calls the crate that does the work, prints what came of it.

mod arguments;
mod commands;
mod failure;
mod print;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command, Organism};
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter =
        EnvFilter::try_from_env("STEREOSCOPE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(arguments.command, arguments.offline) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, offline: bool) -> Result<(), Failure> {
    match command {
        Command::Demo(demo) => commands::serve::demo(demo, offline),
        Command::Serve(serve) => commands::serve::serve(serve, offline),
        Command::Init(init) => commands::study::init(init, offline),
        Command::Collect(collect) => commands::study::collect(collect, offline),
        Command::Train(train) => commands::train::train(*train),
        Command::Analyse(analyse) => commands::study::analyse(analyse, offline),
        Command::Merge(merge) => commands::study::merge(merge, offline),
        Command::Activations(activations) => {
            commands::activations::activations(activations, offline)
        }
        Command::Organism(Organism::Build(build)) => commands::organism::build(build),
        Command::Organism(Organism::Report(report)) => commands::organism::report(report),
    }
}
