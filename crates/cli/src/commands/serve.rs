//! `serve` and `demo`: a study in the browser.

use std::path::{Path, PathBuf};

use server::{ClientLimits, Options};
use tokio::runtime::Runtime;

use super::device;
use crate::arguments::{Demo, Limits, Serve};
use crate::failure::Failure;

/// Opens the demo study: the one named, the one beside the program, or the one in the repository around it.
pub(crate) fn demo(demo: Demo) -> Result<(), Failure> {
    let study = demo.study.or_else(find_demo).ok_or_else(|| {
        Failure::new("the demo study is not beside the program, nor in a repository around it or around the current folder; name it with --study")
    })?;
    open(study, &demo.limits)
}

/// Opens a study.
pub(crate) fn serve(serve: Serve) -> Result<(), Failure> {
    open(serve.study, &serve.limits)
}

fn find_demo() -> Option<PathBuf> {
    let is_study = |folder: PathBuf| folder.join("study.toml").is_file().then_some(folder);
    let program = std::env::current_exe().ok()?;
    let beside = program
        .parent()
        .map(|folder| folder.join("demo"))
        .and_then(is_study);
    let around = |place: &Path| {
        place
            .ancestors()
            .find_map(|folder| is_study(folder.join("assets").join("demo")))
    };
    beside
        .or_else(|| around(&program))
        .or_else(|| around(&std::env::current_dir().ok()?))
}

fn open(study: PathBuf, limits: &Limits) -> Result<(), Failure> {
    let mut options = Options::new(study);
    options.addr = limits.addr;
    options.device = device(&limits.device)?;
    options.weights = limits.weights;
    options.browse_only = limits.browse_only;
    options.limits.queue = limits.queue;
    options.limits.prompt_tokens = limits.max_prompt_tokens;
    options.public_url.clone_from(&limits.public_url);
    options.clients = ClientLimits {
        per_minute: limits.client_per_minute,
        at_once: limits.client_at_once,
        forwarded: limits.behind_proxy,
    };
    options.limits.generations = limits.generations;
    options.runs.clone_from(&limits.runs);
    options.max_runs = limits.max_runs;
    let runtime = Runtime::new()?;
    let result = runtime.block_on(server::serve(options, |started| {
        println!("Stereoscope is open at http://{}", started.addr);
        if let Some(url) = &limits.public_url {
            println!("readers come by {url}");
        }
        if let Some(why) = &started.without_models {
            println!("without models: {why}");
        }
    }));
    // The model worker may be in the middle of a token; nothing is lost by leaving it there.
    runtime.shutdown_background();
    Ok(result?)
}
