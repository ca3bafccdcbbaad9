//! How a long command tells what it does and what came of it.

use std::fmt::Display;

use pipeline::{Bars, JsonLines, Progress};
use serde::Serialize;

use crate::arguments::Printing;
use crate::failure::Failure;

impl Printing {
    /// Bars for a person, JSON lines for a machine.
    pub(crate) fn progress(self) -> Box<dyn Progress> {
        if self.json {
            Box::new(JsonLines::default())
        } else {
            Box::new(Bars::default())
        }
    }

    /// Prints a command's summary.
    pub(crate) fn summary<S: Display + Serialize>(self, summary: &S) -> Result<(), Failure> {
        if self.json {
            let mut line = serde_json::to_value(summary)?;
            if let Some(object) = line.as_object_mut() {
                object.insert("event".into(), "summary".into());
            }
            println!("{line}");
        } else {
            println!("{summary}");
        }
        Ok(())
    }
}
