//! Runs the cases and prints what was measured.

use std::env;
use std::process::Command;

use harness::machine;
use harness::side::{FLAG, Side};
use serde_json::json;

use crate::case::{Case, Outcome};
use crate::peers::Peers;

/// What the table tells of a case.
const COLUMNS: [&str; 9] = [
    "case",
    "ours",
    "theirs",
    "ratio",
    "processor time",
    "bar",
    "peak ours",
    "peak theirs",
    "difference, load",
];

/// The table in the making.
pub(crate) struct Report {
    rows: Vec<[String; COLUMNS.len()]>,
    notes: Vec<&'static str>,
    runs: Vec<String>,
}

/// Seconds of one side's repetitions and the last result.
#[derive(Default)]
struct Series {
    seconds: Vec<f64>,
    /// Seconds of processor time, over all threads.
    used: Vec<f64>,
    check: Vec<f64>,
    peak: Option<u64>,
}

impl Series {
    fn push(&mut self, (outcome, used): (Outcome, f64), warm: bool) {
        if warm {
            self.seconds.push(outcome.seconds);
            self.used.push(used);
        }
        self.check = outcome.check;
    }

    fn median(&self) -> f64 {
        median(self.seconds.clone())
    }
}

impl Report {
    pub(crate) fn start() -> Self {
        println!(
            "{}, {} threads a side, load {}",
            machine::processor(),
            machine::threads(),
            machine::load()
        );
        Self {
            rows: Vec::new(),
            notes: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Measures one case; a side that fails is told of and leaves no row.
    pub(crate) fn measure(&mut self, case: &Case, peers: &Peers) {
        let before = machine::load();
        println!("\n{}: {}", case.task, case.name);
        match compare(case, peers) {
            Ok((ours, theirs, runs)) => {
                let row = row(case, &ours, &theirs, &before);
                println!("  ours {}, theirs {}, ratio {}", row[1], row[2], row[3]);
                self.rows.push(row);
                if !case.note.is_empty() && !self.notes.contains(&case.note) {
                    self.notes.push(case.note);
                }
                if !self.runs.contains(&runs) {
                    self.runs.push(runs);
                }
            }
            Err(reason) => println!("  not measured: {reason}"),
        }
    }

    pub(crate) fn finish(self) {
        println!("\n| {} |", COLUMNS.join(" | "));
        println!("{}|", "|---".repeat(COLUMNS.len()));
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!(
            "\nTimes are medians with their range; the ratio is that of the medians, with the range of the repetitions' own. The ratio of \
             processor times, over all threads, hardly minds other programs that run meanwhile. Peaks are the processes' largest \
             resident sizes. The difference is the largest between the two results, over their largest value; the load \
             is the one-minute average before the case, on {} cores. Against: {}.",
            machine::cores(),
            self.runs.join("; ")
        );
        for note in &self.notes {
            println!("{note}");
        }
    }
}

fn compare(case: &Case, peers: &Peers) -> Result<(Series, Series, String), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut setup = case.setup.clone();
    setup["folder"] = json!(folder.path());
    setup["threads"] = json!(machine::threads());
    (case.prepare)(&setup, folder.path());

    let threads = machine::threads().to_string();
    let mut command = Command::new(env::current_exe().map_err(|error| error.to_string())?);
    command
        .args([FLAG, case.task])
        .env("RAYON_NUM_THREADS", &threads);
    let (mut ours, _) = Side::start(command, &setup, &folder.path().join("ours.log"))?;
    let mut command = peers.command(case.task);
    command.env("OMP_NUM_THREADS", &threads);
    let (mut theirs, runs) = Side::start(command, &setup, &folder.path().join("theirs.log"))?;

    let (mut our_series, mut their_series) = (Series::default(), Series::default());
    for number in 0..=case.repetitions {
        our_series.push(ours.run(number)?, number > 0);
        their_series.push(theirs.run(number)?, number > 0);
    }
    our_series.peak = ours.peak();
    their_series.peak = theirs.peak();
    Ok((our_series, their_series, runs))
}

fn row(case: &Case, ours: &Series, theirs: &Series, load: &str) -> [String; COLUMNS.len()] {
    let ratios: Vec<f64> = theirs
        .seconds
        .iter()
        .zip(&ours.seconds)
        .map(|(theirs, ours)| theirs / ours)
        .collect();
    let ratio = theirs.median() / ours.median();
    let size = |bytes: Option<u64>| {
        bytes.map_or_else(
            || "?".into(),
            |bytes| format!("{:.2} GB", bytes as f64 / 1e9),
        )
    };
    [
        case.name.clone(),
        time(ours),
        time(theirs),
        format!("{ratio:.2} ({})", range(&ratios, 1.0, 2)),
        format!(
            "{:.2}",
            median(theirs.used.clone()) / median(ours.used.clone())
        ),
        format!("{:.1}", case.bar),
        size(ours.peak),
        size(theirs.peak),
        format!("{:.0e}, {load}", difference(&ours.check, &theirs.check)),
    ]
}

fn time(series: &Series) -> String {
    let median = series.median();
    if median < 1.0 {
        let range = range(&series.seconds, 1e3, 0);
        return format!("{:.0} ms ({range})", median * 1e3);
    }
    format!("{median:.2} s ({})", range(&series.seconds, 1.0, 2))
}

fn range(values: &[f64], scale: f64, digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min) * scale;
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) * scale;
    format!("{least:.digits$}–{most:.digits$}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The largest difference over the largest value; NaN where the sides gave unequally many numbers.
fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::NAN;
    }
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let apart = ours
        .iter()
        .zip(theirs)
        .fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    if largest == 0.0 {
        apart
    } else {
        apart / largest
    }
}
