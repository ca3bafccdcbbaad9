//! State of the latents' page: filters, order, the table's columns and first row, plane.

use std::fmt;

use api::{Class, Lasso, Verdict};

use super::{
    UrlState,
    plane::{COLUMNS, PlaneState, axis_text},
    query::Query,
};
use crate::display::decimal;

/// Rows that one request asks for where no table says how many it shows.
pub(crate) const PAGE: u64 = 100;

/// A column of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SortKey {
    /// One of [`api::LATENT_COLUMNS`].
    pub(crate) column: &'static str,
    /// Largest first.
    pub(crate) descending: bool,
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.descending { "-" } else { "" };
        write!(f, "{sign}{}", self.column)
    }
}

/// Bounds on a column of [`COLUMNS`], both inclusive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    /// The column.
    pub(crate) column: &'static str,
    /// Smallest value kept.
    pub(crate) min: Option<f64>,
    /// Largest value kept.
    pub(crate) max: Option<f64>,
}

/// Filters, order and columns of the latent table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TriageState {
    /// Classes kept; none: every class.
    pub(crate) classes: Vec<Class>,
    /// Verdicts kept; none: every verdict.
    pub(crate) verdicts: Vec<Verdict>,
    /// Keep only dead, or only living latents.
    pub(crate) dead: Option<bool>,
    /// Text looked for in labels and example tokens.
    pub(crate) q: String,
    /// Bounds, in the order of [`COLUMNS`], none empty.
    pub(crate) ranges: Vec<Range>,
    /// A polygon that the kept latents are in.
    pub(crate) lasso: Option<Lasso>,
    /// Order, most important first; none: by id.
    pub(crate) sort: Vec<SortKey>,
    /// The table's columns of [`api::LATENT_COLUMNS`], in that order; none: the usual ones.
    pub(crate) columns: Vec<&'static str>,
    /// The first row of the table that is shown, from 0.
    pub(crate) row: u64,
    /// What the plane above the table shows.
    pub(crate) plane: PlaneState,
}

impl TriageState {
    /// The query of `GET /dictionaries/{dict}/latents` for the rows from the first that is shown.
    pub(crate) fn request(&self) -> String {
        self.rows(self.row, PAGE)
    }

    /// The same for `limit` rows from row `offset`.
    pub(crate) fn rows(&self, offset: u64, limit: u64) -> String {
        let mut query = self.filter();
        query.push_some("offset", Some(offset).filter(|row| *row > 0));
        query.push("limit", limit);
        query.to_string()
    }

    /// Filters and order as the server knows them.
    pub(crate) fn selection(&self) -> String {
        self.filter().to_string()
    }

    /// Whether every latent is shown.
    pub(crate) fn is_unfiltered(&self) -> bool {
        self.classes.is_empty()
            && self.verdicts.is_empty()
            && self.dead.is_none()
            && self.q.is_empty()
            && self.ranges.is_empty()
            && self.lasso.is_none()
    }

    /// The filters alone.
    pub(crate) fn filters(&self) -> Self {
        Self {
            sort: Vec::new(),
            columns: Vec::new(),
            row: 0,
            plane: PlaneState::default(),
            ..self.clone()
        }
    }

    /// The same order, columns and plane with no filter, from the first row.
    pub(crate) fn cleared(&self) -> Self {
        Self {
            sort: self.sort.clone(),
            columns: self.columns.clone(),
            plane: self.plane.clone(),
            ..Self::default()
        }
    }

    /// The same from the first row, as any change of filter or order needs.
    pub(crate) fn at_the_top(mut self) -> Self {
        self.row = 0;
        self
    }

    /// Adds the class or takes it away.
    pub(crate) fn toggle_class(&mut self, class: Class) {
        toggle(&mut self.classes, class);
    }

    /// Adds the verdict or takes it away.
    pub(crate) fn toggle_verdict(&mut self, verdict: Verdict) {
        toggle(&mut self.verdicts, verdict);
    }

    /// The bounds of a column.
    pub(crate) fn range(&self, column: &str) -> (Option<f64>, Option<f64>) {
        let found = self.ranges.iter().find(|r| r.column == column);
        found.map_or((None, None), |r| (r.min, r.max))
    }

