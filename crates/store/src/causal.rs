//! Causal effects: written as one row per setup, scope and metric, read as the explorer shows them.

use std::collections::BTreeMap;

use api::{CausalEffects, CausalMeasure, CausalMetric, CausalScope, CausalSetup};
use duckdb::{Connection, params};

use crate::{Result, Store, Writer};

/// Keys in `meta` of what holds for all setups of a dictionary.
const DIALOGUES: &str = "effects_dialogues";
const SOURCE: &str = "effects_source";
const CANDIDATES: &str = "effects_candidates";

impl Writer {
    /// Causal effects; they replace earlier ones.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_effects(&self, effects: &CausalEffects) -> Result<()> {
        self.set_meta(DIALOGUES, &effects.dialogues.to_string())?;
        self.set_meta(SOURCE, &effects.source)?;
        self.set_meta(CANDIDATES, &effects.candidates.to_string())?;
        let rows = effects.setups.iter().enumerate().flat_map(|(rank, setup)| {
            let measures = setup.measures.iter();
            measures.map(move |measure| (rank as u16, setup, measure))
        });
        self.set("effects", rows, |appender, (rank, setup, measure)| {
            appender.append_row(params![
                self.dictionary(),
                rank,
                setup.name,
                setup.description,
                setup.latents,
                setup.sets,
                measure.scope.as_str(),
                measure.metric.as_str(),
                measure.mean,
                measure.variance,
                measure.count
            ])
        })
    }
}

impl Store {
    /// A dictionary's causal effects; without setups where none were measured.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn effects(&self, slug: &str) -> Result<CausalEffects> {
        let meta = &self.entry(slug)?.meta;
        let number = |key| meta.get(key).and_then(|text: &String| text.parse().ok());
        let setups = match &self.pool {
            Some(pool) => pool.with(|connection| setups(connection, slug))?,
            None => Vec::new(),
        };
        Ok(CausalEffects {
            dialogues: number(DIALOGUES).unwrap_or_default(),
            source: meta.get(SOURCE).cloned().unwrap_or_default(),
            candidates: number(CANDIDATES).unwrap_or_default(),
            setups,
        })
    }
}

fn setups(connection: &Connection, slug: &str) -> duckdb::Result<Vec<CausalSetup>> {
    let mut statement = connection.prepare(
        "SELECT rank, setup, description, latents, sets, scope, metric, mean, variance, count FROM effects \
         WHERE dictionary = ? ORDER BY rowid",
    )?;
    let mut rows = statement.query([slug])?;
    let mut setups: BTreeMap<u16, CausalSetup> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let setup = setups.entry(row.get(0)?).or_default();
        setup.name = row.get(1)?;
        setup.description = row.get(2)?;
        setup.latents = row.get(3)?;
        setup.sets = row.get(4)?;
        let (scope, metric): (String, String) = (row.get(5)?, row.get(6)?);
        let scope = CausalScope::ALL
            .into_iter()
            .find(|known| known.as_str() == scope);
        let metric = CausalMetric::ALL
            .into_iter()
            .find(|known| known.as_str() == metric);
        // What a later program may have added is not shown.
        let (Some(scope), Some(metric)) = (scope, metric) else {
            continue;
        };
        let (variance, count) = (row.get(8)?, row.get(9)?);
        setup.measures.push(CausalMeasure {
            scope,
            metric,
            mean: row.get(7)?,
            variance,
            count,
            half_width: diffing::half_width(variance, count),
        });
    }
    Ok(setups.into_values().collect())
}
