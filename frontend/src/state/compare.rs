//! State of the page of two dictionaries: which two, the selection of both, how their latents are matched, and which effects are shown.

use api::MatchBy;

use super::{UrlState, query::Query, study::Measured, triage::TriageState};
use crate::display::decimal;

/// Rows of a page of matches.
pub(crate) const PAGE: u64 = 50;

/// From this cosine on, two latents count as the same when nothing else is said.
const CUT: f64 = 0.7;

/// Which of the selected latents are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listed {
    /// All of them.
    #[default]
    All,
    /// Those with a match at the cut or above.
    Matched,
    /// Those without.
    Unmatched,
}

impl Listed {
    /// Every choice with its word in the address and on its button.
    pub(crate) const ALL: [(Self, &str, &str); 3] = [
        (Self::All, "all", "All"),
        (Self::Matched, "matched", "Matched"),
        (Self::Unmatched, "unmatched", "Unmatched"),
    ];

    /// The word in the address.
    pub(crate) fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|l| l.0 == self);
        found.map_or("", |l| l.1)
    }
}

/// Orders of the matches: as the server has them, and in words.
pub(crate) const ORDERS: &[(&str, &str)] = &[
    ("-match_cosine", "nearest first"),
    ("match_cosine", "farthest first"),
    ("id", "by id"),
    ("-delta_norm", "largest Δ_norm first"),
    ("nu_epsilon", "smallest ν^ε first"),
    ("nu_r", "smallest ν^r first"),
    ("-frequency", "most frequent first"),
    ("-max_activation", "largest v first"),
];

/// Two dictionaries compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompareState {
    /// Slugs of the two dictionaries; `None`: the study's first and second.
    pub(crate) sides: [Option<String>; 2],
    /// The selection, in both, and what the planes show.
    pub(crate) triage: TriageState,
    /// Which decoder rows are compared.
    pub(crate) by: MatchBy,
    /// Which latents are listed.
    pub(crate) listed: Listed,
    /// The least cosine of a match.
    pub(crate) cut: f64,
    /// One of [`ORDERS`].
    pub(crate) order: &'static str,
    /// The first row of the list, from 0.
    pub(crate) first: u64,
    /// Which causal effects are shown.
    pub(crate) measured: Measured,
}

impl Default for CompareState {
    fn default() -> Self {
        Self::read("")
    }
}

impl CompareState {
    /// The query of `GET /dictionaries/{dict}/matches` beside the other dictionary.
    pub(crate) fn request(&self) -> String {
        let mut query = Query::parse(&self.triage.filters().selection());
        query.push("by", self.by.as_str());
        match self.listed {
            Listed::All => {}
            Listed::Matched => query.push_decimal("min_match_cosine", Some(self.cut)),
            Listed::Unmatched => query.push_decimal("max_match_cosine", Some(self.cut)),
        }
        query.push("sort", self.order);
        query.push_some("offset", Some(self.first).filter(|first| *first > 0));
        query.push("limit", PAGE);
        query.to_string()
    }

    /// The same with left and right exchanged, from the first row.
    pub(crate) fn exchanged(&self, [left, right]: [String; 2]) -> Self {
        Self {
            sides: [Some(right), Some(left)],
            first: 0,
            ..self.clone()
        }
    }
}

impl UrlState for CompareState {
    fn read(text: &str) -> Self {
        let query = Query::parse(text);
        let order = query.get("order").unwrap_or("");
        let order = ORDERS.iter().find(|o| o.0 == order).or(ORDERS.first());
        let listed = query.get("listed").unwrap_or("");
        let listed = Listed::ALL.iter().find(|l| l.1 == listed);
        Self {
            sides: ["left", "right"].map(|side| query.get(side).map(str::to_owned)),
            // Order, columns and row are those of the page of one dictionary.
            triage: TriageState {
                sort: Vec::new(),
                columns: Vec::new(),
                row: 0,
                ..TriageState::read(text)
            },
            by: query.number("by").unwrap_or_default(),
            listed: listed.map_or(Listed::All, |l| l.0),
            cut: query.decimal("cut").unwrap_or(CUT),
            order: order.map_or("", |o| o.0),
            first: query.number("first").unwrap_or(0),
            measured: Measured::read(&query),
        }
    }

    fn write(&self) -> String {
        let mut query = Query::default();
        for (name, slug) in ["left", "right"].into_iter().zip(&self.sides) {
            query.push_some(name, slug.as_deref());
        }
        for (name, value) in Query::parse(&self.triage.write()).pairs() {
            query.push(name, value);
        }
        let by = Some(self.by).filter(|by| *by != MatchBy::default());
        query.push_some("by", by.map(MatchBy::as_str));
        let listed = Some(self.listed).filter(|listed| *listed != Listed::All);
        query.push_some("listed", listed.map(Listed::word));
        let cut = Some(self.cut).filter(|cut| decimal::shortest(*cut) != decimal::shortest(CUT));
        query.push_decimal("cut", cut);
        let order = ORDERS.iter().skip(1).find(|o| o.0 == self.order);
        query.push_some("order", order.map(|o| o.0));
        query.push_some("first", Some(self.first).filter(|first| *first > 0));
        self.measured.push(&mut query);
        query.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        assert_eq!(CompareState::default().write(), "");
        for text in [
            "left=l1&right=batchtopk",
            "left=a%2Fb&class=chat-only&min_nu_r=0.5&x=delta_norm&view=0.0000,1.0000,0.0000,1.0000",
            "by=chat&listed=unmatched&cut=0.85&order=nu_r&first=50&metric=loss",
        ] {
            let state = CompareState::read(text);
            assert_eq!(state.write(), text);
        }
    }

    #[test]
    fn what_belongs_to_another_page_is_left_out() {
        let state = CompareState::read("sort=-nu_r&columns=id,nu_r&row=90&order=password&by=x");
        assert_eq!(state, CompareState::default());
    }

    #[test]
    fn the_request_has_filters_bounds_and_page() {
        let state = CompareState::read("class=shared&listed=unmatched&cut=0.5&first=100&by=chat");
        assert_eq!(
            state.request(),
            "class=shared&by=chat&max_match_cosine=0.5&sort=-match_cosine&offset=100&limit=50"
        );
        let state = CompareState::read("listed=matched&order=id");
        assert_eq!(
            state.request(),
            "by=both&min_match_cosine=0.7&sort=id&limit=50"
        );
    }

    #[test]
    fn sides_are_exchanged() {
        let state = CompareState::read("left=a&right=b&first=50&class=other");
        let exchanged = state.exchanged(["a".into(), "b".into()]);
        assert_eq!(exchanged.write(), "left=b&right=a&class=other");
    }
}
