//! How pairs of latents fire on the same tokens.

use std::collections::HashMap;

use api::{JointActivity, JointCounts};
use diffing::{JOINT_EDGES, JointHistogram, JointScale};
use duckdb::{Connection, params};

use crate::{Result, Store, Writer};

/// Joint histograms of pairs of latents, by [`JointScale::ALL`].
pub(crate) type Joints = HashMap<(u32, u32), [JointHistogram; 2]>;

/// A scale's name in the database.
fn name(scale: JointScale) -> &'static str {
    match scale {
        JointScale::Pair => "pair",
        JointScale::Own => "own",
    }
}

impl Writer {
    /// Joint histograms of pairs of latents, by [`JointScale::ALL`].
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_joints(
        &self,
        joints: impl IntoIterator<Item = ((u32, u32), [JointHistogram; 2])>,
    ) -> Result<()> {
        self.set(
            "joints",
            joints,
            |appender, ((first, second), histograms)| {
                for (scale, histogram) in JointScale::ALL.into_iter().zip(&histograms) {
                    for (row, counts) in (0u8..).zip(&histogram.0) {
                        for (column, &count) in (0u8..).zip(counts).filter(|(_, count)| **count > 0)
                        {
                            appender.append_row(params![
                                self.dictionary(),
                                first,
                                second,
                                name(scale),
                                row,
                                column,
                                count
                            ])?;
                        }
                    }
                }
                Ok(())
            },
        )
    }
}

impl Store {
    /// How a latent fires beside another one, with this latent's buckets as rows; `None` if that was not computed.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn joint(&self, slug: &str, latent: u32, other: u32) -> Result<Option<JointActivity>> {
        let joints = self.joints(slug)?;
        let turned = || {
            let found = joints.get(&(other, latent))?;
            Some(found.map(|histogram| histogram.transposed()))
        };
        let found = joints.get(&(latent, other)).copied().or_else(turned);
        Ok(found.map(|[by_pair, by_own]| JointActivity {
            edges: JOINT_EDGES.into(),
            by_pair: counts(&by_pair),
            by_own: counts(&by_own),
        }))
    }

    /// All pairs: chat-only latents with twins or partners are few, and every page of a latent asks.
    fn joints(&self, slug: &str) -> Result<&Joints> {
        let dictionary = self.entry(slug)?;
        if let Some(joints) = dictionary.joints.get() {
            return Ok(joints);
        }
        let read = match &self.pool {
            Some(pool) => pool.with(|connection| read(connection, slug))?,
            None => Joints::new(),
        };
        Ok(dictionary.joints.get_or_init(|| read))
    }
}

fn counts(histogram: &JointHistogram) -> JointCounts {
    JointCounts {
        counts: histogram.0.iter().map(|row| row.to_vec()).collect(),
        divergence: histogram.divergence(),
    }
}

fn read(connection: &Connection, slug: &str) -> duckdb::Result<Joints> {
    let mut statement = connection.prepare(
        "SELECT \"first\", \"second\", scale, \"row\", \"column\", count FROM joints WHERE dictionary = ?",
    )?;
    let mut rows = statement.query([slug])?;
    let mut joints = Joints::new();
    while let Some(row) = rows.next()? {
        let scale: String = row.get(2)?;
        let place = JointScale::ALL.into_iter().position(|s| name(s) == scale);
        let (down, across): (u8, u8) = (row.get(3)?, row.get(4)?);
        let histograms = joints.entry((row.get(0)?, row.get(1)?)).or_default();
        let cell = place
            .and_then(|place| histograms.get_mut(place))
            .and_then(|histogram| {
                histogram
                    .0
                    .get_mut(usize::from(down))?
                    .get_mut(usize::from(across))
            });
        if let Some(cell) = cell {
            *cell = row.get(5)?;
        }
    }
    Ok(joints)
}
