//! Gemma-2 against transformers: `cargo bench --workspace --exclude frontend --bench gemma [-- decode|read|pair|lanes|small]`, on this machine's
//! CPU or on the GPU that STEREOSCOPE_BENCH_DEVICE names; `cargo xtask cuda-bench` builds for one and names it.
//!
//! Random checkpoints of Gemma-2 2B's shape in bf16 and a dictionary of 73,728 latents are written first, 12 GB in all, into the folder that
//! STEREOSCOPE_BENCH_FOLDER names, else below the system's temporary one, and removed at the end. Then are measured: how quickly memory is
//! read, decoding and reading a prompt with one model, starting, reading and the memory of a pair with its dictionary, and the engine's lanes
//! with interventions; with the small models of this repository, a prompt through a pair and its dictionary. STEREOSCOPE_PEER_PYTHON names
//! a Python with torch and transformers; without it this program's side is measured alone.

mod checkpoint;
mod lanes;
mod ours;
mod sweep;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::machine;
use harness::side::{FLAG, Side, serve};
use ours::count;
use serde_json::{Value, json};

/// Tokens that are read, on a GPU and else, and those of them that are decoded one by one.
const TOKENS: [usize; 2] = [512, 256];
const NEW: usize = 16;
/// Tokens that lanes generate on a GPU and else, after so many of the prompt.
const GENERATED: [usize; 2] = [65, 9];
const BEFORE: usize = 32;
/// The block after which the pair is compared.
const LAYER: usize = 13;
const GB: f64 = 1e9;

/// What is measured on both sides, in turns.
struct Case<'a> {
    name: String,
    setup: Value,
    repetitions: usize,
    /// Number formats of the peer, with the ratio to reach.
    peers: &'a [(&'a str, Option<f64>)],
    /// Makes a rate of the time.
    units: (f64, &'a str),
}

/// Medians of one side's repetitions.
struct Measured {
    seconds: Vec<f64>,
    /// Seconds of processor time, over all threads; with what goes before the time that is taken.
    used: Vec<f64>,
    check: Vec<f64>,
    peak: Option<u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|flag| flag == FLAG) {
        serve(ours::task);
        return ExitCode::SUCCESS;
    }
    // Without this flag it is not `cargo bench` that calls, but a test run over all targets.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!(
            "gemma: skipped; it runs with `cargo bench --workspace --exclude frontend --bench gemma`"
        );
        return ExitCode::SUCCESS;
    }
    let named: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |task: &str| named.is_empty() || named.iter().any(|name| *name == task);
    let device = env::var(DEVICE).unwrap_or_else(|_| "cpu".into());
    let on = |[gpu, cpu]: [usize; 2]| if device == "cpu" { cpu } else { gpu };
    println!(
        "{}, {device}, {} threads a side, load {}",
        machine::processor(),
        machine::threads(),
        machine::load()
    );
    if wanted("small") && device == "cpu" {
        small();
    }
    if !["decode", "read", "pair", "lanes"].into_iter().any(wanted) {
        return ExitCode::SUCCESS;
    }
    let folder = folder();
    println!("\nwriting checkpoints into {}", folder.display());
    let model = folder.join("base");
    checkpoint::write_model(&model, 1);
    let tokens = on(TOKENS);
    let ids: Vec<usize> = (0..tokens)
        .map(|i| (i * 7919 + 11) % checkpoint::VOCABULARY)
        .collect();
    let setup = |task: &str, more: Value| {
        let mut setup =
            json!({"task": task, "device": device, "model": model, "ids": ids, "new": NEW});
        for (key, value) in more.as_object().into_iter().flatten() {
            setup[key] = value.clone();
        }
        setup
    };
    if wanted("decode") {
        let setup = setup("decode", json!({"ids": ids[..BEFORE + NEW]}));
        decode(setup, device == "cpu");
    }
    if wanted("read") {
        let cpu: &[_] = &[("float32", Some(1.0)), ("bfloat16", None)];
        measure(&Case {
            name: format!("2B, {tokens} tokens read"),
            setup: setup("read", json!({})),
            repetitions: 5,
            peers: if device == "cpu" { cpu } else { HALF },
            units: (tokens as f64, "tokens/s"),
        });
    }
    if wanted("pair") || wanted("lanes") {
        let (chat, dictionary) = (folder.join("chat"), folder.join("dictionary"));
        checkpoint::write_model(&chat, 2);
        checkpoint::write_dictionary(&dictionary, 3);
        let more = json!({
            "dtype": "bfloat16", "chat": chat, "dictionary": dictionary, "layer": LAYER, "prompts": 1, "every": false,
        });
        if wanted("pair") {
            pair(&setup("pair", more.clone()), tokens);
            if device != "cpu" {
                measure(&Case {
                    name: format!("2B pair, {tokens} tokens through both and encoded"),
                    setup: setup("pair", more.clone()),
                    repetitions: 7,
                    peers: HALF,
                    units: (tokens as f64, "tokens/s"),
                });
            }
        }
        if wanted("lanes") {
            for folder in [&model, &chat] {
                lanes::add_tokenizer(folder);
            }
            let mut setup = setup("lanes", more);
            setup["ids"] = json!(ids[..BEFORE]);
            setup["new"] = json!(on(GENERATED));
            all_lanes(&setup);
        }
    }
    if env::var_os(FOLDER).is_none() {
        let removed = std::fs::remove_dir_all(&folder);
        println!("\nremoved {}: {}", folder.display(), removed.is_ok());
    }
    ExitCode::SUCCESS
}

