//! The nearest latents of a study's other dictionaries.

use std::cmp::Ordering;
use std::collections::HashMap;

use api::{Availability, Histogram, LatentMatch, LatentRow, MatchBy, MatchesPage};
use duckdb::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::{Error, LatentQuery, Result, Store, Writer};

/// Key in `meta` of the hash of a dictionary's weights, behind [`MATCHED_KEY`] and a slug that of another's when they were matched.
const WEIGHTS_KEY: &str = "dictionary_sha256";
const MATCHED_KEY: &str = "matched ";
/// The order by cosine, as a name among the columns.
const COSINE: &str = "match_cosine";
/// Bins of the cosines' histogram for each tenth.
const BINS_PER_TENTH: usize = 5;

/// A latent of another dictionary, and the cosine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// Its id there.
    pub id: u32,
    /// Cosine of the decoder rows.
    pub cosine: f64,
}

/// A latent's nearest of another dictionary; none where a row is zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchRecord {
    /// By the base row with the chat row behind it.
    pub both: Option<Matched>,
    /// By the chat row alone.
    pub chat: Option<Matched>,
}

/// Every latent's nearest of one other dictionary.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherMatches {
    /// The other dictionary.
    pub slug: String,
    /// Hash of its weights.
    pub sha256: String,
    /// One record for each latent, in the order of ids.
    pub records: Vec<MatchRecord>,
}

/// Every latent's nearest of each other dictionary, in the order of ids.
pub(crate) type Matches = HashMap<String, Vec<MatchRecord>>;

/// What a client may ask of a dictionary's matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatchQuery {
    /// Filter, order and page of the latents.
    pub latents: LatentQuery,
    /// Which rows are compared.
    pub by: MatchBy,
    /// Least cosine, inclusive.
    pub min: Option<f64>,
    /// Largest cosine, inclusive; a latent without a match passes.
    pub max: Option<f64>,
    /// By rising cosine (`Some(false)`) or by falling cosine instead of the latents' own order; latents without a match are the lowest.
    pub falling: Option<bool>,
}

impl MatchQuery {
    /// Reads the parameters of an address, already unescaped: those of the latents, and `by`, `min_match_cosine`, `max_match_cosine`, and
    /// the order `match_cosine`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name or value that is not understood.
    pub fn from_parameters<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let mut query = Self::default();
        let mut others = Vec::new();
        for (name, value) in parameters {
            match (name, value) {
                ("by", by) => {
                    query.by = by
                        .parse()
                        .map_err(|message| Error::Invalid(format!("by: {message}")))?;
                }
                ("sort", COSINE) => query.falling = Some(false),
                ("sort", sort) if sort.strip_prefix('-') == Some(COSINE) => {
                    query.falling = Some(true);
                }
                ("min_match_cosine", bound) => query.min = Some(cosine(name, bound)?),
                ("max_match_cosine", bound) => query.max = Some(cosine(name, bound)?),
                other => others.push(other),
            }
        }
        query.latents = LatentQuery::from_parameters(others)?;
        Ok(query)
    }
}

fn cosine(name: &str, value: &str) -> Result<f64> {
    let number: Option<f64> = value.parse().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| Error::Invalid(format!("{name} is {value:?}, expected a number")))
}

impl Writer {
    /// The nearest latents of the other dictionaries; those of dictionaries that are not among them are forgotten.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn set_matches(&self, others: &[OtherMatches]) -> Result<()> {
        let rows = others
            .iter()
            .flat_map(|of| (0u32..).zip(&of.records).map(move |row| (&of.slug, row)));
        self.set("matches", rows, |appender, (other, (latent, record))| {
            let id = |found: Option<Matched>| found.map(|found| found.id);
            let cosine = |found: Option<Matched>| found.map(|found| found.cosine as f32);
            appender.append_row(params![
                self.dictionary(),
                latent,
                other,
                id(record.both),
                cosine(record.both),
                id(record.chat),
                cosine(record.chat)
            ])
        })?;
        others
            .iter()
            .try_for_each(|of| self.set_meta(&format!("{MATCHED_KEY}{}", of.slug), &of.sha256))
    }
}

