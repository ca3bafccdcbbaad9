//! How Latent Scaling's coefficients fit, and its ratios over groups of latents beside those of random directions.

use api::{Class, LatentRow, ScalingFit, ScalingSummary};
use duckdb::{Appender, Connection, params};

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

fn append_fits(
    appender: &mut Appender<'_>,
    dictionary: &str,
    latent: u32,
    fits: &[ScalingFit],
) -> duckdb::Result<()> {
    fits.iter().try_for_each(|fit| {
        let ([before_base, before_chat], [after_base, after_chat]) = (fit.before, fit.after);
        appender.append_row(params![
            dictionary,
            latent,
            fit.target,
            before_base,
            before_chat,
            after_base,
            after_chat
        ])
    })
}

impl Writer {
    /// How well every latent's coefficients fit, by latent.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_scaling_fits(
        &self,
        fits: impl IntoIterator<Item = (u32, Vec<ScalingFit>)>,
    ) -> Result<()> {
        self.set("scaling_fits", fits, |appender, (latent, fits)| {
            append_fits(appender, self.dictionary(), latent, &fits)
        })
    }

    /// As [`Writer::set_scaling_fits`], for some latents; those of others stay.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn amend_scaling_fits(&self, fits: &[(u32, Vec<ScalingFit>)]) -> Result<()> {
        self.carry("scaling_fits")?;
        self.run(|connection| {
            let mut delete = connection
                .prepare("DELETE FROM scaling_fits WHERE dictionary = ? AND latent = ?")?;
            for (latent, _) in fits {
                delete.execute(params![self.dictionary(), latent])?;
            }
            let mut appender = connection.appender("scaling_fits")?;
            for (latent, fits) in fits {
                append_fits(&mut appender, self.dictionary(), *latent, fits)?;
            }
            appender.flush()
        })
    }

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