    /// Sets the bounds of a column of [`COLUMNS`].
    pub(crate) fn set_range(&mut self, column: &str, min: Option<f64>, max: Option<f64>) {
        let mut bounds: Vec<Range> = Vec::new();
        for &(name, _) in COLUMNS {
            let (min, max) = if name == column {
                (min, max)
            } else {
                self.range(name)
            };
            if min.is_some() || max.is_some() {
                bounds.push(Range {
                    column: name,
                    min,
                    max,
                });
            }
        }
        self.ranges = bounds;
    }

    /// A click on a header: its first direction, then the other, then none; with `keep` the other columns stay.
    pub(crate) fn sort_by(&mut self, column: &'static str, keep: bool) {
        let first = first_descending(column);
        let before = self.sort.iter().find(|s| s.column == column).cloned();
        let next = match before {
            None => Some(first),
            Some(key) if key.descending == first => Some(!first),
            Some(_) => None,
        };
        if !keep {
            self.sort.clear();
        }
        match (
            self.sort.iter_mut().find(|s| s.column == column),
            next.map(|descending| SortKey { column, descending }),
        ) {
            (Some(slot), Some(key)) => *slot = key,
            (None, Some(key)) => self.sort.push(key),
            (_, None) => self.sort.retain(|s| s.column != column),
        }
    }

    fn filter(&self) -> Query {
        let mut query = Query::default();
        query.push_list("class", self.classes.iter().map(|c| c.as_str()));
        query.push_list("verdict", self.verdicts.iter().map(|v| v.as_str()));
        query.push_some("dead", self.dead);
        query.push_some("q", Some(&self.q).filter(|q| !q.is_empty()));
        for range in &self.ranges {
            query.push_decimal(&format!("min_{}", range.column), range.min);
            query.push_decimal(&format!("max_{}", range.column), range.max);
        }
        if let Some(lasso) = &self.lasso {
            let axes = lasso.columns.iter().zip(lasso.scales);
            let axes = axes.map(|(column, scale)| axis_text(column, scale));
            let corners = lasso.corners.iter().flatten();
            let corners = corners.map(|corner| decimal::shortest(*corner));
            query.push_list("lasso", axes.chain(corners));
        }
        query.push_list("sort", &self.sort);
        query
    }
}

impl UrlState for TriageState {
    fn read(query: &str) -> Self {
        let query = Query::parse(query);
        let mut state = Self {
            classes: query.list("class"),
            verdicts: query.list("verdict"),
            dead: query.number("dead"),
            q: query.get("q").unwrap_or("").to_owned(),
            lasso: query.get("lasso").and_then(read_lasso),
            columns: known_columns(query.get("columns").unwrap_or("")),
            row: query.number("row").unwrap_or(0),
            plane: PlaneState::read(&query),
            ..Self::default()
        };
        for &(column, _) in COLUMNS {
            let bound = |side: &str| query.decimal(&format!("{side}_{column}"));
            state.set_range(column, bound("min"), bound("max"));
            if state.range(column) == (None, None) {
                state.ranges.retain(|r| r.column != column);
            }
        }
        for key in query.get("sort").unwrap_or("").split(',') {
            let (descending, name) = key
                .strip_prefix('-')
                .map_or((false, key), |name| (true, name));
            let known = api::LATENT_COLUMNS.iter().find(|c| **c == name);
            if let Some(column) = known {
                state.sort.push(SortKey { column, descending });
            }
        }
        state
    }

    fn write(&self) -> String {
        let mut query = self.filter();
        query.push_list("columns", &self.columns);
        query.push_some("row", Some(self.row).filter(|row| *row > 0));
        self.plane.push(&mut query);
        query.to_string()
    }
}

/// A polygon on columns that can be bounded.
fn read_lasso(text: &str) -> Option<Lasso> {
    let lasso = Lasso::read(text, decimal::read).ok()?;
    let known = |column: &String| COLUMNS.iter().any(|c| c.0 == column);
    lasso.columns.iter().all(known).then_some(lasso)
}

/// The columns of a list that rows have, in the order of rows.
fn known_columns(text: &str) -> Vec<&'static str> {
    let named = |column: &&&str| text.split(',').any(|name| name == **column);
    api::LATENT_COLUMNS.iter().filter(named).copied().collect()
}

