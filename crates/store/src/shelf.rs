//! What latents' pages show besides their rows, read for neighbours together and kept.
//!
//! DuckDB plans every query anew and reads a table's row groups whole: 64 latents cost a quarter of what a shelf of 1,024 costs, and
//! readers of a few dozen have soon paid for all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use api::{ExampleGroup, ScalingBucket, ScalingFit};
use diffing::{Partner, TemplateSums};
use duckdb::{Connection, Row, params};

use crate::detail::TOP;
use crate::fits;
use crate::pool::Pool;
use crate::recent::Recent;
use crate::{Result, Store};

/// Latents of a shelf.
const WIDTH: u32 = 1_024;

/// Shelves kept of a dictionary: every latent of the paper's dictionaries, at some two kB each.
const SHELVES: u32 = 80;
/// Most latents of a dictionary that rest in memory.
pub const SHELVED: usize = (SHELVES * WIDTH) as usize;

/// How much longer than it works reading ahead rests: others need the processor more.
const RESTS: u32 = 4;

/// The shelves asked for last, by their number.
pub(crate) type Shelves = Recent<u32, [Stored]>;

/// No shelf yet.
pub(crate) fn shelves() -> Shelves {
    Recent::new(SHELVES as usize)
}

/// One latent's rows of every table but that of its numbers; lists are in the order that its page shows.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Bins of [`diffing::LogHistogram`] and their counts.
    pub(crate) histogram: Vec<(u16, u64)>,
    pub(crate) lens: Vec<Lens>,
    /// Nearest latents and their cosines.
    pub(crate) neighbours: Vec<(u32, f64)>,
    pub(crate) twins: Vec<(u32, f64)>,
    pub(crate) correlated: Vec<Partner>,
    pub(crate) groups: Vec<ExampleGroup>,
    pub(crate) examples: Place,
    pub(crate) fits: Vec<ScalingFit>,
    pub(crate) verification: Vec<ScalingBucket>,
    /// Activity by number of the part.
    pub(crate) shares: Vec<(u16, Share)>,
    /// By number of [`diffing::TemplateLatent::parts`].
    pub(crate) template: Vec<(u8, TemplateSums)>,
}

/// Where a latent's rows lie in a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// First and last row's number.
    pub(crate) rows: [i64; 2],
    pub(crate) count: i64,
}

/// A token of a logit lens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lens {
    rank: u16,
    pub(crate) chat: bool,
    pub(crate) top: bool,
    pub(crate) token: u32,
    pub(crate) value: f32,
}

/// Activity on a part of the tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) active_tokens: u64,
    pub(crate) max: f32,
    pub(crate) mean: f32,
}

/// What is the same for all latents of a dictionary.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Number, division, name and tokens of the parts, by number.
    pub(crate) parts: Vec<(u16, String, String, u64)>,
    /// Tokens of every group of the chats' tokens.
    pub(crate) template: HashMap<String, u64>,
}

impl Store {
    /// Whether a latent's rows are at hand; else whoever asks for them waits until they and its neighbours' are read.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`].
    pub fn is_at_hand(&self, slug: &str, id: u32) -> Result<bool> {
        let stored = self.pool.is_some() && self.is_analysed(slug);
        Ok(!stored || self.entry(slug)?.shelves.has(&(id / WIDTH)))
    }

    /// Reads the rows of a latent and its neighbours, unless they are at hand.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], [`crate::Error::UnknownLatent`], or a damaged database.
    pub fn read_near(&self, slug: &str, id: u32) -> Result<()> {
        self.stored(slug, id, |_| Ok(()))
    }

    /// Does something with a latent's rows; with none where the dictionary has no latents in the database.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], [`crate::Error::UnknownLatent`], or a damaged database.
    pub(crate) fn stored<T>(
        &self,
        slug: &str,
        id: u32,
        take: impl FnOnce(&Stored) -> Result<T>,
    ) -> Result<T> {
        self.row(slug, id)?;
        let Some(pool) = self.pool.as_ref().filter(|_| self.is_analysed(slug)) else {
            return take(&Stored::default());
        };
        let shelf = self.shelf(pool, slug, id / WIDTH)?;
        match shelf.get((id % WIDTH) as usize) {
            Some(stored) => take(stored),
            None => take(&Stored::default()),
        }
    }

