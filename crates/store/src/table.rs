//! One dictionary's latents in memory: filters, order and pages without a query.
//!
//! Filters and orders read columns, not rows: a column of 73,728 numbers is scanned in some ten microseconds.

use std::collections::HashSet;
use std::sync::Arc;

use api::{Class, ClassCounts, ClassCuts, Histogram, LatentRow, LatentsPage, Verdict};

use crate::columns::{COLUMNS, Column, Kind, index};
use crate::recent::Recent;
use crate::{Error, LatentQuery, Result, Scaled, cursor};

/// Bins of the study page's histogram of the decoder norm difference.
const DELTA_BINS: usize = 100;

/// Orders kept, four bytes a latent each.
const ORDERS: usize = 16;

/// Every latent of a dictionary, in the order of ids.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<LatentRow>,
    /// The rows' numbers by column, in the order of [`COLUMNS`]; NaN where unknown.
    values: Vec<Vec<f64>>,
    /// Ids in the orders of the last requests, by their specification.
    orders: Recent<String, [u32]>,
}

impl Table {
    /// The rows with classes by these cuts, and verdicts of the latents for which Latent Scaling ran.
    ///
    /// # Errors
    /// Rows that are not latents 0, 1, 2, …
    pub(crate) fn new(
        slug: &str,
        mut rows: Vec<LatentRow>,
        cuts: &ClassCuts,
        scaled: &Scaled,
    ) -> Result<Self> {
        if let Some((expected, row)) = rows
            .iter()
            .enumerate()
            .find(|(number, row)| row.id as usize != *number)
        {
            return Err(Error::Damaged(format!(
                "dictionary {slug} has latent {} where latent {expected} is expected",
                row.id
            )));
        }
        for row in &mut rows {
            row.class = diffing::class(row.delta_norm, cuts);
            row.verdict = scaled
                .has(row.id)
                .then(|| diffing::verdict(row.class, row.nu_epsilon, row.nu_r))
                .flatten();
        }
        Ok(Self {
            values: COLUMNS.iter().map(|column| column.values(&rows)).collect(),
            rows,
            orders: Recent::new(ORDERS),
        })
    }

    pub(crate) fn rows(&self) -> &[LatentRow] {
        &self.rows
    }

    pub(crate) fn row(&self, slug: &str, id: u32) -> Result<&LatentRow> {
        self.rows
            .get(id as usize)
            .ok_or_else(|| Error::UnknownLatent {
                dictionary: slug.into(),
                id: u64::from(id),
                latents: self.rows.len(),
            })
    }

    /// A page of the rows that match. `firing` are the latents whose examples' tokens match the query's text.
    pub(crate) fn page(&self, query: &LatentQuery, firing: &HashSet<u32>) -> Result<LatentsPage> {
        let limit = query.page_size()?;
        let spec = query.sort.as_deref().unwrap_or_default();
        let order = self.order(query)?;
        let after = match &query.cursor {
            None => 0,
            Some(cursor) => {
                let last = cursor::decode(cursor, spec)?;
                let at = order.iter().position(|id| *id == last).ok_or_else(|| {
                    Error::Invalid(
                        "the cursor points outside this dictionary; start again without a cursor"
                            .into(),
                    )
                })?;
                at + 1
            }
        };
        let keeps = self.keeps(query, firing)?;
        let mut rest = order
            .get(after..)
            .unwrap_or_default()
            .iter()
            .filter(|id| is_kept(&keeps, **id))
            .skip(query.offset.unwrap_or(0));
        let rows: Vec<LatentRow> = rest
            .by_ref()
            .take(limit)
            .filter_map(|id| self.rows.get(*id as usize).cloned())
            .collect();
        let last = rows.last().filter(|_| rest.next().is_some());
        Ok(LatentsPage {
            total: keeps.iter().filter(|keeps| **keeps).count() as u64,
            next: last.map(|row| cursor::encode(row.id, spec)),
            rows,
        })
    }

    /// Every row that matches, in the query's order.
    pub(crate) fn selection(
        &self,
        query: &LatentQuery,
        firing: &HashSet<u32>,
    ) -> Result<Vec<&LatentRow>> {
        let order = self.order(query)?;
        let keeps = self.keeps(query, firing)?;
        let kept = order.iter().filter(|id| is_kept(&keeps, **id));
        Ok(kept.filter_map(|id| self.rows.get(*id as usize)).collect())
    }

