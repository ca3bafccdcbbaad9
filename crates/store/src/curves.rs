//! How a training went: the table `curves`.

use api::{Curve, TrainingCurves};
use duckdb::{Connection, params};

use crate::{Result, Store, Writer};

impl Writer {
    /// Numbers logged during training.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_curves(&self, curves: &TrainingCurves) -> Result<()> {
        let axis = || curves.steps.iter().zip(&curves.tokens);
        let values = (0u32..).zip(&curves.curves).flat_map(|(place, curve)| {
            let points = axis().zip(&curve.values);
            points.filter_map(move |((step, tokens), value)| {
                Some((place, &curve.name, *step, *tokens, (*value)?))
            })
        });
        self.set(
            "curves",
            values,
            |appender, (place, name, step, tokens, value)| {
                appender.append_row(params![self.dictionary(), place, name, step, tokens, value])
            },
        )
    }
}

impl Store {
    /// Numbers logged during training; none of a dictionary that was trained elsewhere.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn curves(&self, slug: &str) -> Result<TrainingCurves> {
        self.entry(slug)?;
        match &self.pool {
            Some(pool) => pool.with(|connection| read(connection, slug)),
            None => Ok(TrainingCurves::default()),
        }
    }
}

fn read(connection: &Connection, slug: &str) -> duckdb::Result<TrainingCurves> {
    let (steps, tokens): (Vec<u64>, Vec<u64>) = connection
        .prepare_cached(
            "SELECT step, max(tokens) FROM curves WHERE dictionary = ? GROUP BY step ORDER BY step",
        )?
        .query_map([slug], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<duckdb::Result<Vec<(u64, u64)>>>()?
        .into_iter()
        .unzip();
    let mut curves: Vec<Curve> = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT name, step, value FROM curves WHERE dictionary = ? ORDER BY place, step",
    )?;
    let rows = statement.query_map([slug], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for row in rows {
        let (name, step, value): (String, u64, f64) = row?;
        if curves.last().is_none_or(|curve| curve.name != name) {
            curves.push(Curve {
                name,
                values: vec![None; steps.len()],
            });
        }
        if let (Some(curve), Ok(at)) = (curves.last_mut(), steps.binary_search(&step))
            && let Some(slot) = curve.values.get_mut(at)
        {
            *slot = Some(value);
        }
    }
    Ok(TrainingCurves {
        steps,
        tokens,
        curves,
    })
}
