//! One latent: its row as stored, and everything of its page but the examples.
//!
//! Queries leave sorting to Rust: a few rows are sorted faster here than DuckDB plans it.

use std::collections::HashMap;

use api::{
    Betas, Class, Correlated, ExampleGroup, Histogram, LatentDetail, LatentRow, LensToken,
    LogitLens, ModelName, Neighbour, Twin,
};
use diffing::LogHistogram;
use duckdb::{Connection, Row};

use crate::table::{COLUMNS, Table};
use crate::{Error, Result, Store};
use crate::{fits, groups, template};

impl Store {
    /// Everything of a latent's page but the examples.
    ///
    /// # Errors
    /// [`Error::UnknownDictionary`], [`Error::UnknownLatent`], or a damaged database.
    pub fn latent(&self, slug: &str, id: u32) -> Result<LatentDetail> {
        let table = self.table(slug)?;
        let mut detail = LatentDetail {
            row: table.row(slug, id)?.clone(),
            histogram: None,
            lens_base: None,
            lens_chat: None,
            neighbours: Vec::new(),
            twins: Vec::new(),
            correlated: Vec::new(),
            shares: Vec::new(),
            template: Vec::new(),
            fits: Vec::new(),
            verification: Vec::new(),
            groups: Vec::new(),
            concepts: self.concepts(slug)?,
        };
        detail.concepts.retain(|score| score.latent == id);
        let Some(pool) = &self.pool else {
            return Ok(detail);
        };
        if !self.is_analysed(slug) {
            return Ok(detail);
        }
        let texts = self.texts(slug)?;
        let (near, twins, partners) = pool.with(|connection| {
            detail.histogram = histogram(connection, slug, id)?;
            for (model, lens) in [
                (ModelName::Base, &mut detail.lens_base),
                (ModelName::Chat, &mut detail.lens_chat),
            ] {
                *lens = logit_lens(connection, slug, id, model, texts)?;
            }
            detail.groups = bands(connection, slug, id)?;
            (detail.fits, detail.verification) = fits::fits(connection, slug, id)?;
            detail.shares = groups::shares(connection, slug, id)?;
            Ok((
                neighbours(connection, slug, id)?,
                groups::twins(connection, slug, id)?,
                groups::correlated(connection, slug, id)?,
            ))
        })?;
        detail.template = template::activity(
            &self.template_tokens(slug)?,
            &self.template_latent(slug, id)?,
        );
        detail.neighbours = named(table, slug, near)?;
        detail.twins = named(table, slug, twins)?
            .into_iter()
            .map(|near| {
                let joint = self.joint(slug, id, near.id)?;
                Ok(Twin { near, joint })
            })
            .collect::<Result<_>>()?;
        detail.correlated = partners
            .into_iter()
            .map(|partner| {
                let row = other(table, slug, partner.id)?;
                Ok(Correlated {
                    id: partner.id,
                    class: row.class,
                    label: row.label.clone(),
                    correlation: partner.correlation,
                    together: partner.together,
                    joint: self.joint(slug, id, partner.id)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(detail)
    }
}

/// The row of a latent that another one's page names.
fn other<'a>(table: &'a Table, slug: &str, id: u32) -> Result<&'a LatentRow> {
    table
        .row(slug, id)
        .map_err(|_| Error::Damaged(format!("a neighbour is latent {id}, which does not exist")))
}

/// Neighbours with class and label.
fn named(table: &Table, slug: &str, found: Vec<(u32, f64)>) -> Result<Vec<Neighbour>> {
    found
        .into_iter()
        .map(|(id, cosine)| {
            let row = other(table, slug, id)?;
            Ok(Neighbour {
                id,
                class: row.class,
                label: row.label.clone(),
                cosine,
            })
        })
        .collect()
}

/// Every row of a dictionary, in the order of ids. Classes and verdicts are not read: they follow the study's cuts.
pub(crate) fn rows(connection: &Connection, slug: &str) -> duckdb::Result<Vec<LatentRow>> {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let sql = format!(
        "SELECT {} FROM latents WHERE dictionary = ? ORDER BY id",
        names.join(", ")
    );
    connection.prepare(&sql)?.query_map([slug], row)?.collect()
}

/// Columns in the order of [`COLUMNS`].
fn row(row: &Row<'_>) -> duckdb::Result<LatentRow> {
    Ok(LatentRow {
        id: row.get(0)?,
        class: Class::Other,
        dead: row.get(2)?,
        label: row.get(3)?,
        verdict: None,
        delta_norm: row.get(5)?,
        norm_base: row.get(6)?,
        norm_chat: row.get(7)?,
        decoder_cosine: row.get(8)?,
        nu_epsilon: row.get(9)?,
        nu_r: row.get(10)?,
        betas: Betas {
            beta_activation_base: row.get(11)?,
            beta_activation_chat: row.get(12)?,
            beta_activation_no_bias_base: row.get(13)?,
            beta_activation_no_bias_chat: row.get(14)?,
            beta_reconstruction_base: row.get(15)?,
            beta_reconstruction_chat: row.get(16)?,
            beta_error_base: row.get(17)?,
            beta_error_chat: row.get(18)?,
        },
        frequency: row.get(19)?,
        active_tokens: row.get(20)?,
        tokens: row.get(21)?,
        max_activation: row.get(22)?,
        mean_activation: row.get(23)?,
        template_share: row.get(24)?,
    })
}

fn histogram(connection: &Connection, slug: &str, id: u32) -> duckdb::Result<Option<Histogram>> {
    let mut statement = connection
        .prepare_cached("SELECT bin, count FROM histograms WHERE dictionary = ? AND latent = ?")?;
    let bins: Vec<(u16, u64)> = statement
        .query_map(duckdb::params![slug, id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<duckdb::Result<_>>()?;
    let histogram = LogHistogram::from_bins(bins).to_histogram();
    Ok((!histogram.counts.is_empty()).then_some(histogram))
}

fn logit_lens(
    connection: &Connection,
    slug: &str,
    id: u32,
    model: ModelName,
    texts: &HashMap<u32, String>,
) -> duckdb::Result<Option<LogitLens>> {
    let mut statement = connection.prepare_cached(
        "SELECT rank, side, token, value FROM lenses WHERE dictionary = ? AND latent = ? AND model = ?",
    )?;
    let mut entries: Vec<(u16, String, u32, f32)> = statement
        .query_map(duckdb::params![slug, id, model.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<duckdb::Result<_>>()?;
    entries.sort_unstable_by_key(|entry| entry.0);
    let mut lens = LogitLens::default();
    for (_, side, id, value) in entries {
        let token = LensToken {
            id,
            text: texts.get(&id).cloned().unwrap_or_default(),
            value: f64::from(value),
        };
        if side == TOP {
            lens.top.push(token);
        } else {
            lens.bottom.push(token);
        }
    }
    Ok((!lens.top.is_empty() || !lens.bottom.is_empty()).then_some(lens))
}

/// Value of `lenses.side` for promoted tokens.
pub(crate) const TOP: &str = "top";
/// Value of `lenses.side` for suppressed tokens.
pub(crate) const BOTTOM: &str = "bottom";

fn neighbours(connection: &Connection, slug: &str, id: u32) -> duckdb::Result<Vec<(u32, f64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT rank, neighbour, cosine FROM neighbours WHERE dictionary = ? AND latent = ?",
    )?;
    let mut found: Vec<(u16, u32, f64)> = statement
        .query_map(duckdb::params![slug, id], |row| {
            Ok((row.get(0)?, row.get(1)?, f64::from(row.get::<_, f32>(2)?)))
        })?
        .collect::<duckdb::Result<_>>()?;
    found.sort_unstable_by_key(|neighbour| neighbour.0);
    Ok(found
        .into_iter()
        .map(|(_, id, cosine)| (id, cosine))
        .collect())
}

/// Strongest group first.
fn bands(connection: &Connection, slug: &str, id: u32) -> duckdb::Result<Vec<ExampleGroup>> {
    let mut statement = connection.prepare_cached(
        "SELECT \"group\", \"from\", \"to\", examples, sequences FROM example_groups WHERE dictionary = ? AND latent = ?",
    )?;
    let mut groups: Vec<ExampleGroup> = statement
        .query_map(duckdb::params![slug, id], |row| {
            Ok(ExampleGroup {
                group: row.get(0)?,
                from: row.get(1)?,
                to: row.get(2)?,
                examples: row.get(3)?,
                sequences: row.get(4)?,
            })
        })?
        .collect::<duckdb::Result<_>>()?;
    groups.sort_unstable_by_key(|group| std::cmp::Reverse(group.group));
    Ok(groups)
}