impl Store {
    /// The latents that match, each beside its nearest of another dictionary. A page without rows says what to run where that is not known.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`]; [`Error::Invalid`] for the dictionary itself, and as [`Store::latents`]; a damaged database.
    pub fn matches(&self, slug: &str, other: &str, query: &MatchQuery) -> Result<MatchesPage> {
        if slug == other {
            return Err(Error::Invalid(format!(
                "with is {other:?}, the dictionary itself; name another one"
            )));
        }
        let limit = query.latents.page_size()?;
        if query.latents.cursor.is_some() {
            return Err(Error::Invalid(
                "this route has no cursor; pass rows over with offset".into(),
            ));
        }
        let others = self.rows(other)?;
        let firing = self.firing(slug, &query.latents)?;
        let selection = self.table(slug)?.selection(&query.latents, &firing)?;
        let records = self.records(slug, other)?;
        let reason = self.unmatched(slug, other, records.len())?;
        let records = if reason.is_none() { records } else { &[] };
        let mut page = MatchesPage {
            computed: Availability {
                available: reason.is_none(),
                reason,
            },
            selected: selection.len() as u64,
            total: 0,
            cosines: Histogram::default(),
            rows: Vec::new(),
        };
        if records.is_empty() {
            return Ok(page);
        }
        let of = |row: &LatentRow| {
            let record = records.get(row.id as usize)?;
            match query.by {
                MatchBy::Both => record.both,
                MatchBy::Chat => record.chat,
            }
        };
        let mut found: Vec<(&LatentRow, Option<Matched>)> =
            selection.into_iter().map(|row| (row, of(row))).collect();
        let cosines = || {
            found
                .iter()
                .filter_map(|(_, found)| Some(found.as_ref()?.cosine))
        };
        page.cosines = histogram(cosines().fold(1.0, f64::min), cosines());
        found.retain(|(_, found)| match found {
            Some(found) => {
                query.min.is_none_or(|min| found.cosine >= min)
                    && query.max.is_none_or(|max| found.cosine <= max)
            }
            None => query.min.is_none(),
        });
        page.total = found.len() as u64;
        if let Some(falling) = query.falling {
            let height = |found: &Option<Matched>| found.map_or(f64::NEG_INFINITY, |f| f.cosine);
            found.sort_by(|(a, x), (b, y)| {
                let rising = height(x).total_cmp(&height(y));
                let order = if falling { rising.reverse() } else { rising };
                match order {
                    Ordering::Equal => a.id.cmp(&b.id),
                    order => order,
                }
            });
        }
        let shown = found.into_iter().skip(query.latents.offset.unwrap_or(0));
        page.rows = shown
            .take(limit)
            .map(|(row, found)| LatentMatch {
                latent: row.clone(),
                match_cosine: found.map(|found| found.cosine),
                matched: found.and_then(|found| others.get(found.id as usize).cloned()),
            })
            .collect();
        Ok(page)
    }

    /// Why the matches of two dictionaries are not known, and what to do; `None` where they are.
    fn unmatched(&self, slug: &str, other: &str, records: usize) -> Result<Option<String>> {
        let run = format!("run `stereoscope analyse STUDY --dictionary {slug} --steps matches`");
        if records == 0 {
            return Ok(Some(format!(
                "The nearest latents of {other} were not computed: {run}."
            )));
        }
        let then = self.entry(slug)?.meta(&format!("{MATCHED_KEY}{other}"));
        let now = self.entry(other)?.meta(WEIGHTS_KEY);
        // A dictionary that was never analysed notes no hash: nothing then says that its weights are others.
        let changed = now.is_some() && then != now;
        Ok(changed.then(|| {
            format!("The nearest latents of {other} were computed with other weights of it: {run}.")
        }))
    }

    /// Every latent's nearest of another dictionary; empty where that was not computed.
    fn records(&self, slug: &str, other: &str) -> Result<&[MatchRecord]> {
        let dictionary = self.entry(slug)?;
        let matches = if let Some(matches) = dictionary.matches.get() {
            matches
        } else {
            let read = match &self.pool {
                Some(pool) => pool.with(|connection| read(connection, slug))?,
                None => Matches::new(),
            };
            dictionary.matches.get_or_init(|| read)
        };
        Ok(matches.get(other).map_or(&[], Vec::as_slice))
    }
}

/// Counts in bins of a fiftieth from the tenth below the least to 1.
fn histogram(least: f64, cosines: impl Iterator<Item = f64>) -> Histogram {
    let tenths = (least.clamp(-1.0, 0.9) * 10.0).floor();
    let bins = (10.0 - tenths) as usize * BINS_PER_TENTH;
    // Rounding puts the cosine of equal rows a little above 1.
    diffing::histogram(
        cosines.map(|cosine| cosine.min(1.0)),
        tenths / 10.0,
        1.0,
        bins,
    )
}

fn read(connection: &Connection, slug: &str) -> duckdb::Result<Matches> {
    let mut statement = connection.prepare(
        "SELECT other, \"both\", both_cosine, chat, chat_cosine FROM matches WHERE dictionary = ? ORDER BY other, latent",
    )?;
    let mut rows = statement.query([slug])?;
    let mut matches = Matches::new();
    while let Some(row) = rows.next()? {
        let found = |id: Option<u32>, cosine: Option<f32>| {
            let cosine = f64::from(cosine?);
            Some(Matched { id: id?, cosine })
        };
        let record = MatchRecord {
            both: found(row.get(1)?, row.get(2)?),
            chat: found(row.get(3)?, row.get(4)?),
        };
        matches.entry(row.get(0)?).or_default().push(record);
    }
    Ok(matches)
}