    /// Reads what latents' pages show, of as many latents as are kept, so that nobody who opens one waits for it. Takes seconds for a
    /// dictionary of the paper's size.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn read_ahead(&self, slug: &str) -> Result<()> {
        let latents = self.rows(slug)?.len();
        let Some(pool) = self.pool.as_ref().filter(|_| self.is_analysed(slug)) else {
            return Ok(());
        };
        self.texts(slug)?;
        self.facts(slug)?;
        let shelves = latents.div_ceil(WIDTH as usize);
        for number in (0..SHELVES).take(shelves) {
            let start = Instant::now();
            self.shelf(pool, slug, number)?;
            thread::sleep(RESTS * start.elapsed());
        }
        Ok(())
    }

    fn shelf(&self, pool: &Pool, slug: &str, number: u32) -> Result<Arc<[Stored]>> {
        self.entry(slug)?.shelves.get(&number, |number| {
            pool.with(|connection| read(connection, slug, number * WIDTH).map(Arc::from))
        })
    }

    /// What is the same for all latents.
    pub(crate) fn facts(&self, slug: &str) -> Result<&Facts> {
        let dictionary = self.entry(slug)?;
        if let Some(facts) = dictionary.facts.get() {
            return Ok(facts);
        }
        let facts = match &self.pool {
            Some(pool) => pool.with(|connection| facts(connection, slug))?,
            None => Facts::default(),
        };
        Ok(dictionary.facts.get_or_init(|| facts))
    }
}

