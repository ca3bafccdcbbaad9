//! One dictionary's latents in memory: filters, order and pages without a query. 73,728 rows are scanned in well under a millisecond.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use api::{Class, ClassCounts, ClassCuts, Histogram, Lasso, LatentRow, LatentsPage, Verdict};

use crate::orders::Orders;
use crate::{Error, LatentQuery, Result, Scaled, cursor};

/// Bins of the study page's histogram of the decoder norm difference.
const DELTA_BINS: usize = 100;

/// Reads a number out of a row; `None` is unknown.
type Get = fn(&LatentRow) -> Option<f64>;

/// A column of the latent table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A quantity.
    Number(Get),
    /// A name out of a list, or a flag, as its index.
    Code(Get),
    /// The label.
    Label,
}

macro_rules! beta {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::Number(|row| row.betas.$name),
        }
    };
}
macro_rules! number {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::Number(|row| row.$name),
        }
    };
}
macro_rules! count {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::Number(|row| row.$name.map(|count| count as f64)),
        }
    };
}

/// In the order of [`api::LATENT_COLUMNS`].
pub(crate) const COLUMNS: &[Column] = &[
    Column {
        name: "id",
        kind: Kind::Number(|row| Some(f64::from(row.id))),
    },
    Column {
        name: "class",
        kind: Kind::Code(|row| index(Class::ALL, &row.class)),
    },
    Column {
        name: "dead",
        kind: Kind::Code(|row| row.dead.map(|dead| f64::from(u8::from(dead)))),
    },
    Column {
        name: "label",
        kind: Kind::Label,
    },
    Column {
        name: "verdict",
        kind: Kind::Code(|row| index(Verdict::ALL, row.verdict.as_ref()?)),
    },
    number!(delta_norm),
    Column {
        name: "norm_base",
        kind: Kind::Number(|row| Some(row.norm_base)),
    },
    Column {
        name: "norm_chat",
        kind: Kind::Number(|row| Some(row.norm_chat)),
    },
    number!(decoder_cosine),
    number!(nu_epsilon),
    number!(nu_r),
    beta!(beta_activation_base),
    beta!(beta_activation_chat),
    beta!(beta_activation_no_bias_base),
    beta!(beta_activation_no_bias_chat),
    beta!(beta_reconstruction_base),
    beta!(beta_reconstruction_chat),
    beta!(beta_error_base),
    beta!(beta_error_chat),
    number!(frequency),
    count!(active_tokens),
    count!(tokens),
    number!(max_activation),
    number!(mean_activation),
    number!(template_share),
];

fn index<T: PartialEq>(all: &[T], value: &T) -> Option<f64> {
    all.iter().position(|v| v == value).map(|i| i as f64)
}

impl Column {
    /// # Errors
    /// A name that is not in [`api::LATENT_COLUMNS`].
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        COLUMNS
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "unknown column {name:?}; the columns are {}",
                    api::LATENT_COLUMNS.join(", ")
                ))
            })
    }

    fn number(&self) -> Result<Get> {
        match self.kind {
            Kind::Number(get) => Ok(get),
            Kind::Code(_) | Kind::Label => Err(Error::Invalid(format!(
                "column {:?} is not numeric, so it has no min_{} and max_{}",
                self.name, self.name, self.name
            ))),
        }
    }

    fn compare(&self, a: &LatentRow, b: &LatentRow, falling: bool) -> Ordering {
        match self.kind {
            Kind::Number(get) | Kind::Code(get) => {
                nulls_last(get(a), get(b), falling, |a, b| a.total_cmp(&b))
            }
            Kind::Label => nulls_last(a.label.as_deref(), b.label.as_deref(), falling, str::cmp),
        }
    }
}

/// Columns in turn, then ids.
fn in_order(order: &[(&Column, bool)], a: &LatentRow, b: &LatentRow) -> Ordering {
    order
        .iter()
        .map(|(column, falling)| column.compare(a, b, *falling))
        .find(|ordering| ordering.is_ne())
        .unwrap_or_else(|| a.id.cmp(&b.id))
}

/// Missing values come last in both directions.
fn nulls_last<T>(
    a: Option<T>,
    b: Option<T>,
    falling: bool,
    compare: impl FnOnce(T, T) -> Ordering,
) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if falling => compare(b, a),
        (Some(a), Some(b)) => compare(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Every latent of a dictionary, in the order of ids.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<LatentRow>,
    orders: Orders,
}

impl Table {
    /// # Errors
    /// Rows that are not latents 0, 1, 2, …
    pub(crate) fn new(slug: &str, rows: Vec<LatentRow>) -> Result<Self> {
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
        Ok(Self {
            rows,
            orders: Orders::default(),
        })
    }