const FOLDER: &str = "STEREOSCOPE_BENCH_FOLDER";
const DEVICE: &str = "STEREOSCOPE_BENCH_DEVICE";
/// The peer that is to be led where both sides compute in bf16.
const HALF: &[(&str, Option<f64>)] = &[("bfloat16", Some(1.0))];

/// Where the checkpoints are written. One that was named is kept for the next time.
fn folder() -> PathBuf {
    let named = env::var_os(FOLDER).map(PathBuf::from);
    named.unwrap_or_else(|| env::temp_dir().join(format!("gemma-bench-{}", std::process::id())))
}

/// One and eight lanes, and what interventions on every generated token add to one.
fn all_lanes(setup: &Value) {
    let steps = count(setup, "new") - 1;
    let run = |lanes: usize, kind: &str, what: &str| {
        let mut setup = setup.clone();
        setup["lanes"] = json!(lanes);
        setup["intervention"] = json!(kind);
        measure(&Case {
            name: format!("2B, {steps} tokens of {lanes} lanes after {BEFORE}, {what}"),
            setup,
            repetitions: 5,
            peers: HALF,
            units: ((lanes * steps) as f64, "tokens/s"),
        })
    };
    let plain = run(1, "none", "without intervention");
    // On the CPU the peer takes minutes to read eight prompts in bf16.
    if setup["device"] != "cpu" {
        run(8, "none", "without intervention");
    }
    for (kind, what) in lanes::INTERVENTIONS {
        let Some((plain, edited)) = plain.as_ref().zip(run(1, kind, what)) else {
            continue;
        };
        let added = |plain: &Measured, edited: &Measured| {
            let more = median(&edited.seconds) - median(&plain.seconds);
            format!("{:.3} ms", more / steps as f64 * 1e3)
        };
        println!("  added per token: ours {}", added(&plain.0, &edited.0));
        if let Some((plain, edited)) = plain.1.as_ref().zip(edited.1.as_ref()) {
            println!("  added per token: theirs {}", added(plain, edited));
        }
    }
}

/// Decoding, against the peer and on the CPU against what reading every weight once per token allows.
fn decode(setup: Value, on_cpu: bool) {
    let case = Case {
        name: format!("2B, {NEW} tokens decoded after {BEFORE}"),
        setup,
        repetitions: 7,
        peers: &[("bfloat16", Some(1.2))],
        units: (NEW as f64, "tokens/s"),
    };
    if !on_cpu {
        measure(&case);
        return;
    }
    let sweep = median(&sweep::sweeps());
    let bound = sweep / checkpoint::bytes() as f64;
    println!(
        "\nmemory reads {:.1} GB/s: at most {bound:.2} tokens/s of {:.2} GB each",
        sweep / GB,
        checkpoint::bytes() as f64 / GB
    );
    if let Some((ours, _)) = measure(&case) {
        let again = median(&sweep::sweeps());
        let rate = NEW as f64 / median(&ours.seconds);
        println!(
            "  of the bound {:.2} (bar 0.7); memory read {:.1} GB/s afterwards",
            rate / bound,
            again / GB
        );
    }
}

/// Start, memory and one prompt of a pair with its dictionary.
fn pair(setup: &Value, tokens: usize) {
    println!("\n2B pair with {} latents", checkpoint::LATENTS);
    let log = tempfile::NamedTempFile::new().expect("a file for messages");
    let started = Side::start(our_command(), setup, log.path()).and_then(|(mut side, _)| {
        let (load, _) = side.run(0)?;
        let resident = side.resident();
        println!(
            "  loaded in {:.2} s (bar 10), resident {} (bar 16 GB)",
            load.seconds,
            size(resident)
        );
        let mut seconds = Vec::new();
        let mut active = f64::NAN;
        for number in 1..=4 {
            let (prompt, _) = side.run(number)?;
            active = prompt.check.last().copied().unwrap_or(f64::NAN);
            seconds.push(prompt.seconds);
        }
        println!(
            "  {tokens} tokens through both and encoded: {}, {:.0} latents active per token; resident {}, peak {}",
            time(&seconds[1..]),
            active,
            size(side.resident()),
            size(side.peak())
        );
        Ok(())
    });
    if let Err(reason) = started {
        println!("  not measured: {reason}");
    }
}

