//! Latent Scaling's ratios over groups of latents, beside those of random directions.

use api::{Class, LatentRow, ScalingSummary};
use duckdb::{Connection, params};

use crate::read::SCALING_KEY;
use crate::{Result, Store, Writer};

/// What random directions replace a latent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineKind {
    /// Gaussian directions of the same length.
    RandomDirection,
    /// Other latents' chat rows, scaled to the same length.
    RandomLatent,
}

impl BaselineKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::RandomDirection, Self::RandomLatent];

    /// Its name in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RandomDirection => "random_direction",
            Self::RandomLatent => "random_latent",
        }
    }
}

/// A latent's ratios with a direction that is not its own.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineRecord {
    /// What replaces the direction.
    pub kind: BaselineKind,
    /// Latent id.
    pub latent: u32,
    /// ν^ε.
    pub nu_epsilon: Option<f64>,
    /// ν^r.
    pub nu_r: Option<f64>,
}

impl Writer {
    /// Ratios with random directions.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_baselines(&self, records: impl IntoIterator<Item = BaselineRecord>) -> Result<()> {
        self.set("baselines", records, |appender, record| {
            appender.append_row(params![
                self.dictionary(),
                record.latent,
                record.kind.as_str(),
                record.nu_epsilon,
                record.nu_r
            ])
        })
    }
}

impl Store {
    /// Latent Scaling's ratios over the chat-only latents, as many shared ones, and random directions; only what was computed.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn scaling(&self, slug: &str) -> Result<ScalingSummary> {
        let rows = self.rows(slug)?;
        let mut summary = ScalingSummary::default();
        let Some(pool) = &self.pool else {
            return Ok(summary);
        };
        let entry = self.entry(slug)?;
        if entry.scaled().any() {
            let tokens = entry.meta(SCALING_KEY);
            summary.tokens = tokens.and_then(|tokens| tokens.parse().ok());
            let chat_only = rows.iter().filter(|row| row.class == Class::ChatOnly);
            let chat_only: Vec<_> = chat_only.map(ratios).collect();
            let shared = diffing::compared_shared(rows);
            let shared = shared.iter().filter_map(|&id| rows.get(id as usize));
            let shared: Vec<_> = shared.map(ratios).collect();
            for (name, ratios) in [("chat_only", chat_only), ("shared", shared)] {
                summary.groups.push(diffing::scaling_group(name, &ratios));
            }
        }
        for kind in BaselineKind::ALL {
            let ratios = pool.with(|connection| baseline(connection, slug, kind))?;
            if !ratios.is_empty() {
                let group = diffing::scaling_group(kind.as_str(), &ratios);
                summary.groups.push(group);
            }
        }
        Ok(summary)
    }
}

fn ratios(row: &LatentRow) -> [Option<f64>; 2] {
    [row.nu_epsilon, row.nu_r]
}

fn baseline(
    connection: &Connection,
    slug: &str,
    kind: BaselineKind,
) -> duckdb::Result<Vec<[Option<f64>; 2]>> {
    connection
        .prepare_cached("SELECT nu_epsilon, nu_r FROM baselines WHERE dictionary = ? AND kind = ?")?
        .query_map([slug, kind.as_str()], |row| Ok([row.get(0)?, row.get(1)?]))?
        .collect()
}
