//! State of the plane of latents: its two columns, how they lie on the axes, what colours the points, and what part is shown.

use api::AxisScale;

use super::query::Query;
use crate::display::{axis::View, decimal};

/// Columns that can be an axis or a bound, and what they are called.
pub(crate) const COLUMNS: &[(&str, &str)] = &[
    ("delta_norm", "Δ_norm"),
    ("nu_epsilon", "ν^ε"),
    ("nu_r", "ν^r"),
    ("frequency", "frequency"),
    ("max_activation", "largest v"),
    ("template_share", "template share"),
    ("mean_activation", "mean v"),
    ("active_tokens", "active tokens"),
    ("decoder_cosine", "cosine"),
    ("norm_base", "‖d_base‖"),
    ("norm_chat", "‖d_chat‖"),
    ("beta_activation_base", "β activation, base"),
    ("beta_activation_chat", "β activation, chat"),
    ("beta_activation_no_bias_base", "β less bias, base"),
    ("beta_activation_no_bias_chat", "β less bias, chat"),
    ("beta_reconstruction_base", "β reconstruction, base"),
    ("beta_reconstruction_chat", "β reconstruction, chat"),
    ("beta_error_base", "β error, base"),
    ("beta_error_chat", "β error, chat"),
];

/// What a column is called.
pub(crate) fn column_name(column: &str) -> &'static str {
    let found = COLUMNS.iter().find(|c| c.0 == column);
    found.map_or("", |c| c.1)
}

/// One axis: a column, and how its values lie on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// One of [`COLUMNS`].
    pub(crate) column: &'static str,
    /// How its values lie.
    pub(crate) scale: AxisScale,
}

impl Axis {
    const fn new(column: &'static str) -> Self {
        Self {
            column,
            scale: AxisScale::Linear,
        }
    }
}

/// The ends to show at first of a column that has natural ones.
pub(crate) fn usual_ends(column: &str) -> Option<[f64; 2]> {
    match column {
        "delta_norm" | "template_share" => Some([0.0, 1.0]),
        "decoder_cosine" => Some([-1.0, 1.0]),
        // Outside of this, Latent Scaling is unreliable.
        "nu_epsilon" | "nu_r" => Some([-0.1, 2.0]),
        _ => None,
    }
}

/// What the plane shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlaneState {
    /// The two axes, horizontal first.
    pub(crate) axes: [Axis; 2],
    /// Verdicts colour the points, not classes.
    pub(crate) by_verdict: bool,
    /// What is shown, in places; `None`: the usual part.
    pub(crate) view: Option<View>,
    /// The column of the histogram beside it.
    pub(crate) spread: &'static str,
    /// That histogram is one for each class.
    pub(crate) by_class: bool,
}

const USUAL: [Axis; 2] = [Axis::new("nu_epsilon"), Axis::new("nu_r")];

impl Default for PlaneState {
    fn default() -> Self {
        Self {
            axes: USUAL,
            by_verdict: false,
            view: None,
            spread: SPREAD,
            by_class: false,
        }
    }
}

/// The histogram's column when none is named.
const SPREAD: &str = "delta_norm";

/// A column with the scale of its axis, as addresses have it.
pub(crate) fn axis_text(column: &str, scale: AxisScale) -> String {
    match scale {
        AxisScale::Linear => column.to_owned(),
        scale => [column, scale.word()].join(":"),
    }
}

/// Names of the axes in addresses.
const AXES: [&str; 2] = ["x", "y"];

impl PlaneState {
    /// Reads what [`Self::push`] writes.
    pub(crate) fn read(query: &Query) -> Self {
        let axis = |i: usize| {
            let text = query.get(AXES[i]).unwrap_or("");
            let (name, scale) = text.split_once(':').unwrap_or((text, ""));
            let known = COLUMNS.iter().find(|c| c.0 == name);
            known.map_or(USUAL[i], |c| Axis {
                column: c.0,
                scale: AxisScale::named(scale).unwrap_or_default(),
            })
        };
        let ends = query.get("view").unwrap_or("").split(',');
        let ends: Vec<f64> = ends.filter_map(decimal::read).collect();
        let view = match *ends {
            [left, right, low, high] if left < right && low < high => Some(View {
                x: [left, right],
                y: [low, high],
            }),
            _ => None,
        };
        Self {
            axes: [axis(0), axis(1)],
            by_verdict: query.get("colour") == Some("verdict"),
            view,
            spread: COLUMNS
                .iter()
                .find(|c| query.get("histogram") == Some(c.0))
                .map_or(SPREAD, |c| c.0),
            by_class: query.get("bars") == Some("class"),
        }
    }

    /// Appends what differs from the usual.
    pub(crate) fn push(&self, query: &mut Query) {
        for ((name, axis), usual) in AXES.iter().zip(self.axes).zip(USUAL) {
            if axis != usual {
                query.push(name, axis_text(axis.column, axis.scale));
            }
        }
        query.push_some("colour", self.by_verdict.then_some("verdict"));
        query.push_some("histogram", Some(self.spread).filter(|c| *c != SPREAD));
        query.push_some("bars", self.by_class.then_some("class"));
        let ends = self
            .view
            .map(|view| [view.x[0], view.x[1], view.y[0], view.y[1]]);
        let ends = ends.into_iter().flatten();
        query.push_list("view", ends.map(|end| decimal::rounded(end, 4)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(state: &PlaneState) -> String {
        let mut query = Query::default();
        state.push(&mut query);
        let text = query.to_string();
        assert_eq!(PlaneState::read(&Query::parse(&text)), *state);
        text
    }

    #[test]
    fn round_trip() {
        assert_eq!(through(&PlaneState::default()), "");
        let state = PlaneState {
            axes: [
                Axis {
                    column: "frequency",
                    scale: AxisScale::Log,
                },
                Axis::new("delta_norm"),
            ],
            by_verdict: true,
            spread: "nu_r",
            by_class: true,
            view: Some(View {
                x: [-4.5, 0.0],
                y: [0.25, 1.0],
            }),
        };
        assert_eq!(
            through(&state),
            "x=frequency:log&y=delta_norm&colour=verdict&histogram=nu_r&bars=class&view=-4.5000,0.0000,0.2500,1.0000"
        );
    }

    #[test]
    fn what_cannot_be_read_is_usual() {
        let read = |text: &str| PlaneState::read(&Query::parse(text));
        assert_eq!(
            read("x=password&y=nu_r:cubic&view=1,0,0,1"),
            PlaneState::default()
        );
        assert_eq!(read("view=0,1,0"), PlaneState::default());
    }
}