/// A prompt through the small pairs of this repository and their dictionaries.
fn small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, folder, dictionary, layer) in [
        (
            "reference pair",
            root.join("fixtures"),
            "crosscoder-batchtopk",
            2,
        ),
        (
            "demo pair",
            root.join("../assets/demo"),
            "dictionaries/batchtopk",
            4,
        ),
    ] {
        let ids: Vec<usize> = (0..64).map(|i| 4 + (i * 37) % 200).collect();
        measure(&Case {
            name: format!("{name}, 20 prompts of 64 tokens through both and encoded"),
            setup: json!({
                "task": "pair", "model": folder.join("base"), "chat": folder.join("chat"),
                "dictionary": folder.join(dictionary), "ids": ids, "layer": layer, "prompts": 20, "every": true,
            }),
            repetitions: 15,
            peers: &[("float32", Some(1.0))],
            units: (20.0, "prompts/s"),
        });
    }
}

fn our_command() -> Command {
    let mut command = Command::new(env::current_exe().expect("this program's path"));
    command
        .arg(FLAG)
        .env("RAYON_NUM_THREADS", machine::threads().to_string());
    command
}

/// The peer's command, where there is one.
fn peer_command() -> Option<Command> {
    let python = PathBuf::from(env::var_os("STEREOSCOPE_PEER_PYTHON")?);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gemma/gemma.py");
    let mut command = Command::new(python);
    command.arg(script).envs([
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("OMP_NUM_THREADS", &machine::threads().to_string()),
    ]);
    Some(command)
}

/// Measures a case against each of its peers and prints what was found; gives the last series of this program and of the peer.
fn measure(case: &Case<'_>) -> Option<(Measured, Option<Measured>)> {
    println!("\n{} (load {})", case.name, machine::load());
    let rate = |seconds: f64| format!("{:.2} {}", case.units.0 / seconds, case.units.1);
    let mut last = None;
    for (dtype, bar) in case.peers {
        match compare(case, dtype) {
            Ok((ours, theirs)) => {
                println!(
                    "  ours {}, {}, peak {}",
                    time(&ours.seconds),
                    rate(median(&ours.seconds)),
                    size(ours.peak)
                );
                if let Some((theirs, runs)) = &theirs {
                    println!(
                        "  {runs}, {dtype}: {}, {}, peak {}",
                        time(&theirs.seconds),
                        rate(median(&theirs.seconds)),
                        size(theirs.peak)
                    );
                    println!(
                        "  ratio {:.2}{}, of processor time {:.2}; results differ by {:.0e}",
                        median(&theirs.seconds) / median(&ours.seconds),
                        bar.map_or(String::new(), |bar| format!(" (bar {bar:.1})")),
                        median(&theirs.used) / median(&ours.used),
                        difference(&ours.check, &theirs.check)
                    );
                }
                last = Some((ours, theirs.map(|(theirs, _)| theirs)));
            }
            Err(reason) => println!("  not measured: {reason}"),
        }
    }
    last
}

/// Both sides in turns, or this one alone where there is no peer; the peer with what it runs.
fn compare(case: &Case<'_>, dtype: &str) -> Result<(Measured, Option<(Measured, String)>), String> {
    let mut setup = case.setup.clone();
    setup["dtype"] = json!(dtype);
    setup["threads"] = json!(machine::threads());
    let logs = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (mut ours, _) = Side::start(our_command(), &setup, &logs.path().join("ours"))?;
    let mut theirs = peer_command()
        .map(|command| Side::start(command, &setup, &logs.path().join("theirs")))
        .transpose()?;
    let empty = || Measured {
        seconds: Vec::new(),
        used: Vec::new(),
        check: Vec::new(),
        peak: None,
    };
    let (mut our, mut their) = (empty(), empty());
    let push = |series: &mut Measured, side: &mut Side, number: usize| {
        let (outcome, used) = side.run(number)?;
        // The first two load and warm up.
        if number > 1 {
            series.seconds.push(outcome.seconds);
            series.used.push(used);
        }
        series.check = outcome.check;
        series.peak = side.peak();
        Ok::<(), String>(())
    };
    for number in 0..case.repetitions + 2 {
        push(&mut our, &mut ours, number)?;
        if let Some((theirs, _)) = &mut theirs {
            push(&mut their, theirs, number)?;
        }
    }
    Ok((our, theirs.map(|(_, runs)| (their, runs))))
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "?".into(),
        |bytes| format!("{:.2} GB", bytes as f64 / GB),
    )
}

/// Median and range.
fn time(seconds: &[f64]) -> String {
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seconds.iter().copied().fold(0.0, f64::max);
    let middle = median(seconds);
    if middle < 1.0 {
        let [middle, least, most] = [middle, least, most].map(|s| s * 1e3);
        return format!("{middle:.1} ms ({least:.1}–{most:.1})");
    }
    format!("{middle:.2} s ({least:.2}–{most:.2})")
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest difference over the largest value; NaN where the sides gave unequally many numbers.
fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::NAN;
    }
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let apart = ours.iter().zip(theirs);
    apart.fold(0.0, |most: f64, (a, b)| most.max((a - b).abs())) / largest.max(f64::MIN_POSITIVE)
}
