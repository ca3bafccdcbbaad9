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
        let (bar, shape) = if unit == "bytes" && total > 0 {
            (
                ProgressBar::new(total),
                "{prefix:>12} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left  {msg}",
            )
        } else if total == 0 {
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
            let begins = bar.position() == 0;
            bar.set_position(done);
            // What an earlier run did took no time of this one.
            if begins {
                bar.reset_eta();
            }
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
    /// When how much was done first: an earlier run may have done that.
    begun: Option<(Instant, u64)>,
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
                begun: None,
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
        let rate = self.begun.and_then(|(begun, first)| {
            let seconds = begun.elapsed().as_secs_f64();
            (self.done > first).then(|| (self.done - first) as f64 / seconds)
        });
        let left = rate
            .filter(|_| self.total > 0)
            .map(|rate| self.total.saturating_sub(self.done) as f64 / rate);
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
        state.begun = None;
        state.tell(true);
    }

    fn advance(&self, done: u64) {
        let mut state = self.state();
        state.done = done;
        state.begun.get_or_insert((Instant::now(), done));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_an_earlier_run_did_is_not_this_ones_speed() {
        let sink = Sink::default();
        let lines = JsonLines::new(Box::new(sink.clone()));
        let last = || -> Value {
            let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            serde_json::from_str(text.lines().last().unwrap()).unwrap()
        };
        lines.start("train", "tokens", 1000);
        lines.advance(900);
        lines.finish();
        assert_eq!(last()["done"], 900);
        assert!(last()["per_second"].is_null() && last()["seconds_left"].is_null());
        lines.advance(950);
        lines.finish();
        let rate = last()["per_second"].as_f64().unwrap();
        let left = last()["seconds_left"].as_f64().unwrap();
        assert!((left * rate - 50.0).abs() < 1e-6, "{left} {rate}");
    }
}