    /// Classes by these cuts, and verdicts of the latents for which Latent Scaling ran.
    pub(crate) fn classify(&mut self, cuts: &ClassCuts, scaled: &Scaled) {
        self.orders.clear();
        for row in &mut self.rows {
            row.class = diffing::class(row.delta_norm, cuts);
            row.verdict = scaled
                .has(row.id)
                .then(|| diffing::verdict(row.class, row.nu_epsilon, row.nu_r))
                .flatten();
        }
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
        let filter = Filter::new(query, firing)?;
        // By id: rows are read one after another here, and in no order of memory below.
        let keeps: Vec<bool> = self.rows.iter().map(|row| filter.keeps(row)).collect();
        let kept = |id: &&u32| keeps.get(**id as usize).copied().unwrap_or(false);
        let mut rest = order
            .get(after..)
            .unwrap_or_default()
            .iter()
            .filter(kept)
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

    /// Every id in the query's order.
    fn order(&self, query: &LatentQuery) -> Result<Arc<[u32]>> {
        let order = query.order()?;
        let spec = query.sort.as_deref().unwrap_or_default();
        Ok(self.orders.get(spec, || {
            let mut rows: Vec<&LatentRow> = self.rows.iter().collect();
            rows.sort_unstable_by(|a, b| in_order(&order, a, b));
            rows.iter().map(|row| row.id).collect()
        }))
    }

    /// The rows that match, in the order of ids.
    pub(crate) fn matching(
        &self,
        query: &LatentQuery,
        firing: &HashSet<u32>,
    ) -> Result<Vec<&LatentRow>> {
        let filter = Filter::new(query, firing)?;
        Ok(self.rows.iter().filter(|row| filter.keeps(row)).collect())
    }

    /// Every row that matches, in the query's order.
    pub(crate) fn selection(
        &self,
        query: &LatentQuery,
        firing: &HashSet<u32>,
    ) -> Result<Vec<&LatentRow>> {
        let order = query.order()?;
        let mut matching = self.matching(query, firing)?;
        matching.sort_by(|a, b| in_order(&order, a, b));
        Ok(matching)
    }

    /// One vector per name over the given rows; NaN where unknown; class and verdict as their place in the list of names.
    pub(crate) fn columns(rows: &[&LatentRow], names: &[&str]) -> Result<Vec<Vec<f32>>> {
        names
            .iter()
            .map(|name| {
                let column = Column::named(name)?;
                match column.kind {
                    Kind::Number(get) | Kind::Code(get) => Ok(rows
                        .iter()
                        .map(|row| get(row).map_or(f32::NAN, |value| value as f32))
                        .collect()),
                    Kind::Label => Err(Error::Invalid(
                        "column \"label\" is text and has no place in a column block".into(),
                    )),
                }
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
}

/// What a row must be to stay.
struct Filter<'a> {
    query: &'a LatentQuery,
    min: Vec<(Get, f64)>,
    max: Vec<(Get, f64)>,
    lasso: Option<(&'a Lasso, [Get; 2])>,
    text: Option<String>,
    id: Option<u32>,
    firing: &'a HashSet<u32>,
}

impl<'a> Filter<'a> {
    fn new(query: &'a LatentQuery, firing: &'a HashSet<u32>) -> Result<Self> {
        let bounds = |list: &[(String, f64)]| {
            list.iter()
                .map(|(name, bound)| Ok((Column::named(name)?.number()?, *bound)))
                .collect::<Result<Vec<_>>>()
        };
        let number = |name: &str| Column::named(name)?.number();
        let lasso = query.lasso.as_ref().map(|lasso| {
            let [x, y] = &lasso.columns;
            Ok((lasso, [number(x)?, number(y)?]))
        });
        let text = search_text(query);
        Ok(Self {
            query,
            min: bounds(&query.min)?,
            max: bounds(&query.max)?,
            lasso: lasso.transpose()?,
            id: text.as_deref().and_then(|text| text.parse().ok()),
            text,
            firing,
        })
    }

    fn keeps(&self, row: &LatentRow) -> bool {
        let query = self.query;
        (query.classes.is_empty() || query.classes.contains(&row.class))
            && (query.verdicts.is_empty()
                || row.verdict.is_some_and(|v| query.verdicts.contains(&v)))
            && (query.dead.is_none() || query.dead == row.dead)
            && self
                .min
                .iter()
                .all(|(get, bound)| get(row).is_some_and(|value| value >= *bound))
            && self
                .max
                .iter()
                .all(|(get, bound)| get(row).is_some_and(|value| value <= *bound))
            && self.lasso.is_none_or(|(lasso, [x, y])| {
                let inside = |x: f64, y: f64| lasso.holds(x as f32, y as f32);
                x(row).zip(y(row)).is_some_and(|(x, y)| inside(x, y))
            })
            && self.text.as_deref().is_none_or(|text| {
                self.id == Some(row.id)
                    || self.firing.contains(&row.id)
                    || row
                        .label
                        .as_deref()
                        .is_some_and(|label| label.to_lowercase().contains(text))
            })
    }
}

/// The text to look for, without case and outer spaces; `None` when there is none.
pub(crate) fn search_text(query: &LatentQuery) -> Option<String> {
    let text = query.q.as_deref()?.trim().to_lowercase();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::COLUMNS;

    #[test]
    fn columns_are_those_of_the_wire_in_order() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names, api::LATENT_COLUMNS);
    }
}
