//! One latent: its row as stored, and everything of its page but the examples.

use std::collections::HashMap;

use api::{
    Betas, Class, Correlated, LatentDetail, LatentRow, LensToken, LogitLens, Neighbour, Twin,
};
use diffing::{LogHistogram, TemplateLatent};
use duckdb::{Connection, Row};

use crate::columns::COLUMNS;
use crate::shelf::Lens;
use crate::table::Table;
use crate::{Error, Result, Store};
use crate::{groups, template};

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
        if !self.is_analysed(slug) {
            return Ok(detail);
        }
        let texts = self.texts(slug)?;
        let facts = self.facts(slug)?;
        self.stored(slug, id, |stored| {
            let histogram = LogHistogram::from_bins(stored.histogram.clone()).to_histogram();
            detail.histogram = (!histogram.counts.is_empty()).then_some(histogram);
            detail.lens_base = lens(&stored.lens, false, texts);
            detail.lens_chat = lens(&stored.lens, true, texts);
            detail.groups.clone_from(&stored.groups);
            detail.fits.clone_from(&stored.fits);
            detail.verification.clone_from(&stored.verification);
            detail.shares = groups::shares(&facts.parts, &stored.shares);
            let sums = TemplateLatent::from_parts(stored.template.iter().copied());
            detail.template = template::activity(&facts.template, &sums);
            detail.neighbours = named(table, slug, &stored.neighbours)?;
            let twins = named(table, slug, &stored.twins)?.into_iter().map(|near| {
                let joint = self.joint(slug, id, near.id)?;
                Ok(Twin { near, joint })
            });
            detail.twins = twins.collect::<Result<_>>()?;
            let correlated = stored.correlated.iter().map(|partner| {
                let row = other(table, slug, partner.id)?;
                Ok(Correlated {
                    id: partner.id,
                    class: row.class,
                    label: row.label.clone(),
                    correlation: partner.correlation,
                    together: partner.together,
                    joint: self.joint(slug, id, partner.id)?,
                })
            });
            detail.correlated = correlated.collect::<Result<_>>()?;
            Ok(())
        })?;
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
fn named(table: &Table, slug: &str, found: &[(u32, f64)]) -> Result<Vec<Neighbour>> {
    found
        .iter()
        .map(|&(id, cosine)| {
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

/// One model's lens; `None` where none was computed.
fn lens(stored: &[Lens], chat: bool, texts: &HashMap<u32, String>) -> Option<LogitLens> {
    let mut lens = LogitLens::default();
    for entry in stored.iter().filter(|entry| entry.chat == chat) {
        let token = LensToken {
            id: entry.token,
            text: texts.get(&entry.token).cloned().unwrap_or_default(),
            value: f64::from(entry.value),
        };
        if entry.top {
            lens.top.push(token);
        } else {
            lens.bottom.push(token);
        }
    }
    (!lens.top.is_empty() || !lens.bottom.is_empty()).then_some(lens)
}

/// Value of `lenses.side` for promoted tokens.
pub(crate) const TOP: &str = "top";
/// Value of `lenses.side` for suppressed tokens.
pub(crate) const BOTTOM: &str = "bottom";