    /// One vector per name over the rows that match, in the order of ids; NaN where unknown; class and verdict as their place in the
    /// list of names.
    pub(crate) fn columns(
        &self,
        names: &[&str],
        query: &LatentQuery,
        firing: &HashSet<u32>,
    ) -> Result<Vec<Vec<f32>>> {
        let keeps = self.keeps(query, firing)?;
        names
            .iter()
            .map(|name| {
                let column = Column::named(name)?;
                if matches!(column.kind, Kind::Label) {
                    return Err(Error::Invalid(
                        "column \"label\" is text and has no place in a column block".into(),
                    ));
                }
                let values = self.values(column).iter().zip(&keeps);
                Ok(values
                    .filter(|(_, keeps)| **keeps)
                    .map(|(value, _)| *value as f32)
                    .collect())
            })
            .collect()
    }

    /// Latents per class, verdict, and dead ones.
    pub(crate) fn counts(&self, scaled: bool) -> ClassCounts {
        let count = |keep: &dyn Fn(&LatentRow) -> bool| {
            self.rows.iter().filter(|row| keep(row)).count() as u64
        };
        let verdicts = if scaled { Verdict::ALL } else { &[] };
        ClassCounts {
            classes: Class::ALL
                .iter()
                .map(|&class| (class, count(&|row| row.class == class)))
                .collect(),
            verdicts: verdicts
                .iter()
                .map(|&verdict| (verdict, count(&|row| row.verdict == Some(verdict))))
                .collect(),
            dead: self
                .rows
                .iter()
                .any(|row| row.dead.is_some())
                .then(|| count(&|row| row.dead == Some(true))),
        }
    }

    /// Histogram of Δ_norm from 0 to 1.
    pub(crate) fn delta_norm(&self) -> Histogram {
        let values = self.rows.iter().filter_map(|row| row.delta_norm);
        diffing::histogram(values, 0.0, 1.0, DELTA_BINS)
    }

    /// A column's numbers, in the order of ids.
    fn values(&self, column: &Column) -> &[f64] {
        let place = COLUMNS.iter().position(|known| known.name == column.name);
        let values = place.and_then(|place| self.values.get(place));
        values.map_or(&[], Vec::as_slice)
    }

    /// Every id in the query's order.
    fn order(&self, query: &LatentQuery) -> Result<Arc<[u32]>> {
        let order = query.order()?;
        let spec = query.sort.clone().unwrap_or_default();
        self.orders.get(&spec, |_| Ok(self.sorted(&order).into()))
    }

    /// Ids by columns in turn, then by themselves.
    fn sorted(&self, order: &[(&Column, bool)]) -> Vec<u32> {
        let mut ids: Vec<u32> = self.rows.iter().map(|row| row.id).collect();
        // The last column first: where values are equal, each sort keeps the order of those before it.
        for (column, falling) in order.iter().rev() {
            let keys = self.keys(column, *falling);
            let key = |id: u32| keys.get(id as usize).copied().unwrap_or(LAST);
            let mut places: Vec<(u64, u32)> = ids.iter().map(|id| key(*id)).zip(0u32..).collect();
            places.sort_unstable();
            let sorted = places.iter().filter_map(|(_, at)| ids.get(*at as usize));
            ids = sorted.copied().collect();
        }
        ids
    }

    /// Numbers by which the rows of a column are sorted; missing values come last in both directions.
    fn keys(&self, column: &Column, falling: bool) -> Vec<u64> {
        let key = |place: u64| if falling { !place } else { place };
        if !matches!(column.kind, Kind::Label) {
            let value = |x: &f64| if x.is_nan() { LAST } else { key(place_of(*x)) };
            return self.values(column).iter().map(value).collect();
        }
        let labels = || self.rows.iter().map(|row| row.label.as_deref());
        let mut known: Vec<&str> = labels().flatten().collect();
        known.sort_unstable();
        known.dedup();
        // From 1, so that the first label's complement is not the last place.
        let place = |label| 1 + known.binary_search(&label).unwrap_or_else(|at| at) as u64;
        labels()
            .map(|label| label.map_or(LAST, |label| key(place(label))))
            .collect()
    }

