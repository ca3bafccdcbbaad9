//! The study's data as the explorer reads it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use api::{
    ClassCounts, ClassCuts, ConceptScore, Histogram, LatentRow, LatentsPage, TrainingSummary,
};
use duckdb::Connection;
use sha2::{Digest as _, Sha256};

use crate::export::{ExportFormat, export};
use crate::joints::Joints;
use crate::matches::Matches;
use crate::pool::Pool;
use crate::recent::Recent;
use crate::shelf::{Facts, Shelves, shelves};
use crate::table::{Table, search_text};
use crate::{Error, LatentQuery, Result, Scaled};

/// Key in `meta` that says that Latent Scaling ran.
pub(crate) const SCALING_KEY: &str = "scaling_tokens";
/// Key in `meta` of the latents for which it ran.
pub(crate) const SCALED_KEY: &str = "scaling_latents";

/// A study's dictionaries: those of a database, and those known from their weights alone.
pub struct Store {
    pub(crate) pool: Option<Pool>,
    cuts: ClassCuts,
    dictionaries: BTreeMap<String, Dictionary>,
    revision: String,
}

/// Text searches whose latents are kept.
const SEARCHES: usize = 16;

/// One dictionary; the larger parts are read when first asked for.
pub(crate) struct Dictionary {
    /// Whether the database has its latents.
    analysed: bool,
    pub(crate) meta: BTreeMap<String, String>,
    training: Option<TrainingSummary>,
    pub(crate) concepts: Vec<ConceptScore>,
    revision: String,
    table: OnceLock<Table>,
    texts: OnceLock<HashMap<u32, String>>,
    pub(crate) facts: OnceLock<Facts>,
    pub(crate) shelves: Shelves,
    pub(crate) matches: OnceLock<Matches>,
    pub(crate) joints: OnceLock<Joints>,
    /// Latents by what their examples' tokens contain, for the last searches.
    searches: Recent<String, HashSet<u32>>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            analysed: false,
            meta: BTreeMap::new(),
            training: None,
            concepts: Vec::new(),
            revision: String::new(),
            table: OnceLock::new(),
            texts: OnceLock::new(),
            facts: OnceLock::new(),
            shelves: shelves(),
            matches: OnceLock::new(),
            joints: OnceLock::new(),
            searches: Recent::new(SEARCHES),
        }
    }
}

/// What is known of a dictionary as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryFacts {
    /// Name in addresses.
    pub slug: String,
    /// Number of latents.
    pub latents: usize,
    /// Whether the database has it; else its rows come from weights alone.
    pub analysed: bool,
    /// Latents per class, verdict, and dead ones.
    pub counts: ClassCounts,
    /// Latents for which Latent Scaling ran.
    pub scaled: Scaled,
    /// Histogram of Δ_norm, 100 bins from 0 to 1.
    pub delta_norm: Histogram,
    /// Tokens analysed; `None` before analysis.
    pub tokens: Option<u64>,
    /// Training, if known.
    pub training: Option<TrainingSummary>,
    /// Scores against ground truth.
    pub concepts: Vec<ConceptScore>,
    /// What the writer noted: program version, hashes, corpus, seeds, commands, skipped steps.
    pub meta: BTreeMap<String, String>,
}

impl Store {
    /// Opens a study's database read-only. Classes and verdicts follow `cuts`, whatever they were at the time of writing.
    ///
    /// # Errors
    /// A missing file, a file that is not a database, or one of another schema version; the message names the command that mends it.
    pub fn open(path: &Path, cuts: &ClassCuts) -> Result<Self> {
        let pool = Pool::open(path)?;
        let dictionaries = pool.with(read_dictionaries)?;
        let mut store = Self {
            pool: Some(pool),
            cuts: *cuts,
            dictionaries,
            revision: String::new(),
        };
        store.revise();
        Ok(store)
    }

    /// A store without a database, to be filled by [`Store::add_weights`].
    pub fn in_memory(cuts: &ClassCuts) -> Self {
        let mut store = Self {
            pool: None,
            cuts: *cuts,
            dictionaries: BTreeMap::new(),
            revision: String::new(),
        };
        store.revise();
        store
    }

    /// Adds a dictionary of which only the weights are known. One whose latents are in the database stays as it is there.
    ///
    /// # Errors
    /// Rows that are not latents 0, 1, 2, …
    pub fn add_weights(&mut self, slug: &str, rows: Vec<LatentRow>) -> Result<()> {
        if self.is_analysed(slug) {
            return Ok(());
        }
        let table = Table::new(slug, rows, &self.cuts, &Scaled::None)?;
        let mut hash = Sha256::new();
        for row in table.rows() {
            hash.update(row.norm_base.to_le_bytes());
            hash.update(row.norm_chat.to_le_bytes());
            hash.update(row.decoder_cosine.unwrap_or(f64::NAN).to_le_bytes());
        }
        let entry = self.dictionaries.entry(slug.into()).or_default();
        entry.revision = format!("{}{}", entry.revision, hex(&hash.finalize()));
        entry.table = OnceLock::from(table);
        self.revise();
        Ok(())
    }

