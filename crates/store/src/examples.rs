//! Pages of a latent's examples.

use std::collections::HashMap;

use api::{Example, ExampleGroup, ExamplesPage, TokenInfo};
use duckdb::{Connection, Row};

use crate::carry::COLLECTION_KEY;
use crate::records::{kind_of, words};
use crate::shelf::Place;
use crate::{Error, Result, Store, cursor, pack};

/// Examples of a page when the client names no limit.
pub const DEFAULT_EXAMPLES: usize = 20;
/// Most examples of a page.
pub const MAX_EXAMPLES: usize = 200;

/// A page where nothing is stored.
const EMPTY: ExamplesPage = ExamplesPage {
    total: 0,
    next: None,
    examples: Vec::new(),
};

struct Stored {
    rank: u32,
    group: u32,
    sequence: u64,
    positions: Vec<u8>,
    activations: Vec<u8>,
}

struct Sequence {
    source: String,
    tokens: Vec<u8>,
    kinds: Vec<u8>,
}

impl Store {
    /// A page of a latent's examples, strongest first, of one quantile group or of all. `limit` is 1 to [`MAX_EXAMPLES`],
    /// by default [`DEFAULT_EXAMPLES`].
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], [`Error::UnknownLatent`]; [`Error::Invalid`] for a limit out of range or a foreign cursor.
    pub fn examples(
        &self,
        slug: &str,
        id: u32,
        group: Option<u32>,
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> Result<ExamplesPage> {
        self.examples_from(slug, id, group, cursor, limit, None)
    }

    /// The same; with `source` only those whose source begins with it.
    ///
    /// # Errors
    /// As [`Store::examples`].
    pub fn examples_from(
        &self,
        slug: &str,
        id: u32,
        group: Option<u32>,
        cursor: Option<&str>,
        limit: Option<usize>,
        source: Option<&str>,
    ) -> Result<ExamplesPage> {
        self.row(slug, id)?;
        let limit = limit.unwrap_or(DEFAULT_EXAMPLES);
        if !(1..=MAX_EXAMPLES).contains(&limit) {
            return Err(Error::Invalid(format!(
                "limit is {limit}, expected 1 to {MAX_EXAMPLES}"
            )));
        }
        let order = format!(
            "{slug}/{id}/{}/{}",
            group.map(|g| g.to_string()).unwrap_or_default(),
            source.unwrap_or_default()
        );
        let from = cursor.map_or(Ok(0), |cursor| cursor::decode(cursor, &order))?;
        let Some(pool) = self.pool.as_ref().filter(|_| self.is_analysed(slug)) else {
            return Ok(EMPTY);
        };
        let (place, total) = self.stored(slug, id, |stored| {
            Ok((stored.examples, count(&stored.groups, group)))
        })?;
        let (total, mut stored) = match source {
            None => {
                let mut stored = pool.with(|connection| all(connection, slug, id, place))?;
                stored.retain(|example| in_group(example, group) && example.rank >= from);
                (total, stored)
            }
            Some(source) => {
                let collection = self.collection(slug);
                let (mut stored, sequences) = pool.with(|connection| {
                    let mut stored = all(connection, slug, id, place)?;
                    stored.retain(|example| in_group(example, group));
                    let sequences = sequences(connection, collection, &stored)?;
                    Ok((stored, sequences))
                })?;
                stored.retain(|example| {
                    let found = sequences.get(&example.sequence);
                    found.is_some_and(|found| found.source.starts_with(source))
                });
                let total = stored.len() as u64;
                stored.retain(|example| example.rank >= from);
                (total, stored)
            }
        };
        stored.sort_unstable_by_key(|example| example.rank);
        let next = stored.get(limit).map(|e| cursor::encode(e.rank, &order));
        stored.truncate(limit);
        Ok(ExamplesPage {
            total,
            next,
            examples: self.whole(slug, id, &stored)?,
        })
    }

    /// A latent's examples that are these sequences, at most [`MAX_EXAMPLES`] of them.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], [`Error::UnknownLatent`]; [`Error::Invalid`] for too many sequences.
    pub fn examples_on(&self, slug: &str, id: u32, sequences: &[u64]) -> Result<ExamplesPage> {
        self.row(slug, id)?;
        if sequences.len() > MAX_EXAMPLES {
            return Err(Error::Invalid(format!(
                "sequences names {}, expected at most {MAX_EXAMPLES}",
                sequences.len()
            )));
        }
        let Some(pool) = self.pool.as_ref().filter(|_| self.is_analysed(slug)) else {
            return Ok(EMPTY);
        };
        let place = self.stored(slug, id, |stored| Ok(stored.examples))?;
        let mut stored = pool.with(|connection| all(connection, slug, id, place))?;
        stored.retain(|example| sequences.contains(&example.sequence));
        stored.sort_unstable_by_key(|example| example.rank);
        Ok(ExamplesPage {
            total: stored.len() as u64,
            next: None,
            examples: self.whole(slug, id, &stored)?,
        })
    }

    /// The activations in which a dictionary's sequences are numbered.
    fn collection(&self, slug: &str) -> &str {
        let entry = self.entry(slug).ok();
        let collection = entry.and_then(|entry| entry.meta(COLLECTION_KEY));
        collection.unwrap_or_default()
    }

    /// Examples with their sequences' tokens.
    fn whole(&self, slug: &str, id: u32, stored: &[Stored]) -> Result<Vec<Example>> {
        let texts = self.texts(slug)?;
        let collection = self.collection(slug);
        let sequences = match &self.pool {
            Some(pool) => pool.with(|connection| sequences(connection, collection, stored))?,
            None => HashMap::new(),
        };
        stored
            .iter()
            .map(|stored| example(id, stored, &sequences, texts))
            .collect()
    }
}

