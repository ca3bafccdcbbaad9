//! Writes a study's database: a new file beside the old one, renamed into place when it is complete.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use api::{ConceptScore, LatentRow, LensToken, TrainingSummary};
use duckdb::{Appender, Connection, params};
use sha2::{Digest as _, Sha256};

use crate::carry::{COLLECTION_KEY, Old, Rows};
use crate::detail::{BOTTOM, TOP};
use crate::place::{discard, lock, with_suffix};
use crate::pool::first_line;
use crate::read::{SCALED_KEY, SCALING_KEY, hex};
use crate::records::{HistogramRecord, LensRecord, NeighbourRecord};
use crate::schema::{self, TABLES};
use crate::{Error, Result, Scaled};

/// Writes one dictionary's rows; those of other dictionaries are carried over from the database that is there.
///
/// Until [`Writer::finish`] the old database stays as it is, also when the program is killed.
pub struct Writer {
    connection: Option<Connection>,
    path: PathBuf,
    temporary: PathBuf,
    pub(crate) dictionary: String,
    /// The database that is there, attached.
    old: Option<Old>,
    /// Tables whose rows are still to be taken over from it, and whether the dictionary's own are among them. They wait for the end, so
    /// that nothing is written only to be replaced.
    waiting: RefCell<HashMap<&'static str, bool>>,
    /// Where a database of another schema goes once the new one is complete.
    retired: Option<PathBuf>,
    /// Keeps other writers out of the study's folder; the system releases it when the program ends.
    _lock: Option<fs::File>,
}

impl Writer {
    /// Starts a database in which `dictionary` has no rows. A database of another schema version is set aside as
    /// `study.duckdb.schema-N`, and nothing is carried over from it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another process writes; a database that cannot be read; a folder that cannot be written.
    pub fn replace(path: &Path, dictionary: &str) -> Result<Self> {
        Self::begin(path, dictionary, false)
    }

    /// Starts a database in which `dictionary` has the rows that it has now; every `set_…` replaces its part.
    ///
    /// # Errors
    /// As [`Writer::replace`], and [`Error::Schema`] for a database of another schema version.
    pub fn amend(path: &Path, dictionary: &str) -> Result<Self> {
        Self::begin(path, dictionary, true)
    }

