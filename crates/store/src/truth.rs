//! Ground truth of a dictionary: the table `truth`.

use api::GroundTruth;
use duckdb::{OptionalExt as _, params};

use crate::{Error, Result, Store, Writer};

impl Writer {
    /// The dictionary held against ground truth; replaces what was there.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_truth(&self, truth: &GroundTruth) -> Result<()> {
        let json = serde_json::to_string(truth)
            .map_err(|error| Error::Damaged(format!("ground truth: {error}")))?;
        self.set("truth", [json], |appender, json| {
            appender.append_row(params![self.dictionary(), json])
        })
    }
}

impl Store {
    /// A dictionary held against ground truth.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], [`Error::NoTruth`] where nobody measured it, or a damaged database.
    pub fn truth(&self, slug: &str) -> Result<GroundTruth> {
        self.entry(slug)?;
        let json: Option<String> = match &self.pool {
            Some(pool) => pool.with(|connection| {
                connection
                    .prepare_cached("SELECT truth FROM truth WHERE dictionary = ?")?
                    .query_row([slug], |row| row.get(0))
                    .optional()
            })?,
            None => None,
        };
        let json = json.ok_or_else(|| Error::NoTruth {
            dictionary: slug.to_owned(),
        })?;
        serde_json::from_str(&json)
            .map_err(|error| Error::Damaged(format!("ground truth of {slug}: {error}")))
    }
}
