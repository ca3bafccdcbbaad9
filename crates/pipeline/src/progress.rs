//! How a long step tells what it does: bars for a person, JSON lines for a machine, or nothing.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

/// Least time between two JSON lines of one step.
const QUIET: Duration = Duration::from_secs(1);

/// Hears what a command does. One step runs at a time; its amounts may come from several threads.
pub trait Progress: Sync {
    /// A step of `total` units begins; 0 when their number is not known.
    fn start(&self, step: &str, unit: &str, total: u64);
    /// So many units of the step are done in all.
    fn advance(&self, done: u64);
    /// Live figures of the step, name and value.
    fn figures(&self, figures: &[(&str, f64)]);
    /// The step has ended.
    fn finish(&self);
    /// A sentence for the reader: a step that is skipped, the disk space needed.
    fn say(&self, sentence: &str);
}

/// No progress at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn figures(&self, _: &[(&str, f64)]) {}
    fn finish(&self) {}
    fn say(&self, _: &str) {}
}

/// Bars on the terminal with rate and time left; sentences go to standard error as well.
#[derive(Debug, Default)]
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bars {
    fn start(&self, step: &str, unit: &str, total: u64) {
        let (bar, shape) = if total == 0 {
            (
                ProgressBar::new_spinner(),
                "{prefix:>12} {human_pos} UNIT, {per_sec}, {elapsed}  {msg}",
            )
        } else {
            (
                ProgressBar::new(total),
                "{prefix:>12} [{bar:30}] {human_pos}/{human_len} UNIT, {per_sec}, {eta} left  {msg}",
            )
        };
        // A template that cannot be read would only lose its looks.
        if let Ok(style) = ProgressStyle::with_template(&shape.replace("UNIT", unit)) {
            bar.set_style(style.progress_chars("█▌·"));
        }
        bar.set_prefix(step.to_string());
        *self.bar() = Some(bar);
    }

    fn advance(&self, done: u64) {
        if let Some(bar) = self.bar().as_ref() {
            bar.set_position(done);
        }
    }

    fn figures(&self, figures: &[(&str, f64)]) {
        if let Some(bar) = self.bar().as_ref() {
            let text: Vec<String> = figures
                .iter()
                .map(|(name, value)| format!("{name} {}", short(*value)))
                .collect();
            bar.set_message(text.join("  "));
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish();
        }
    }

    fn say(&self, sentence: &str) {
        match self.bar().as_ref() {
            Some(bar) => bar.suspend(|| eprintln!("{sentence}")),
            None => eprintln!("{sentence}"),
        }
    }
}

fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.0}")
    }
}

/// One JSON object per line: `{"event": "progress", "step", "unit", "done", "total", "per_second", "seconds_left", figures…}` at most
/// once a second, `{"event": "message", "text"}` for sentences.
pub struct JsonLines {
    state: Mutex<Lines>,
}

struct Lines {
    out: Box<dyn Write + Send>,
    step: String,
    unit: String,
    total: u64,
    done: u64,
    figures: Map<String, Value>,
    begun: Instant,
    told: Option<Instant>,
}

impl Default for JsonLines {
    fn default() -> Self {
        Self::new(Box::new(std::io::stdout()))
    }
}

impl JsonLines {
    /// Lines to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            state: Mutex::new(Lines {
                out,
                step: String::new(),
                unit: String::new(),
                total: 0,
                done: 0,
                figures: Map::new(),
                begun: Instant::now(),
                told: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn tell(&mut self, always: bool) {
        if !always && self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return;
        }
        self.told = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = self.done as f64 / seconds.max(f64::MIN_POSITIVE);
        let left = (rate > 0.0 && self.total > 0)
            .then(|| self.total.saturating_sub(self.done) as f64 / rate);
        let mut line = json!({
            "event": "progress", "step": self.step, "unit": self.unit, "done": self.done,
            "total": (self.total > 0).then_some(self.total), "per_second": rate, "seconds_left": left,
        });
        if let Some(object) = line.as_object_mut() {
            object.extend(self.figures.clone());
        }
        self.write(&line);
    }

    fn write(&mut self, line: &Value) {
        // A reader that went away must not end the work.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

impl Progress for JsonLines {
    fn start(&self, step: &str, unit: &str, total: u64) {
        let mut state = self.state();
        state.step = step.to_string();
        state.unit = unit.to_string();
        state.total = total;
        state.done = 0;
        state.figures.clear();
        state.begun = Instant::now();
        state.tell(true);
    }

    fn advance(&self, done: u64) {
        let mut state = self.state();
        state.done = done;
        state.tell(false);
    }

    fn figures(&self, figures: &[(&str, f64)]) {
        let mut state = self.state();
        state.figures = figures
            .iter()
            .map(|(name, value)| ((*name).to_string(), json!(value)))
            .collect();
        state.tell(false);
    }

    fn finish(&self) {
        self.state().tell(true);
    }

    fn say(&self, sentence: &str) {
        self.state()
            .write(&json!({"event": "message", "text": sentence}));
    }
}