fn facts(connection: &Connection, slug: &str) -> duckdb::Result<Facts> {
    Ok(Facts {
        parts: connection
            .prepare(
                "SELECT number, division, name, tokens FROM parts WHERE dictionary = ? ORDER BY number",
            )?
            .query_map([slug], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<duckdb::Result<_>>()?,
        template: connection
            .prepare("SELECT name, tokens FROM template_tokens WHERE dictionary = ?")?
            .query_map([slug], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<duckdb::Result<_>>()?,
    })
}

/// The rows of the latents from `first` on. Sorting is left to Rust: few rows are sorted faster here than DuckDB plans it.
fn read(connection: &Connection, slug: &str, first: u32) -> duckdb::Result<Vec<Stored>> {
    let mut shelf = Shelf {
        connection,
        slug,
        first,
        last: first.saturating_add(WIDTH - 1),
        stored: (0..WIDTH).map(|_| Stored::default()).collect(),
    };
    shelf.add(
        "histograms",
        "bin, count",
        |row| Ok((row.get(1)?, row.get(2)?)),
        |stored, bin| stored.histogram.push(bin),
    )?;
    shelf.add(
        "lenses",
        // Compared there: texts of millions of rows would have to be copied.
        &format!(
            "rank, model = '{}', side = '{TOP}', token, value",
            api::ModelName::Chat.as_str()
        ),
        lens,
        |stored, lens| {
            stored.lens.push(lens);
        },
    )?;
    shelf.ranked(
        "neighbours",
        "neighbour, cosine",
        |row| Ok((row.get(2)?, f64::from(row.get::<_, f32>(3)?))),
        |stored, found| stored.neighbours = found,
    )?;
    shelf.ranked(
        "correlated",
        "partner, correlation, together",
        partner,
        |stored, found| {
            stored.correlated = found;
        },
    )?;
    shelf.add(
        "example_groups",
        "\"group\", \"from\", \"to\", examples, sequences",
        group,
        |stored, group| stored.groups.push(group),
    )?;
    shelf.add("scaling_fits", fits::WHOLE, fits::whole, |stored, fit| {
        stored.fits.push(fit);
    })?;
    shelf.add(
        "verification",
        fits::BUCKET,
        fits::bucket,
        |stored, bucket| fits::put(&mut stored.verification, bucket),
    )?;
    shelf.add(
        "shares",
        "part, active_tokens, max, mean",
        share,
        |stored, share| stored.shares.push(share),
    )?;
    shelf.add(
        "template_sums",
        "number, count, mean, max",
        sums,
        |stored, sums| {
            stored.template.push(sums);
        },
    )?;
    shelf.examples()?;
    shelf.twins()?;
    let mut stored = shelf.stored;
    for of in &mut stored {
        of.lens.sort_unstable_by_key(|lens| lens.rank);
        of.groups
            .sort_unstable_by_key(|group| std::cmp::Reverse(group.group));
        fits::sort(&mut of.fits, &mut of.verification);
    }
    Ok(stored)
}

/// Latents that are being read.
struct Shelf<'a> {
    connection: &'a Connection,
    slug: &'a str,
    first: u32,
    last: u32,
    stored: Vec<Stored>,
}

impl Shelf<'_> {
    /// Reads some columns of a table; `read` finds them behind the latent.
    fn rows<T>(
        &self,
        table: &str,
        columns: &str,
        read: impl Fn(&Row<'_>) -> duckdb::Result<T>,
    ) -> duckdb::Result<Vec<(u32, T)>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT latent, {columns} FROM {table} WHERE dictionary = ? AND latent BETWEEN ? AND ?"
            ))?
            .query_map(params![self.slug, self.first, self.last], |row| {
                Ok((row.get(0)?, read(row)?))
            })?
            .collect()
    }

    fn of(&mut self, latent: u32) -> Option<&mut Stored> {
        self.stored
            .get_mut(latent.checked_sub(self.first)? as usize)
    }

    /// Puts every row of a table to its latent.
    fn add<T>(
        &mut self,
        table: &str,
        columns: &str,
        read: impl Fn(&Row<'_>) -> duckdb::Result<T>,
        put: impl Fn(&mut Stored, T),
    ) -> duckdb::Result<()> {
        for (latent, row) in self.rows(table, columns, read)? {
            if let Some(stored) = self.of(latent) {
                put(stored, row);
            }
        }
        Ok(())
    }

    /// The same for a table whose rows have a rank, in the order of ranks; `read` finds the columns behind latent and rank.
    fn ranked<T>(
        &mut self,
        table: &str,
        columns: &str,
        read: impl Fn(&Row<'_>) -> duckdb::Result<T>,
        put: impl Fn(&mut Stored, Vec<T>),
    ) -> duckdb::Result<()> {
        let with_rank = |row: &Row<'_>| Ok((row.get::<_, u16>(1)?, read(row)?));
        let mut rows = self.rows(table, &format!("rank, {columns}"), with_rank)?;
        rows.sort_by_key(|(latent, (rank, _))| (*latent, *rank));
        let mut found: HashMap<u32, Vec<T>> = HashMap::new();
        for (latent, (_, row)) in rows {
            found.entry(latent).or_default().push(row);
        }
        for (latent, rows) in found {
            if let Some(stored) = self.of(latent) {
                put(stored, rows);
            }
        }
        Ok(())
    }

    /// Where the latents' examples are.
    fn examples(&mut self) -> duckdb::Result<()> {
        let places: Vec<(u32, Place)> = self
            .connection
            .prepare_cached(
                "SELECT latent, min(rowid), max(rowid), count(*) FROM examples \
                 WHERE dictionary = ? AND latent BETWEEN ? AND ? GROUP BY latent",
            )?
            .query_map(params![self.slug, self.first, self.last], |row| {
                let rows = [row.get(1)?, row.get(2)?];
                let count = row.get(3)?;
                Ok((row.get(0)?, Place { rows, count }))
            })?
            .collect::<duckdb::Result<_>>()?;
        for (latent, place) in places {
            if let Some(stored) = self.of(latent) {
                stored.examples = place;
            }
        }
        Ok(())
    }

    /// Twins of either side, nearest first.
    fn twins(&mut self) -> duckdb::Result<()> {
        let (first, last) = (self.first, self.last);
        let pairs: Vec<(u32, u32, f32)> = self
            .connection
            .prepare_cached(
                "SELECT chat, base, cosine FROM twins WHERE dictionary = ? AND (chat BETWEEN ? AND ? OR base BETWEEN ? AND ?)",
            )?
            .query_map(params![self.slug, first, last, first, last], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<duckdb::Result<_>>()?;
        for (chat, base, cosine) in pairs {
            for (mine, other) in [(chat, base), (base, chat)] {
                if let Some(stored) = self.of(mine) {
                    stored.twins.push((other, f64::from(cosine)));
                }
            }
        }
        for stored in &mut self.stored {
            let twins = &mut stored.twins;
            twins.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
        Ok(())
    }
}

fn lens(row: &Row<'_>) -> duckdb::Result<Lens> {
    Ok(Lens {
        rank: row.get(1)?,
        chat: row.get(2)?,
        top: row.get(3)?,
        token: row.get(4)?,
        value: row.get(5)?,
    })
}

fn partner(row: &Row<'_>) -> duckdb::Result<Partner> {
    Ok(Partner {
        id: row.get(2)?,
        correlation: f64::from(row.get::<_, f32>(3)?),
        together: row.get(4)?,
    })
}

fn group(row: &Row<'_>) -> duckdb::Result<ExampleGroup> {
    Ok(ExampleGroup {
        group: row.get(1)?,
        from: row.get(2)?,
        to: row.get(3)?,
        examples: row.get(4)?,
        sequences: row.get(5)?,
    })
}

fn share(row: &Row<'_>) -> duckdb::Result<(u16, Share)> {
    let share = Share {
        active_tokens: row.get(2)?,
        max: row.get(3)?,
        mean: row.get(4)?,
    };
    Ok((row.get(1)?, share))
}

fn sums(row: &Row<'_>) -> duckdb::Result<(u8, TemplateSums)> {
    let (count, mean): (u64, f32) = (row.get(2)?, row.get(3)?);
    let sums = TemplateSums {
        count,
        sum: f64::from(mean) * count as f64,
        max: row.get(4)?,
    };
    Ok((row.get(1)?, sums))
}