    /// Whether the database has this dictionary's latents.
    pub fn is_analysed(&self, slug: &str) -> bool {
        self.dictionaries.get(slug).is_some_and(|d| d.analysed)
    }

    /// Names of the dictionaries, sorted.
    pub fn dictionaries(&self) -> Vec<String> {
        self.dictionaries.keys().cloned().collect()
    }

    /// What is known of a dictionary as a whole.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or a damaged database.
    pub fn dictionary(&self, slug: &str) -> Result<DictionaryFacts> {
        let dictionary = self.entry(slug)?;
        let table = self.table(slug)?;
        Ok(DictionaryFacts {
            slug: slug.into(),
            latents: table.rows().len(),
            analysed: dictionary.analysed,
            counts: table.counts(dictionary.scaled().any()),
            scaled: dictionary.scaled(),
            delta_norm: table.delta_norm(),
            tokens: table.rows().first().and_then(|row| row.tokens),
            training: dictionary.training.clone(),
            concepts: self.concepts(slug)?,
            meta: dictionary.meta.clone(),
        })
    }

    /// A page of the latent table.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`]; [`Error::Invalid`] for an unknown column, a bound on a column that is not numeric, a limit outside
    /// 1 to [`api::MAX_PAGE`], or a foreign cursor.
    pub fn latents(&self, slug: &str, query: &LatentQuery) -> Result<LatentsPage> {
        let firing = self.firing(slug, query)?;
        self.table(slug)?.page(query, &firing)
    }

    /// Every latent that matches, in the query's order, as a file. The query's page does not count.
    ///
    /// # Errors
    /// Those of [`Store::latents`], and a temporary folder that cannot be written.
    pub fn export(&self, slug: &str, query: &LatentQuery, format: ExportFormat) -> Result<Vec<u8>> {
        let firing = self.firing(slug, query)?;
        export(&self.table(slug)?.selection(query, &firing)?, format)
    }

    /// Latents whose examples' tokens match the query's text.
    pub(crate) fn firing(&self, slug: &str, query: &LatentQuery) -> Result<Arc<HashSet<u32>>> {
        let searches = &self.entry(slug)?.searches;
        match (search_text(query), &self.pool) {
            (Some(text), Some(pool)) => searches.get(&text, |text| {
                let found = pool.with(|connection| firing(connection, slug, text));
                found.map(Arc::new)
            }),
            _ => Ok(Arc::default()),
        }
    }

    /// One latent's row.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], [`Error::UnknownLatent`], or a damaged database.
    pub fn row(&self, slug: &str, id: u32) -> Result<&LatentRow> {
        self.table(slug)?.row(slug, id)
    }

    /// Every row of a dictionary, in the order of ids.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or a damaged database.
    pub fn rows(&self, slug: &str) -> Result<&[LatentRow]> {
        Ok(self.table(slug)?.rows())
    }

    /// Columns of the latents that match, as numbers, one vector per name in the order of ids: NaN where unknown, class and verdict as
    /// their place in [`api::Class::ALL`] and [`api::Verdict::ALL`], dead as 0 or 1. The query's order and page do not count.
    ///
    /// # Errors
    /// Those of [`Store::latents`]; [`Error::Invalid`] for an unknown column or `label`.
    pub fn columns(
        &self,
        slug: &str,
        names: &[&str],
        query: &LatentQuery,
    ) -> Result<Vec<Vec<f32>>> {
        let firing = self.firing(slug, query)?;
        self.table(slug)?.columns(names, query, &firing)
    }

    /// Largest v of every latent, in the order of ids; `None` before analysis.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or a damaged database.
    pub fn max_activations(&self, slug: &str) -> Result<Vec<Option<f32>>> {
        let rows = self.table(slug)?.rows();
        Ok(rows
            .iter()
            .map(|row| row.max_activation.map(|value| value as f32))
            .collect())
    }