fn toggle<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.contains(&item) {
        list.retain(|x| *x != item);
    } else {
        list.push(item);
    }
}

/// Which direction a first click gives: the ratios and names start small, the rest starts large.
fn first_descending(column: &str) -> bool {
    !matches!(
        column,
        "id" | "class" | "verdict" | "label" | "nu_epsilon" | "nu_r" | "dead"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> TriageState {
        TriageState {
            classes: vec![Class::ChatOnly, Class::BaseOnly],
            verdicts: vec![Verdict::ChatSpecific],
            dead: Some(false),
            q: "refuse & \"lock\"".into(),
            ranges: vec![
                Range {
                    column: "nu_epsilon",
                    min: None,
                    max: Some(0.2),
                },
                Range {
                    column: "max_activation",
                    min: Some(1.5),
                    max: Some(20.0),
                },
            ],
            sort: vec![
                SortKey {
                    column: "nu_epsilon",
                    descending: true,
                },
                SortKey {
                    column: "id",
                    descending: false,
                },
            ],
            lasso: read_lasso("nu_r,frequency:log,0,-4,1,-4,0.5,-1.25"),
            columns: vec!["nu_r", "frequency"],
            row: 300,
            plane: PlaneState {
                by_verdict: true,
                ..PlaneState::default()
            },
        }
    }

    #[test]
    fn round_trip() {
        for state in [TriageState::default(), full(), full().cleared()] {
            assert_eq!(TriageState::read(&state.write()), state);
        }
        assert_eq!(TriageState::default().write(), "");
        assert_eq!(TriageState::default().request(), "limit=100");
    }

    #[test]
    fn the_address_speaks_the_servers_words() {
        let written = full().request();
        assert!(
            written.starts_with("class=chat-only,base-only&verdict=chat-specific&dead=false&q=")
        );
        assert!(
            written.contains("&max_nu_epsilon=0.2&min_max_activation=1.5&max_max_activation=20")
        );
        assert!(written.ends_with(
            "&lasso=nu_r,frequency:log,0,-4,1,-4,0.5,-1.25&sort=-nu_epsilon,id&offset=300&limit=100"
        ));
        assert!(full().write().contains("&columns=nu_r,frequency&row=300"));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let state = TriageState::read(
            "class=chat-only,huge&sort=-password,nu_r&min_nu_r=NaN&dead=perhaps&lasso=label,nu_r,0,0,1,1,0,1&columns=secret",
        );
        assert_eq!(state.classes, [Class::ChatOnly]);
        assert_eq!(
            state.sort,
            [SortKey {
                column: "nu_r",
                descending: false
            }]
        );
        assert!(state.ranges.is_empty() && state.lasso.is_none() && state.columns.is_empty());
        assert_eq!(state.dead, None);
    }

    #[test]
    fn headers_turn_round_and_off() {
        let mut state = TriageState::default();
        state.sort_by("nu_epsilon", false);
        assert_eq!(
            state.sort,
            [SortKey {
                column: "nu_epsilon",
                descending: false
            }]
        );
        state.sort_by("frequency", true);
        state.sort_by("nu_epsilon", true);
        let order: Vec<String> = state.sort.iter().map(ToString::to_string).collect();
        assert_eq!(order, ["-nu_epsilon", "-frequency"]);
        state.sort_by("nu_epsilon", true);
        state.sort_by("frequency", false);
        let order: Vec<String> = state.sort.iter().map(ToString::to_string).collect();
        assert_eq!(order, ["frequency"]);
        state.sort_by("frequency", false);
        assert!(state.sort.is_empty());
    }

    #[test]
    fn bounds_are_set_and_removed() {
        let mut state = TriageState::default();
        state.set_range("nu_r", None, Some(0.5));
        state.set_range("delta_norm", Some(0.9), None);
        assert_eq!(state.range("nu_r"), (None, Some(0.5)));
        assert_eq!(state.ranges.first().map(|r| r.column), Some("delta_norm"));
        state.set_range("nu_r", None, None);
        assert_eq!(state.ranges.len(), 1);
    }
}
