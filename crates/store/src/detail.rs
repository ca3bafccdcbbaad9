//! One latent: its row as stored, and everything of its page but the examples.

use std::collections::HashMap;

use api::{
    Betas, Class, ExampleGroup, Histogram, LatentDetail, LatentRow, LensToken, LogitLens,
    ModelName, Neighbour,
};
use duckdb::{Connection, Row};

use crate::table::{COLUMNS, Table};
use crate::{Error, Result, Store};

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
        let found = pool.with(|connection| {
            detail.histogram = histogram(connection, slug, id)?;
            for (model, lens) in [
                (ModelName::Base, &mut detail.lens_base),
                (ModelName::Chat, &mut detail.lens_chat),
            ] {
                *lens = logit_lens(connection, slug, id, model, texts)?;
            }
            detail.groups = groups(connection, slug, id)?;
            neighbours(connection, slug, id)
        })?;
        detail.neighbours = named(table, slug, found)?;
        Ok(detail)
    }
}

/// Neighbours with class and label.
fn named(table: &Table, slug: &str, found: Vec<(u32, f64)>) -> Result<Vec<Neighbour>> {
    found
        .into_iter()
        .map(|(id, cosine)| {
            let row = table.row(slug, id).map_err(|_| {
                Error::Damaged(format!("a neighbour is latent {id}, which does not exist"))
            })?;
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
    let mut statement = connection.prepare_cached(
        "SELECT lower, upper, count FROM histograms WHERE dictionary = ? AND latent = ? ORDER BY bin",
    )?;
    let mut rows = statement.query(duckdb::params![slug, id])?;
    let mut histogram = Histogram::default();
    while let Some(row) = rows.next()? {
        if histogram.edges.is_empty() {
            histogram.edges.push(row.get(0)?);
        }
        histogram.edges.push(row.get(1)?);
        histogram.counts.push(row.get(2)?);
    }
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
        "SELECT side, token, value FROM lenses WHERE dictionary = ? AND latent = ? AND model = ? ORDER BY rank",
    )?;
    let mut rows = statement.query(duckdb::params![slug, id, model.as_str()])?;
    let mut lens = LogitLens::default();
    while let Some(row) = rows.next()? {
        let token: u32 = row.get(1)?;
        let entry = LensToken {
            id: token,
            text: texts.get(&token).cloned().unwrap_or_default(),
            value: row.get(2)?,
        };
        match row.get::<_, String>(0)?.as_str() {
            TOP => lens.top.push(entry),
            _ => lens.bottom.push(entry),
        }
    }
    Ok((!lens.top.is_empty() || !lens.bottom.is_empty()).then_some(lens))
}

/// Value of `lenses.side` for promoted tokens.
pub(crate) const TOP: &str = "top";
/// Value of `lenses.side` for suppressed tokens.
pub(crate) const BOTTOM: &str = "bottom";

fn neighbours(connection: &Connection, slug: &str, id: u32) -> duckdb::Result<Vec<(u32, f64)>> {
    connection
        .prepare_cached(
            "SELECT neighbour, cosine FROM neighbours WHERE dictionary = ? AND latent = ? ORDER BY rank",
        )?
        .query_map(duckdb::params![slug, id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// Strongest group first.
fn groups(connection: &Connection, slug: &str, id: u32) -> duckdb::Result<Vec<ExampleGroup>> {
    connection
        .prepare_cached(
            "SELECT \"group\", \"from\", \"to\", examples, sequences FROM example_groups WHERE dictionary = ? AND latent = ? \
             ORDER BY \"group\" DESC",
        )?
        .query_map(duckdb::params![slug, id], |row| {
            Ok(ExampleGroup {
                group: row.get(0)?,
                from: row.get(1)?,
                to: row.get(2)?,
                examples: row.get(3)?,
                sequences: row.get(4)?,
            })
        })?
        .collect()
}
