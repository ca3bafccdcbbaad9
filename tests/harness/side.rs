//! One side of a comparison as a process: JSON lines in, JSON lines out.
//!
//! The first line in is the setup and is answered with `{"ready": what runs}`; each `{"run": i}` after it is answered with
//! `{"seconds": s, "check": [numbers]}`; the end of the input ends the process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::machine;

/// One side of a case, ready to be repeated.
pub type Task = Box<dyn FnMut() -> Outcome>;

/// One repetition.
pub struct Outcome {
    pub seconds: f64,
    /// Some numbers of the result, the same on both sides.
    pub check: Vec<f64>,
}

/// Makes this program one side, with the task's name after it.
pub const FLAG: &str = "--ours";

/// Answers on the standard streams until the input ends.
pub fn serve(ours: impl FnOnce(&Value) -> Task) {
    let mut lines = std::io::stdin().lock().lines();
    let setup = lines.next().expect("a setup").expect("a readable setup");
    let mut task = ours(&serde_json::from_str(&setup).expect("a setup in JSON"));
    println!("{}", json!({"ready": "this program"}));
    for line in lines {
        line.expect("a readable request");
        let Outcome { seconds, check } = task();
        println!("{}", json!({"seconds": seconds, "check": check}));
    }
}

/// A running side; it ends when dropped.
pub struct Side {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    errors: PathBuf,
}

impl Side {
    /// Starts a process and waits until it is set up; gives it and what it runs.
    ///
    /// # Errors
    /// When it does not start or ends, with its last messages.
    pub fn start(
        mut command: Command,
        setup: &Value,
        errors: &Path,
    ) -> Result<(Self, String), String> {
        let log = File::create(errors).map_err(|error| error.to_string())?;
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{shown} does not start: {error}"))?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let mut side = Self {
            child,
            requests,
            answers: BufReader::new(answers.expect("a pipe from the process")),
            errors: errors.to_owned(),
        };
        let ready = side.ask(setup)?;
        let what = ready["ready"].as_str().unwrap_or("?").to_owned();
        Ok((side, what))
    }

    /// One repetition, and the processor time that went into it.
    ///
    /// # Errors
    /// When the process ends, with its last messages.
    pub fn run(&mut self, number: usize) -> Result<(Outcome, f64), String> {
        let before = self.processor_time();
        let answer = self.ask(&json!({"run": number}))?;
        let used = self.processor_time() - before;
        let check = answer["check"].as_array().cloned().unwrap_or_default();
        let outcome = Outcome {
            seconds: answer["seconds"].as_f64().unwrap_or(f64::NAN),
            check: check
                .iter()
                .map(|x| x.as_f64().unwrap_or(f64::NAN))
                .collect(),
        };
        Ok((outcome, used))
    }

    fn processor_time(&self) -> f64 {
        machine::processor_time(self.child.id()).unwrap_or(f64::NAN)
    }

    /// The memory that the process has, in bytes.
    pub fn resident(&self) -> Option<u64> {
        machine::resident(self.child.id())
    }

    /// The most memory that the process had, in bytes.
    pub fn peak(&self) -> Option<u64> {
        machine::peak(self.child.id())
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        let sent = self
            .requests
            .as_mut()
            .is_some_and(|pipe| writeln!(pipe, "{request}").is_ok());
        let mut line = String::new();
        if sent && self.answers.read_line(&mut line).is_ok_and(|n| n > 0) {
            return serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"));
        }
        let log = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n  ");
        Err(format!("the process ended:\n  {last}"))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.requests = None;
        // It ends by itself when its input does; nothing can be done about one that does not.
        let _ = self.child.wait();
    }
}
