//! `serve` and `demo`: a study in the browser.

use std::path::{Path, PathBuf};

use pipeline::{Bars, Dictionaries, Wanted};
use server::{ClientLimits, Options, Plan};
use tokio::runtime::Runtime;

use super::hub::Hub;
use super::{device, value};
use crate::arguments::{Demo, Limits, Serve};
use crate::failure::Failure;

/// Opens the demo study: the one named, the one beside the program, or the one in the repository around it.
pub(crate) fn demo(demo: Demo, offline: bool) -> Result<(), Failure> {
    let study = demo.study.or_else(find_demo).ok_or_else(|| {
        Failure::new("the demo study is not beside the program, nor in a repository around it or around the current folder; name it with --study")
    })?;
    open(study, &demo.limits, offline)
}

/// Opens a study.
pub(crate) fn serve(serve: Serve, offline: bool) -> Result<(), Failure> {
    open(serve.study, &serve.limits, offline)
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

fn open(study: PathBuf, limits: &Limits, offline: bool) -> Result<(), Failure> {
    let hub = Hub {
        offline,
        progress: &Bars::default(),
    };
    // Without models, what is analysed needs no weights.
    let analysed = limits.browse_only && study.join("study.duckdb").is_file();
    let wanted = Wanted {
        models: !limits.browse_only,
        dictionaries: if analysed {
            Dictionaries::None
        } else {
            Dictionaries::All
        },
    };
    hub.study(&study, wanted)?;
    let mut options = Options::new(study);
    options.addr = limits.addr;
    options.device = device(&limits.device)?;
    options.weights = limits.weights;
    let place = |flag, name: &Option<String>| {
        let name = name.as_ref();
        name.map(|name| value(flag, name)).transpose()
    };
    options.model_devices = [
        place("--base-device", &limits.base_device)?,
        place("--chat-device", &limits.chat_device)?,
    ];
    options.precision = value("--precision", &limits.precision)?;
    options.memory = limits.planning.memory.map(|size| size.0);
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
    options.limits.prompt_cache = limits.prompt_cache.0;
    options.runs.clone_from(&limits.runs);
    options.max_runs = limits.max_runs;
    let plan = server::plan(&options)?;
    if limits.planning.plan {
        return show(plan.as_ref(), limits.planning.json);
    }
    if let Some(plan) = plan.filter(|plan| plan.fits) {
        eprintln!("{plan}");
    }
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

/// Prints a plan; one that does not fit fails, with it printed all the same.
fn show(plan: Option<&Plan>, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(&plan)?);
    } else if let Some(plan) = plan {
        println!("{plan}");
    } else {
        println!(
            "memory: no models; what pages show of latents takes some 2 kB of each, and the databases up to 384 MB"
        );
    }
    match plan {
        Some(plan) if !plan.fits => Err(Failure::new(format!(
            "it does not fit: {}; without --plan the program names the nearest that does",
            plan.shortage()
        ))),
        _ => Ok(()),
    }
}
