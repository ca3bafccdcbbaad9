//! Which latents pass the filters, by whole columns: the browser's twin of what the server keeps, so that a threshold can be dragged.

use api::{Class, Verdict};

use crate::state::triage::TriageState;

/// Whole columns by their names, in the order of ids; not a number where unknown.
pub(crate) trait Columns {
    /// The column of that name.
    fn column(&self, name: &str) -> Option<&[f32]>;
}

/// Columns that the filters look at.
pub(crate) fn looked_at(state: &TriageState) -> Vec<&str> {
    let flags = [
        (!state.classes.is_empty(), "class"),
        (!state.verdicts.is_empty(), "verdict"),
        (state.dead.is_some(), "dead"),
    ];
    let flags = flags.into_iter().filter(|f| f.0).map(|f| f.1);
    let lasso = state.lasso.iter().flat_map(|lasso| &lasso.columns);
    let bounded = state.ranges.iter().map(|r| r.column);
    flags
        .chain(bounded)
        .chain(lasso.map(String::as_str))
        .collect()
}

/// Whether each of `rows` latents passes. `found` are the ids that the text search found; `None` while a column is missing.
pub(crate) fn kept(
    state: &TriageState,
    columns: &impl Columns,
    found: Option<&[f32]>,
    rows: usize,
) -> Option<Vec<bool>> {
    let mut kept = vec![true; rows];
    let mut only = |name: &str, pass: &dyn Fn(f64) -> bool| {
        let column = columns.column(name)?;
        for (keep, value) in kept.iter_mut().zip(column) {
            *keep &= pass(f64::from(*value));
        }
        Some(())
    };
    if !state.classes.is_empty() {
        let named = |class: &Class| state.classes.contains(class);
        only("class", &|x| Class::ALL.get(index(x)).is_some_and(named))?;
    }
    if !state.verdicts.is_empty() {
        let named = |verdict: &Verdict| state.verdicts.contains(verdict);
        only("verdict", &|x| {
            Verdict::ALL.get(index(x)).is_some_and(named)
        })?;
    }
    if let Some(dead) = state.dead {
        only("dead", &|x| x == f64::from(u8::from(dead)))?;
    }
    for range in &state.ranges {
        // A bound is rounded as the column is, so that a latent's own value as a bound keeps it.
        let bound = |x: Option<f64>, none: f64| x.map_or(none, |x| f64::from(x as f32));
        let (min, max) = (
            bound(range.min, f64::NEG_INFINITY),
            bound(range.max, f64::INFINITY),
        );
        only(range.column, &|x| min <= x && x <= max)?;
    }
    if let Some(lasso) = &state.lasso {
        let [x, y] = &lasso.columns;
        let values = columns.column(x)?.iter().zip(columns.column(y)?);
        for (keep, (x, y)) in kept.iter_mut().zip(values) {
            *keep = *keep && lasso.holds(*x, *y);
        }
    }
    if let Some(found) = found {
        let mut named = vec![false; rows];
        for id in found {
            if let Some(slot) = named.get_mut(*id as usize) {
                *slot = true;
            }
        }
        for (keep, named) in kept.iter_mut().zip(named) {
            *keep &= named;
        }
    }
    Some(kept)
}

/// A code as the index it stands for; what is unknown is no index.
fn index(code: f64) -> usize {
    if code.is_nan() {
        usize::MAX
    } else {
        code as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::UrlState;

    struct Few(Vec<(&'static str, Vec<f32>)>);

    impl Columns for Few {
        fn column(&self, name: &str) -> Option<&[f32]> {
            let found = self.0.iter().find(|c| c.0 == name);
            found.map(|c| c.1.as_slice())
        }
    }

    fn ids(query: &str, found: Option<&[f32]>) -> Option<Vec<usize>> {
        let columns = Few(vec![
            ("class", vec![0.0, 1.0, 0.0, 3.0]),
            ("verdict", vec![0.0, f32::NAN, 3.0, f32::NAN]),
            ("dead", vec![0.0, 1.0, 0.0, f32::NAN]),
            ("nu_r", vec![0.1, 0.2, f32::NAN, 0.7]),
            ("nu_epsilon", vec![0.5, 0.1, 0.5, f32::NAN]),
        ]);
        let kept = kept(&TriageState::read(query), &columns, found, 4)?;
        Some((0..4).filter(|i| kept[*i]).collect())
    }

    #[test]
    fn filters_keep_what_the_server_keeps() {
        for (query, expected) in [
            ("", vec![0, 1, 2, 3]),
            ("class=chat-only", vec![0, 2]),
            ("class=chat-only,other&max_nu_r=0.7", vec![0, 3]),
            ("verdict=both,unreliable", vec![2]),
            ("dead=false", vec![0, 2]),
            ("min_nu_r=0.1&max_nu_r=0.2", vec![0, 1]),
            ("lasso=nu_r,nu_epsilon,0,0.3,1,0.3,1,1,0,1", vec![0]),
            ("dead=true&lasso=nu_r,nu_epsilon,0,0,1,0,1,1,0,1", vec![1]),
        ] {
            assert_eq!(ids(query, None), Some(expected), "{query}");
        }
        assert_eq!(
            ids("class=chat-only&q=x", Some(&[2.0, 3.0, 9.0])),
            Some(vec![2])
        );
        assert_eq!(ids("min_frequency=0.1", None), None);
        let state = TriageState::read("verdict=both&min_nu_r=0.1");
        assert_eq!(looked_at(&state), ["verdict", "nu_r"]);
    }
}
