//! What a command needs of the hub, fetched before it begins.

use std::path::Path;
use std::time::Instant;

use hub::{Content, Reference, Settings, Watch};
use pipeline::{Progress, Wanted, readable};

use crate::failure::Failure;

/// Bytes below which a file is too small to be worth a line.
const WORTH_A_LINE: u64 = 1 << 20;

/// How the hub is asked.
#[derive(Clone, Copy)]
pub(crate) struct Hub<'a> {
    /// Whether only the cache is to be used, whatever the environment says.
    pub(crate) offline: bool,
    pub(crate) progress: &'a dyn Progress,
}

impl Hub<'_> {
    /// Brings what a study names of the hub into the cache.
    pub(crate) fn study(self, study: &Path, wanted: Wanted<'_>) -> Result<(), Failure> {
        // A study that cannot be read is for the command itself to tell.
        let named = pipeline::repositories(study, wanted).unwrap_or_default();
        named
            .iter()
            .try_for_each(|(reference, content)| self.fetch(reference, *content))
    }

    /// Brings a place given on the command line into the cache, if it is one of the hub.
    pub(crate) fn place(self, place: &str, content: Content) -> Result<(), Failure> {
        match place.strip_prefix("hub:") {
            Some(hub) => self.fetch(&hub.parse()?, content),
            None => Ok(()),
        }
    }

    fn fetch(self, reference: &Reference, content: Content) -> Result<(), Failure> {
        let mut settings = Settings::from_environment()?;
        settings.offline |= self.offline;
        let mut telling = Telling {
            progress: self.progress,
            since: Instant::now(),
            before: 0,
        };
        hub::fetch(reference, content, &settings, &mut telling)?;
        Ok(())
    }
}

/// Shows a download as a step of the command.
struct Telling<'a> {
    progress: &'a dyn Progress,
    /// When the file began, and how much of it was there.
    since: Instant,
    before: u64,
}

impl Watch for Telling<'_> {
    fn begin(&mut self, file: &str, bytes: u64, done: u64) {
        self.since = Instant::now();
        self.before = done;
        if bytes >= WORTH_A_LINE {
            let from = if done > 0 {
                format!(", of which {} are there", readable(done))
            } else {
                String::new()
            };
            let size = readable(bytes);
            self.progress.say(&format!("fetching {file}, {size}{from}"));
        }
        self.progress.start("fetch", "bytes", bytes);
        self.progress.advance(done);
    }

    fn advance(&mut self, done: u64) {
        self.progress.advance(done);
    }

    fn end(&mut self, file: &str, bytes: u64) {
        self.progress.finish();
        if bytes >= WORTH_A_LINE {
            let seconds = self.since.elapsed().as_secs_f64();
            let rate = (bytes - self.before.min(bytes)) as f64 / seconds.max(1e-3);
            self.progress.say(&format!(
                "fetched {file}, {} in {seconds:.1} s, {}/s",
                readable(bytes),
                readable(rate as u64)
            ));
        }
    }

    fn say(&mut self, sentence: &str) {
        self.progress.say(sentence);
    }
}
