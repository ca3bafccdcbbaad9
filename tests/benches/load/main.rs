//! How the server answers many readers at once: 64 clients that keep their connections, each with one request in 100 ms, over a made-up
//! study of the paper's size: `cargo bench --workspace --exclude frontend --bench load [-- [SECONDS] [LATENTS]]`, 600 and 73,728
//! unless said. It needs the program, as `cargo check-all` names it.

#[path = "../triage/study.rs"]
mod study;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use harness::Server;

const CLIENTS: u32 = 64;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(100);
/// Latents of the paper's dictionaries.
const LATENTS: u64 = 73_728;

/// What a request asks for, and how many of a hundred do.
const MIX: [(&str, u32); 7] = [
    ("page of latents", 30),
    ("filtered and sorted latents", 14),
    ("latent", 26),
    ("examples", 20),
    ("study", 5),
    ("page of the explorer", 4),
    ("two columns of all latents", 1),
];

/// What a client saw.
#[derive(Default)]
struct Seen {
    /// Milliseconds from when a request was due to its last byte, by kind.
    times: BTreeMap<&'static str, Vec<f64>>,
    errors: Vec<String>,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A request's kind and path.
fn request(random: &mut Random, latents: u64) -> (&'static str, String) {
    let mut left = random.below(100) as u32;
    let kind = MIX.iter().find_map(|(kind, share)| {
        if left < *share {
            return Some(*kind);
        }
        left -= share;
        None
    });
    let kind = kind.expect("shares that add up to a hundred");
    let of_dictionary = format!("/api/v1/dictionaries/{}", study::SLUG);
    let id = random.below(latents);
    let path = match kind {
        "page of latents" => format!("{of_dictionary}/latents?offset={id}&limit=50"),
        "filtered and sorted latents" => {
            let sort = ["-max_activation", "nu_r", "-frequency", "delta_norm"][(id % 4) as usize];
            let least = 0.3 + 0.001 * random.below(600) as f64;
            format!("{of_dictionary}/latents?sort={sort}&min_delta_norm={least}&limit=50")
        }
        "latent" => format!("{of_dictionary}/latents/{id}"),
        "examples" => format!("{of_dictionary}/latents/{id}/examples"),
        "study" => "/api/v1/study".into(),
        "page of the explorer" => format!("/d/{}/{id}", study::SLUG),
        _ => format!("{of_dictionary}/columns?names=nu_epsilon,nu_r"),
    };
    (kind, path)
}

fn client(number: u32, address: &str, start: Instant, end: Instant, latents: u64) -> Seen {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let mut random = Random(u64::from(number));
    let mut seen = Seen::default();
    let mut due = start + PAUSE * number / CLIENTS;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (kind, path) = request(&mut random, latents);
        let answer = agent.get(format!("{address}{path}")).call();
        let whole = answer.and_then(|mut answer| {
            let status = answer.status().as_u16();
            answer.body_mut().read_to_vec().map(|_| status)
        });
        match whole {
            Ok(200) => {
                let time = due.elapsed().as_secs_f64() * 1e3;
                seen.times.entry(kind).or_default().push(time);
            }
            Ok(status) => seen.errors.push(format!("{path}: {status}")),
            Err(e) => seen.errors.push(format!("{path}: {e}")),
        }
        due += PAUSE;
    }
    seen
}

/// The time that so many of a hundred stay below.
fn quantile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[(percent * times.len() / 100).min(times.len() - 1)]
}

fn report(seen: Vec<Seen>) -> bool {
    let mut by_kind: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut errors = Vec::new();
    for client in seen {
        for (kind, times) in client.times {
            by_kind.entry(kind).or_default().extend(times);
        }
        errors.extend(client.errors);
    }
    let all: Vec<f64> = by_kind.values().flatten().copied().collect();
    by_kind.insert("all", all);
    println!("\n| request | count | median | p99 | longest |\n|---|---|---|---|---|");
    for (kind, times) in &mut by_kind {
        let [median, p99, longest] = [50, 99, 100].map(|percent| quantile(times, percent));
        println!(
            "| {kind} | {} | {median:.1} ms | {p99:.1} ms | {longest:.0} ms |",
            times.len()
        );
    }
    println!("\n{} errors", errors.len());
    errors.iter().take(5).for_each(|error| println!("{error}"));
    errors.is_empty()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Without this flag it is not `cargo bench` that calls, but a test run over all targets.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("load: skipped; it runs with `cargo bench --bench load`");
        return ExitCode::SUCCESS;
    }
    let mut numbers = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok());
    let seconds = numbers.next().unwrap_or(600);
    let latents = numbers.next().unwrap_or(LATENTS);
    let folder = tempfile::tempdir().expect("a temporary folder");
    study::write(folder.path(), latents as u32).expect("a study");
    let Some(server) = Server::start(folder.path(), &["--browse-only"]) else {
        eprintln!("load: STEREOSCOPE_BIN names no program");
        return ExitCode::FAILURE;
    };
    println!(
        "{CLIENTS} clients, one request per {} ms each, {latents} latents, {seconds} s",
        PAUSE.as_millis()
    );
    let start = Instant::now() + Duration::from_millis(200);
    let end = start + Duration::from_secs(seconds);
    let seen = thread::scope(|scope| {
        let address = server.address.as_str();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number, address, start, end, latents)))
            .collect();
        while Instant::now() < end {
            let resident = server
                .resident_mb()
                .map_or("unknown".into(), |mb| format!("{mb:.0} MB"));
            println!(
                "after {:>4.0} s: {resident} resident",
                start.elapsed().as_secs_f64()
            );
            let next = Duration::from_secs((seconds / 10).max(1));
            thread::sleep(next.min(end.saturating_duration_since(Instant::now())));
        }
        let joined = clients.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|seen| seen.expect("a client")).collect()
    });
    if report(seen) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