fn example(
    latent: u32,
    stored: &Stored,
    sequences: &HashMap<u64, Sequence>,
    texts: &HashMap<u32, String>,
) -> Result<Example> {
    let damaged =
        |what: &str| Error::Damaged(format!("example {} of latent {latent} {what}", stored.rank));
    let sequence = sequences
        .get(&stored.sequence)
        .ok_or_else(|| damaged("refers to a sequence that is not stored"))?;
    let (ids, kinds) = pack::unpack_numbers(&sequence.tokens)
        .and_then(|ids| {
            let kinds = pack::unpack_codes(&sequence.kinds, ids.len())?;
            Some((ids, kinds))
        })
        .ok_or_else(|| damaged("has a sequence of broken length"))?;
    let tokens = ids
        .into_iter()
        .zip(kinds)
        .map(|(id, kind)| {
            Ok(TokenInfo {
                id,
                text: texts.get(&id).cloned().unwrap_or_default(),
                kind: kind_of(kind).ok_or_else(|| damaged("has an unknown kind of token"))?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut values = vec![0.0; tokens.len()];
    let positions = pack::unpack_rising(&stored.positions);
    let activations = words(&stored.activations, f32::from_le_bytes);
    let (Some(positions), Some(activations)) = (positions, activations) else {
        return Err(damaged("has activations of broken length"));
    };
    let max = activations.iter().copied().fold(0.0, f32::max);
    for (position, value) in positions.into_iter().zip(activations) {
        *values
            .get_mut(position as usize)
            .ok_or_else(|| damaged("has an activation outside its sequence"))? = value;
    }
    Ok(Example {
        sequence: stored.sequence,
        group: stored.group,
        max: f64::from(max),
        source: sequence.source.clone(),
        tokens,
        values,
    })
}

/// Examples of one quantile group or of all.
fn count(groups: &[ExampleGroup], group: Option<u32>) -> u64 {
    groups
        .iter()
        .filter(|found| group.is_none_or(|group| group == found.group))
        .map(|found| found.examples)
        .sum()
}

fn in_group(example: &Stored, group: Option<u32>) -> bool {
    group.is_none_or(|group| group == example.group)
}

/// A latent's examples, in any order: they are few. The query alone takes half the time by place that it takes by content.
fn all(connection: &Connection, slug: &str, id: u32, place: Place) -> duckdb::Result<Vec<Stored>> {
    let [first, last] = place.rows;
    let together = last - first + 1 == place.count;
    let find = if together {
        "rowid >= ? AND rowid <= ?"
    } else {
        "dictionary = ? AND latent = ?"
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT rank, \"group\", sequence, positions, activations FROM examples WHERE {find}"
    ))?;
    let read = |row: &Row<'_>| {
        Ok(Stored {
            rank: row.get(0)?,
            group: row.get(1)?,
            sequence: row.get(2)?,
            positions: row.get(3)?,
            activations: row.get(4)?,
        })
    };
    if together {
        statement.query_map([first, last], read)?.collect()
    } else {
        statement
            .query_map(duckdb::params![slug, id], read)?
            .collect()
    }
}

/// One look-up per sequence: a list of numbers would make DuckDB read everything between the smallest and the largest.
fn sequences(
    connection: &Connection,
    collection: &str,
    stored: &[Stored],
) -> duckdb::Result<HashMap<u64, Sequence>> {
    let mut statement = connection.prepare_cached(
        "SELECT source, tokens, kinds FROM sequences WHERE collection = ? AND sequence = ?",
    )?;
    let mut found = HashMap::new();
    for number in stored.iter().map(|example| example.sequence) {
        let mut rows = statement.query(duckdb::params![collection, number])?;
        if let Some(row) = rows.next()? {
            found.insert(
                number,
                Sequence {
                    source: row.get(0)?,
                    tokens: row.get(1)?,
                    kinds: row.get(2)?,
                },
            );
        }
    }
    Ok(found)
}
