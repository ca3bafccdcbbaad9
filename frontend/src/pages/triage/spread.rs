//! How the selection's values of a column are spread.

use api::{Class, Histogram};
use leptos::prelude::*;

use super::plane::Plane;
use crate::{
    display::{numbers::count, select::Columns, verdict::class_style},
    explorer::explorer,
    parts::{
        badge::tag,
        card::Card,
        field::{Check, Select},
        histogram::{Bars, Tone},
        live::{live, memo},
        states::{empty, skeleton},
    },
    state::plane::{COLUMNS, column_name, usual_ends},
};

/// Bins of the axis.
const BINS: usize = 50;

/// The card with the menu of columns.
pub(in crate::pages) fn card(plane: Plane) -> AnyView {
    Card::new("spread", "Histogram")
        .remark("of the selection, log count")
        .with(menu(plane), body(plane))
}

/// The menu of columns, and whether classes are counted apart.
pub(in crate::pages) fn menu(plane: Plane) -> AnyView {
    let by_class = move || plane.selection.state.read().plane.by_class;
    let apart = Check {
        kind: "checkbox",
        name: "spread",
        value: "class",
        words: "by class".into_any(),
        class: "small",
        title: "One histogram for each class, on the same axis".into(),
    };
    let apart = apart.showing(by_class, move || {
        plane.show(|state| state.by_class = !state.by_class);
    });
    let column = Select::new("Column", "spread-column", COLUMNS).showing(
        move || plane.selection.state.read().plane.spread.to_owned(),
        move |name| {
            plane.show(|state| {
                if let Some(known) = COLUMNS.iter().find(|c| c.0 == name) {
                    state.spread = known.0;
                }
            });
        },
    );
    view! { {column}{apart} }.into_any()
}

/// The histogram.
pub(in crate::pages) fn body(plane: Plane) -> AnyView {
    let shown = memo(move || {
        let plane = &plane.selection.state.read().plane;
        (plane.spread, plane.by_class)
    });
    live(move || {
        let (column, by_class) = shown.get();
        let held = plane.held.columns.read();
        let (Some(values), Some(kept)) = (held.column(column), plane.kept.get()) else {
            return skeleton(5);
        };
        if by_class {
            let Some(classes) = held.column("class") else {
                return skeleton(5);
            };
            return apart(column, values, &kept.0, classes);
        }
        let Some(histogram) = histogram(values, &kept.0, usual_ends(column)) else {
            return empty(UNMEASURED);
        };
        let tone = if column == "delta_norm" {
            Tone::Classes(explorer().cuts())
        } else {
            Tone::Class(Class::Other)
        };
        bars(column, histogram, tone)
    })
}

/// In place of a histogram without values.
const UNMEASURED: &str = "The analysis did not measure this column.";

fn bars(column: &str, histogram: Histogram, tone: Tone) -> AnyView {
    let edges = &histogram.edges;
    let ticks = [edges.first(), edges.get(BINS / 2), edges.last()];
    let bars = Bars {
        name: column_name(column),
        counted: "latents",
        tone,
        ticks: ticks.into_iter().flatten().copied().collect(),
        histogram,
    };
    bars.show()
}

/// One histogram for each class that the selection has, all on the axis of all values.
fn apart(column: &str, values: &[f32], kept: &[bool], classes: &[f32]) -> AnyView {
    let of = |(code, class): (usize, &Class)| {
        let mine = kept.iter().zip(classes);
        let mine: Vec<bool> = mine
            .map(|(kept, of)| *kept && *of as usize == code)
            .collect();
        let counted = mine.iter().filter(|mine| **mine).count();
        let histogram = histogram(values, &mine, usual_ends(column)).filter(|_| counted > 0)?;
        let head = view! { <h3 class="small">{tag(class_style(*class), class.as_str())}" "{count(counted as u64)}</h3> };
        Some(view! { {head}{bars(column, histogram, Tone::Class(*class))} }.into_any())
    };
    let shown: Vec<AnyView> = Class::ALL.iter().enumerate().filter_map(of).collect();
    if shown.is_empty() {
        return empty(UNMEASURED);
    }
    view! { <div class="stack" data-testid="apart">{shown}</div> }.into_any()
}

/// Counts of the kept values between ends that all values share, the column's natural ones included; by powers where a column without
/// natural ends reaches over many.
fn histogram(values: &[f32], kept: &[bool], natural: Option<[f64; 2]>) -> Option<Histogram> {
    let known = || {
        values
            .iter()
            .filter(|x| x.is_finite())
            .map(|x| f64::from(*x))
    };
    let high = known().fold(f64::NEG_INFINITY, f64::max);
    let low = known().fold(f64::INFINITY, f64::min);
    let least = known().filter(|x| *x > 0.0).fold(f64::INFINITY, f64::min);
    let (low, high) = match natural {
        Some([from, to]) if low <= high => (low.min(from), high.max(to)),
        _ => (low, high),
    };
    // What is never active has no power of ten, but the many that are have.
    let powers = natural.is_none() && low >= 0.0 && least < high / 1000.0;
    let low = if powers { least } else { low };
    if low > high {
        return None;
    }
    let axis = |x: f64| if powers { x.ln() } else { x };
    let (from, to) = (
        axis(low),
        axis(high).max(axis(low) + f64::from(f32::EPSILON)),
    );
    let edge = |i: usize| {
        let at = from + (to - from) * i as f64 / BINS as f64;
        if powers { at.exp() } else { at }
    };
    let mut counts = vec![0; BINS];
    for (value, _) in values.iter().zip(kept).filter(|(_, kept)| **kept) {
        let share = (axis((*value).into()) - from) / (to - from);
        if (0.0..=1.0).contains(&share)
            && let Some(slot) = counts.get_mut(((share * BINS as f64) as usize).min(BINS - 1))
        {
            *slot += 1;
        }
    }
    Some(Histogram {
        edges: (0..=BINS).map(edge).collect(),
        counts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_that_of_all_values() {
        let values = [0.0, 0.25, 1.0, f32::NAN, 0.9];
        let counted = histogram(&values, &[true, true, false, true, true], None).unwrap();
        assert_eq!((counted.edges[0], counted.edges[BINS]), (0.0, 1.0));
        assert_eq!(counted.counts.iter().sum::<u64>(), 3);
        assert_eq!((counted.counts[0], counted.counts[BINS - 1]), (1, 0));
        assert!(histogram(&[f32::NAN], &[true], Some([0.0, 1.0])).is_none());
        let tiny = histogram(&[1e-5, 0.5], &[true; 2], Some([0.0, 1.0])).unwrap();
        assert_eq!((tiny.edges[0], tiny.edges[BINS / 2]), (0.0, 0.5));
    }

    #[test]
    fn values_over_many_powers_have_bins_by_powers() {
        let counted = histogram(&[0.0, 1e-6, 1e-3, 1.0], &[true; 4], None).unwrap();
        assert!((counted.edges[0] - 1e-6).abs() < 1e-12 && counted.edges[BINS / 2] < 0.002);
        assert_eq!(counted.counts.iter().sum::<u64>(), 3, "zero has no place");
    }
}