    /// Ids of the tokens that a dictionary's examples and lenses use, rising.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], or a damaged database.
    pub fn token_ids(&self, slug: &str) -> Result<Vec<u32>> {
        let mut ids: Vec<u32> = self.texts(slug)?.keys().copied().collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// A hash that names this state of the data.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The dictionary's concept scores, with classes by the study's cuts.
    pub(crate) fn concepts(&self, slug: &str) -> Result<Vec<ConceptScore>> {
        let mut concepts = self.entry(slug)?.concepts.clone();
        for score in &mut concepts {
            score.class = diffing::class(Some(score.delta_norm), &self.cuts);
        }
        Ok(concepts)
    }

    pub(crate) fn entry(&self, slug: &str) -> Result<&Dictionary> {
        self.dictionaries
            .get(slug)
            .ok_or_else(|| Error::UnknownDictionary {
                slug: slug.into(),
                known: self.dictionaries(),
            })
    }

    pub(crate) fn table(&self, slug: &str) -> Result<&Table> {
        let dictionary = self.entry(slug)?;
        if let Some(table) = dictionary.table.get() {
            return Ok(table);
        }
        let rows = match &self.pool {
            Some(pool) => pool.with(|connection| crate::detail::rows(connection, slug))?,
            None => Vec::new(),
        };
        let table = Table::new(slug, rows, &self.cuts, &dictionary.scaled())?;
        Ok(dictionary.table.get_or_init(|| table))
    }

    /// Texts of the tokens that this dictionary's examples and lenses use.
    pub(crate) fn texts(&self, slug: &str) -> Result<&HashMap<u32, String>> {
        let dictionary = self.entry(slug)?;
        if let Some(texts) = dictionary.texts.get() {
            return Ok(texts);
        }
        let texts = match &self.pool {
            Some(pool) => pool.with(|connection| texts(connection, slug))?,
            None => HashMap::new(),
        };
        Ok(dictionary.texts.get_or_init(|| texts))
    }

    fn revise(&mut self) {
        let mut hash = Sha256::new();
        for cut in [
            self.cuts.chat_only,
            self.cuts.base_only,
            self.cuts.shared_from,
            self.cuts.shared_to,
        ] {
            hash.update(cut.to_le_bytes());
        }
        for (slug, dictionary) in &self.dictionaries {
            hash.update(slug);
            hash.update([0]);
            hash.update(&dictionary.revision);
            hash.update([0]);
        }
        self.revision = hex(&hash.finalize());
    }
}

impl Dictionary {
    /// Latents for which Latent Scaling ran.
    pub(crate) fn scaled(&self) -> Scaled {
        if self.analysed && self.meta.contains_key(SCALING_KEY) {
            Scaled::read(self.meta(SCALED_KEY))
        } else {
            Scaled::None
        }
    }

    /// What the writer noted under a key.
    pub(crate) fn meta(&self, key: &str) -> Option<&str> {
        self.meta.get(key).map(String::as_str)
    }
}

/// The first 64 bits of a hash in hexadecimal.
pub(crate) fn hex(hash: &[u8]) -> String {
    let first = hash.first_chunk::<8>().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

fn read_dictionaries(connection: &Connection) -> duckdb::Result<BTreeMap<String, Dictionary>> {
    let mut dictionaries: BTreeMap<String, Dictionary> = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT dictionary, key, value FROM meta WHERE dictionary <> ''")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let meta = &mut dictionaries.entry(row.get(0)?).or_default().meta;
        meta.insert(row.get(1)?, row.get(2)?);
    }
    for (slug, dictionary) in &mut dictionaries {
        dictionary.analysed = connection.query_row(
            "SELECT count(*) > 0 FROM latents WHERE dictionary = ?",
            [slug],
            |row| row.get(0),
        )?;
        dictionary.training = training(connection, slug)?;
        dictionary.concepts = concepts(connection, slug)?;
        dictionary.revision = revision(connection, slug)?;
    }
    Ok(dictionaries)
}

fn revision(connection: &Connection, slug: &str) -> duckdb::Result<String> {
    let mut statement =
        connection.prepare("SELECT revision FROM revisions WHERE dictionary = ?")?;
    let mut rows = statement.query([slug])?;
    match rows.next()? {
        Some(row) => row.get(0),
        None => Ok(String::new()),
    }
}

/// The summary is JSON written by this program; one that cannot be read counts as unknown.
fn training(connection: &Connection, slug: &str) -> duckdb::Result<Option<TrainingSummary>> {
    let mut statement = connection.prepare("SELECT summary FROM training WHERE dictionary = ?")?;
    let mut rows = statement.query([slug])?;
    match rows.next()? {
        Some(row) => Ok(serde_json::from_str(&row.get::<_, String>(0)?).ok()),
        None => Ok(None),
    }
}

fn concepts(connection: &Connection, slug: &str) -> duckdb::Result<Vec<ConceptScore>> {
    connection
        .prepare(
            "SELECT concept, against, latent, delta_norm, auroc, positives, negatives FROM concepts WHERE dictionary = ? \
             ORDER BY rowid",
        )?
        .query_map([slug], |row| {
            Ok(ConceptScore {
                concept: row.get(0)?,
                against: row.get(1)?,
                latent: row.get(2)?,
                class: api::Class::Other,
                delta_norm: row.get(3)?,
                auroc: row.get(4)?,
                positives: row.get(5)?,
                negatives: row.get(6)?,
            })
        })?
        .collect()
}

fn texts(connection: &Connection, slug: &str) -> duckdb::Result<HashMap<u32, String>> {
    connection
        .prepare("SELECT id, text FROM tokens WHERE dictionary = ?")?
        .query_map([slug], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Latents that fire, in their examples, on a token whose text contains `text` (lower case).
fn firing(connection: &Connection, slug: &str, text: &str) -> duckdb::Result<HashSet<u32>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT latent FROM firing_tokens WHERE dictionary = ? AND token IN \
             (SELECT id FROM tokens WHERE dictionary = ? AND contains(lower(text), ?))",
        )?
        .query_map([slug, slug, text], |row| row.get(0))?
        .collect()
}