    /// Whether each row matches, in the order of ids.
    fn keeps(&self, query: &LatentQuery, firing: &HashSet<u32>) -> Result<Vec<bool>> {
        let mut keeps = vec![true; self.rows.len()];
        let mut narrow = |column: &Column, passes: &dyn Fn(f64) -> bool| {
            for (keeps, value) in keeps.iter_mut().zip(self.values(column)) {
                *keeps &= passes(*value);
            }
        };
        // Comparisons with NaN are false, so that rows without a value fall out.
        for (name, least) in &query.min {
            narrow(Column::quantity(name)?, &|value| value >= *least);
        }
        for (name, most) in &query.max {
            narrow(Column::quantity(name)?, &|value| value <= *most);
        }
        if !query.classes.is_empty() {
            let codes = codes(Class::ALL, &query.classes);
            narrow(Column::named("class")?, &|code| codes.contains(&code));
        }
        if !query.verdicts.is_empty() {
            let codes = codes(Verdict::ALL, &query.verdicts);
            narrow(Column::named("verdict")?, &|code| codes.contains(&code));
        }
        if let Some(dead) = query.dead {
            let wanted = f64::from(u8::from(dead));
            narrow(Column::named("dead")?, &|code| [wanted].contains(&code));
        }
        if let Some(lasso) = &query.lasso {
            let [x, y] = &lasso.columns;
            let [x, y] = [Column::quantity(x)?, Column::quantity(y)?].map(|of| self.values(of));
            for (keeps, (x, y)) in keeps.iter_mut().zip(x.iter().zip(y)) {
                *keeps = *keeps && !x.is_nan() && !y.is_nan() && lasso.holds(*x as f32, *y as f32);
            }
        }
        if let Some(text) = search_text(query) {
            let id: Option<u32> = text.parse().ok();
            let says = |label: &String| label.to_lowercase().contains(&text);
            for (keeps, row) in keeps.iter_mut().zip(&self.rows) {
                *keeps = *keeps
                    && (id == Some(row.id)
                        || firing.contains(&row.id)
                        || row.label.as_ref().is_some_and(says));
            }
        }
        Ok(keeps)
    }
}

/// Where values that are missing are sorted.
const LAST: u64 = u64::MAX;

/// A number's place among all numbers: −0 before 0, as [`f64::total_cmp`] has it.
fn place_of(x: f64) -> u64 {
    let bits = x.to_bits();
    let negative = bits >> 63 == 1;
    if negative { !bits } else { bits | 1 << 63 }
}

/// The values' places in the list of all.
fn codes<T: PartialEq>(all: &[T], values: &[T]) -> Vec<f64> {
    values
        .iter()
        .filter_map(|value| index(all, value))
        .collect()
}

fn is_kept(keeps: &[bool], id: u32) -> bool {
    keeps.get(id as usize).copied().unwrap_or(false)
}

/// The text to look for, without case and outer spaces; `None` when there is none.
pub(crate) fn search_text(query: &LatentQuery) -> Option<String> {
    let text = query.q.as_deref()?.trim().to_lowercase();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(Option<f64>, Option<&str>)]) -> Table {
        let row = |(id, (value, label)): (usize, &(Option<f64>, Option<&str>))| {
            serde_json::from_value(serde_json::json!({
                "id": id, "class": "other", "norm_base": 1.0, "norm_chat": 1.0, "nu_r": value, "label": label,
            }))
            .unwrap()
        };
        let rows = rows.iter().enumerate().map(row).collect();
        Table::new("d", rows, &ClassCuts::default(), &Scaled::None).unwrap()
    }

    fn sorted(table: &Table, spec: &str) -> Vec<u32> {
        let query = LatentQuery {
            sort: Some(spec.into()),
            ..LatentQuery::default()
        };
        table.order(&query).unwrap().to_vec()
    }

    #[test]
    fn missing_values_come_last_and_equal_ones_by_id() {
        let table = table(&[
            (Some(0.5), Some("b")),
            (None, Some("a")),
            (Some(-0.0), None),
            (Some(0.0), Some("b")),
            (Some(-3.0), Some("a")),
            (Some(0.5), None),
        ]);
        assert_eq!(sorted(&table, "nu_r"), [4, 2, 3, 0, 5, 1]);
        assert_eq!(sorted(&table, "-nu_r"), [0, 5, 3, 2, 4, 1]);
        assert_eq!(sorted(&table, "label"), [1, 4, 0, 3, 2, 5]);
        assert_eq!(sorted(&table, "-label"), [0, 3, 1, 4, 2, 5]);
        assert_eq!(sorted(&table, "label,-nu_r"), [4, 1, 0, 3, 5, 2]);
        assert_eq!(sorted(&table, "-label,-id"), [3, 0, 4, 1, 5, 2]);
    }

    #[test]
    fn places_rise_with_numbers() {
        let rising = [
            f64::NEG_INFINITY,
            -1.5,
            -0.0,
            0.0,
            1e-300,
            2.0,
            f64::INFINITY,
        ];
        assert!(rising.is_sorted_by(|a, b| place_of(*a) < place_of(*b)));
    }
}
