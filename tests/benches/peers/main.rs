//! Speed and memory as ratios to the Python peers, both measured in one run: `cargo bench -p tests --bench peers [-- train|scaling|collect]`.
//!
//! Each side of a case is a process of its own, so that peaks of memory are separate. They take turns, one repetition each, and the medians
//! are compared. The peers are not part of this repository; README.md beside this file says what to install.

mod case;
mod collect;
mod data;
mod peers;
mod report;
mod scaling;
mod train;

use std::process::ExitCode;

use case::Case;
use harness::side;
use peers::Peers;

/// What can be measured.
const TASKS: [&str; 3] = ["train", "scaling", "collect"];

fn cases(task: &str, peers: &Peers) -> Result<Vec<Case>, String> {
    match task {
        "train" => Ok(train::cases()),
        "scaling" => scaling::cases(peers),
        _ => Ok(collect::cases()),
    }
}

fn ours(task: &str, setup: &serde_json::Value) -> case::Task {
    match task {
        "train" => train::ours(setup),
        "scaling" => scaling::ours(setup),
        _ => collect::ours(setup),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, task] = arguments.as_slice()
        && flag == side::FLAG
    {
        side::serve(|setup| ours(task, setup));
        return ExitCode::SUCCESS;
    }
    // Without this flag it is not `cargo bench` that calls, but a test run over all targets.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("peers: skipped; it runs with `cargo bench -p tests --bench peers`");
        return ExitCode::SUCCESS;
    }
    // Names of tasks choose tasks; any other text chooses the cases whose name has it.
    let (tasks, texts): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with('-'))
        .partition(|argument| TASKS.contains(argument));
    let peers = match Peers::from_environment() {
        Ok(peers) => peers,
        Err(reason) => {
            println!("peers: skipped. {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let mut report = report::Report::start();
    for task in TASKS {
        if !tasks.is_empty() && !tasks.contains(&task) {
            continue;
        }
        match cases(task, &peers) {
            Ok(cases) => cases
                .iter()
                .filter(|case| texts.iter().all(|text| case.name.contains(text)))
                .for_each(|case| report.measure(case, &peers)),
            Err(reason) => println!("{task}: skipped. {reason}"),
        }
    }
    report.finish();
    ExitCode::SUCCESS
}