    fn begin(path: &Path, dictionary: &str, keep: bool) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let lock = lock(folder, path)?;
        let temporary = with_suffix(path, "new");
        discard(&temporary);
        let connection = schema::layout()
            .and_then(|layout| Connection::open_with_flags(&temporary, layout))
            .map_err(Error::database(&temporary))?;
        let mut writer = Self {
            connection: Some(connection),
            path: path.to_path_buf(),
            temporary,
            dictionary: dictionary.to_string(),
            old: None,
            waiting: RefCell::default(),
            retired: None,
            _lock: lock,
        };
        writer.run(schema::create)?;
        if path.exists() {
            writer.attach(keep)?;
        }
        writer.set_meta("program_version", env!("CARGO_PKG_VERSION"))?;
        Ok(writer)
    }

    /// Attaches the database that is there, and takes over the facts in its `meta`.
    fn attach(&mut self, keep: bool) -> Result<()> {
        let quoted = self.path.display().to_string().replace('\'', "''");
        self.connection()?
            .execute_batch(&format!("ATTACH '{quoted}' AS old (READ_ONLY)"))
            .map_err(|error| Error::NotADatabase {
                path: self.path.clone(),
                message: first_line(&error.to_string()),
            })?;
        match schema::check(self.connection()?, "old.meta", &self.path) {
            Ok(()) => {
                self.old = Some(self.run(Old::of)?);
                self.waiting = TABLES
                    .iter()
                    .map(|(table, _)| (*table, keep))
                    .collect::<HashMap<_, _>>()
                    .into();
                self.carry("meta")
            }
            Err(Error::Schema { found, .. }) if !keep => {
                self.retired = Some(with_suffix(&self.path, &format!("schema-{found}")));
                self.run(|connection| connection.execute_batch("DETACH old"))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a table's rows over from the database that is there, unless that was done.
    pub(crate) fn carry(&self, table: &str) -> Result<()> {
        let own = self.waiting.borrow_mut().remove(table);
        match (&self.old, own) {
            (Some(old), Some(own)) => self.run(|connection| {
                let dictionary = &self.dictionary;
                old.carry(connection, table, Rows { dictionary, own })
            }),
            _ => Ok(()),
        }
    }

    /// Notes a fact about the dictionary: a hash, a seed, a corpus, a command, a step that was skipped.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.set_fact(&self.dictionary, key, value)
    }

    /// Notes a fact about the whole study.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_study_meta(&self, key: &str, value: &str) -> Result<()> {
        self.set_fact("", key, value)
    }

    pub(crate) fn set_fact(&self, dictionary: &str, key: &str, value: &str) -> Result<()> {
        self.run(|connection| {
            connection.execute(
                "DELETE FROM meta WHERE dictionary = ? AND key = ?",
                params![dictionary, key],
            )?;
            connection.execute(
                "INSERT INTO meta VALUES (?, ?, ?)",
                params![dictionary, key, value],
            )?;
            Ok(())
        })
    }

    /// Notes over how many tokens Latent Scaling ran, and for which latents, those of earlier runs included: only they have verdicts.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_scaling(&self, tokens: u64, latents: &Scaled) -> Result<()> {
        self.set_meta(SCALED_KEY, &latents.to_string())?;
        self.set_meta(SCALING_KEY, &tokens.to_string())
    }

    /// The table of latents, ids 0, 1, 2, … in this order.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_latents<'a>(&self, rows: impl IntoIterator<Item = &'a LatentRow>) -> Result<()> {
        self.set("latents", rows, |appender, row| {
            let betas = &row.betas;
            appender.append_row(params![
                self.dictionary,
                row.id,
                row.class.as_str(),
                row.dead,
                row.label,
                row.verdict.map(api::Verdict::as_str),
                row.delta_norm,
                row.norm_base,
                row.norm_chat,
                row.decoder_cosine,
                row.nu_epsilon,
                row.nu_r,
                betas.beta_activation_base,
                betas.beta_activation_chat,
                betas.beta_activation_no_bias_base,
                betas.beta_activation_no_bias_chat,
                betas.beta_reconstruction_base,
                betas.beta_reconstruction_chat,
                betas.beta_error_base,
                betas.beta_error_chat,
                row.frequency,
                row.active_tokens,
                row.tokens,
                row.max_activation,
                row.mean_activation,
                row.template_share,
            ])
        })
    }

    /// Labels computed from ground truth; every other latent of the dictionary loses its label.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_labels(&self, labels: &[(u32, String)]) -> Result<()> {
        self.carry("latents")?;
        self.run(|connection| {
            connection.execute(
                "UPDATE latents SET label = NULL WHERE dictionary = ? AND label IS NOT NULL",
                [&self.dictionary],
            )?;
            let mut statement = connection
                .prepare("UPDATE latents SET label = ? WHERE dictionary = ? AND id = ?")?;
            for (latent, label) in labels {
                statement.execute(params![label, self.dictionary, latent])?;
            }
            Ok(())
        })
    }

    /// Activation histograms; a latent without counts may be left out.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_histograms(&self, records: impl IntoIterator<Item = HistogramRecord>) -> Result<()> {
        self.set("histograms", records, |appender, record| {
            record.histogram.bins().try_for_each(|(bin, count)| {
                appender.append_row(params![self.dictionary, record.latent, bin, count])
            })
        })
    }

    /// Logit lenses.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_lenses(&self, records: impl IntoIterator<Item = LensRecord>) -> Result<()> {
        self.set("lenses", records, |appender, record| {
            let mut side = |side: &str, tokens: &[LensToken]| {
                tokens.iter().enumerate().try_for_each(|(rank, token)| {
                    appender.append_row(params![
                        self.dictionary,
                        record.latent,
                        record.model.as_str(),
                        side,
                        rank as u16,
                        token.id,
                        token.value as f32
                    ])
                })
            };
            side(TOP, &record.lens.top)?;
            side(BOTTOM, &record.lens.bottom)
        })
    }

    /// Nearest latents.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_neighbours(&self, records: impl IntoIterator<Item = NeighbourRecord>) -> Result<()> {
        self.set("neighbours", records, |appender, record| {
            for (rank, (neighbour, cosine)) in record.neighbours.iter().enumerate() {
                appender.append_row(params![
                    self.dictionary,
                    record.latent,
                    rank as u16,
                    neighbour,
                    *cosine as f32
                ])?;
            }
            Ok(())
        })
    }

    /// Texts of the tokens that sequences and lenses use.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_tokens(&self, tokens: impl IntoIterator<Item = (u32, String)>) -> Result<()> {
        self.set("tokens", tokens, |appender, (id, text)| {
            appender.append_row(params![self.dictionary, id, text])
        })
    }

    /// Scores against ground truth.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_concepts(&self, scores: &[ConceptScore]) -> Result<()> {
        self.set("concepts", scores, |appender, score| {
            appender.append_row(params![
                self.dictionary,
                score.concept,
                score.against,
                score.latent,
                score.class.as_str(),
                score.delta_norm,
                score.auroc,
                score.positives,
                score.negatives
            ])
        })
    }

    /// How the dictionary was trained.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_training(&self, summary: &TrainingSummary) -> Result<()> {
        let json = serde_json::to_string(summary)
            .map_err(|error| Error::Damaged(format!("training summary: {error}")))?;
        self.set("training", [json], |appender, json| {
            appender.append_row(params![self.dictionary, json])
        })
    }

    /// Slug of the dictionary whose rows are written.
    pub(crate) fn dictionary(&self) -> &str {
        &self.dictionary
    }

    /// Completes the file and puts it in the old one's place.
    ///
    /// # Errors
    /// [`Error::Database`], for instance when the disk is full; the old database then stays.
    pub fn finish(mut self) -> Result<()> {
        // Sequences last: which of them are needed depends on the examples.
        let tables = TABLES.iter().map(|(table, _)| *table);
        let tables = tables.filter(|table| !matches!(*table, "sequences" | "revisions"));
        for table in tables.chain(["sequences"]) {
            self.carry(table)?;
        }
        let revision = self.run(|connection| revision(connection, &self.dictionary))?;
        self.set("revisions", [revision], |appender, revision| {
            appender.append_row(params![self.dictionary, revision])
        })?;
        self.carry("revisions")?;
        if self.old.take().is_some() {
            self.run(|connection| connection.execute_batch("DETACH old"))?;
        }
        self.compact()?;
        fs::File::open(&self.temporary)
            .and_then(|file| file.sync_all())
            .map_err(Error::io("write", &self.temporary))?;
        if let Some(retired) = &self.retired {
            fs::rename(&self.path, retired).map_err(Error::io("rename", &self.path))?;
        }
        fs::rename(&self.temporary, &self.path).map_err(Error::io("write", &self.path))
    }

    /// Closes the new database and copies it afresh: DuckDB keeps the room of rows that were replaced, a quarter of a small study.
    fn compact(&mut self) -> Result<()> {
        let fault = Error::database(&self.temporary);
        self.run(|connection| connection.execute_batch("CHECKPOINT"))?;
        if let Some(connection) = self.connection.take() {
            connection.close().map_err(|(_, error)| fault(error))?;
        }
        let copy = with_suffix(&self.path, "copy");
        discard(&copy);
        let quoted = self.temporary.display().to_string().replace('\'', "''");
        let connection = schema::layout()
            .and_then(|layout| Connection::open_with_flags(&copy, layout))
            .map_err(Error::database(&copy))?;
        connection
            .query_row("SELECT current_database()", [], |row| row.get(0))
            .and_then(|name: String| {
                connection.execute_batch(&format!(
                    "ATTACH '{quoted}' AS loose (READ_ONLY); COPY FROM DATABASE loose TO \"{name}\"; DETACH loose; CHECKPOINT;"
                ))
            })
            .map_err(Error::database(&copy))?;
        connection
            .close()
            .map_err(|(_, error)| Error::database(&copy)(error))?;
        fs::rename(&copy, &self.temporary).map_err(Error::io("write", &self.temporary))
    }

    /// Replaces the dictionary's rows of one table.
    pub(crate) fn set<R>(
        &self,
        table: &str,
        rows: impl IntoIterator<Item = R>,
        mut append: impl FnMut(&mut Appender<'_>, R) -> duckdb::Result<()>,
    ) -> Result<()> {
        if let Some(own) = self.waiting.borrow_mut().get_mut(table) {
            *own = false;
        }
        self.run(|connection| {
            connection.execute(
                &format!("DELETE FROM {table} WHERE dictionary = ?"),
                [&self.dictionary],
            )?;
            let mut appender = connection.appender(table)?;
            for row in rows {
                append(&mut appender, row)?;
            }
            appender.flush()
        })
    }

    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> duckdb::Result<T>) -> Result<T> {
        work(self.connection()?).map_err(Error::database(&self.temporary))
    }

    fn connection(&self) -> Result<&Connection> {
        self.connection
            .as_ref()
            .ok_or_else(|| Error::Damaged("the writer is closed".into()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.connection.take().is_some() {
            discard(&self.temporary);
        }
    }
}

/// A hash of the dictionary's rows, whatever their order.
fn revision(connection: &Connection, dictionary: &str) -> duckdb::Result<String> {
    let mut hash = Sha256::new();
    let collection: Option<String> = connection.query_row(
        "SELECT max(value) FROM meta WHERE dictionary = ? AND key = ?",
        [dictionary, COLLECTION_KEY],
        |row| row.get(0),
    )?;
    hash.update(collection.unwrap_or_default());
    hash.update([0]);
    for (table, _) in TABLES {
        if matches!(*table, "meta" | "revisions") {
            continue;
        }
        let rows: String = connection.query_row(
            &format!(
                "SELECT CAST(coalesce(bit_xor(hash(t)), 0) AS VARCHAR) FROM (SELECT * FROM {table} WHERE dictionary = ?) t"
            ),
            [dictionary],
            |row| row.get(0),
        )?;
        hash.update(rows);
        hash.update([0]);
    }
    Ok(hex(&hash.finalize()))
}
