//! The plane of all latents on two columns: thresholds to drag, a brush, and the one selection that table and histogram share.

use std::sync::Arc;

use api::Lasso;
use leptos::{prelude::*, web_sys::Element};

use super::{
    Selection,
    controls::{controls, corners, legend},
    filters::range,
    held::Held,
    paint, pointer,
};
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::{
        axis::{View, ticks},
        cloud::{Cloud, Look},
        decimal::share,
        markup::fill,
        numbers::{count, tick},
        select::{Columns, kept, looked_at},
        verdict::{NU_EPSILON_CUT, NU_R_CUT},
    },
    explorer::explorer,
    net::{columns, load::use_body, request::Request},
    parts::{
        card::Card,
        live::{live, memo},
        states::{fault_note, skeleton},
    },
    state::{
        plane::{Axis, PlaneState, usual_ends},
        triage::TriageState,
    },
};

/// What a drag on the plane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Bounds both axes.
    Select,
    /// Draws a polygon around the selection.
    Lasso,
    /// Moves the view.
    Move,
}

/// What the parts of the plane share.
#[derive(Clone, Copy)]
pub(in crate::pages) struct Plane {
    pub(in crate::pages) selection: Selection,
    /// Selector of the part of the page that the plane is in.
    root: &'static str,
    pub(super) held: Held,
    /// The state while a threshold or a brush is being dragged.
    pub(super) draft: RwSignal<Option<TriageState>>,
    pub(super) mode: RwSignal<Mode>,
    /// Corners of the polygon that is being drawn, in places.
    pub(super) trail: RwSignal<Vec<[f64; 2]>>,
    /// The view while it moves; the address has it once it rests.
    pub(super) moving: RwSignal<Option<View>>,
    /// The view for which points are drawn while another moves.
    pub(super) drawing: RwSignal<Option<View>>,
    /// The points, once their columns are there.
    pub(super) cloud: Memo<Option<Fresh<Cloud>>>,
    /// Whether each latent is in the selection.
    pub(in crate::pages) kept: Memo<Option<Fresh<Vec<bool>>>>,
    /// What is shown when nothing else is said.
    usual: Memo<Option<View>>,
}

/// Something large that is made anew or stays: comparing a hundred thousand numbers would take longer than drawing them again.
pub(in crate::pages) struct Fresh<T>(pub(in crate::pages) Arc<T>);

impl<T> Fresh<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for Fresh<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for Fresh<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One of the four lines: a bound on the horizontal (0) or vertical (1) axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) axis: usize,
    pub(super) upper: bool,
}

pub(super) const LINES: [Line; 4] = [
    Line {
        axis: 0,
        upper: false,
    },
    Line {
        axis: 0,
        upper: true,
    },
    Line {
        axis: 1,
        upper: false,
    },
    Line {
        axis: 1,
        upper: true,
    },
];

impl Plane {
    /// In the part of the page that a selector names.
    pub(in crate::pages) fn new(root: &'static str, selection: Selection) -> Self {
        Self::with(root, selection, RwSignal::new(None))
    }

    /// Of two dictionaries: what is dragged or moved on one is dragged and moved on the other.
    pub(in crate::pages) fn pair([left, right]: [(&'static str, Selection); 2]) -> [Self; 2] {
        let one = Self::new(left.0, left.1);
        let other = Self::with(right.0, right.1, one.draft);
        let usual = memo(move || match (one.usual.get(), other.usual.get()) {
            (Some(one), Some(other)) => Some(one.with(&other)),
            (one, other) => one.or(other),
        });
        let other = Self {
            mode: one.mode,
            trail: one.trail,
            moving: one.moving,
            drawing: one.drawing,
            usual,
            ..other
        };
        [Self { usual, ..one }, other]
    }

    fn with(
        root: &'static str,
        selection: Selection,
        draft: RwSignal<Option<TriageState>>,
    ) -> Self {
        let state = move || draft.get().unwrap_or_else(|| selection.state.get());
        let filters = memo(move || state().filters());
        let looks = memo(move || {
            let plane = &selection.state.read().plane;
            (plane.axes, colouring(plane))
        });
        let wanted = memo(move || wanted(&filters.read(), &selection.state.read().plane).join(","));
        let held = Held::following(selection.slug, wanted);
        let searched = memo(move || selection.state.read().q.clone());
        let found = use_body(
            move || {
                let query = searched.get();
                (!query.is_empty()).then(|| Request::found(&selection.slug.get(), &query))
            },
            columns::read,
        );
        let cloud = memo(move || {
            let (([x, y], (colour, none)), held) = (looks.get(), held.columns.read());
            let places = |axis: Axis| -> Option<Vec<f32>> {
                let column = held.column(axis.column)?.iter();
                let place = |x: &f32| axis.scale.place((*x).into()) as f32;
                Some(column.map(place).collect())
            };
            let look = |code: &f32| Look(if code.is_nan() { none } else { *code as u8 });
            Some(Fresh::new(Cloud {
                x: places(x)?,
                y: places(y)?,
                look: held.column(colour)?.iter().map(look).collect(),
            }))
        });
        let kept = memo(move || {
            let rows = cloud.read().as_ref()?.0.x.len();
            let found = found.data.read();
            let found = found.as_ref().and_then(|columns| columns.first());
            let held = held.columns.read();
            kept(&filters.read(), &*held, found.map(Vec::as_slice), rows).map(Fresh::new)
        });
        let usual = memo(move || {
            let ([x, y], cloud) = (looks.get().0, cloud.get()?.0);
            Some(View {
                x: ends(x, &cloud.x),
                y: ends(y, &cloud.y),
            })
        });
        Self {
            selection,
            root,
            held,
            draft,
            mode: RwSignal::new(Mode::Select),
            trail: RwSignal::new(Vec::new()),
            moving: RwSignal::new(None),
            drawing: RwSignal::new(None),
            cloud,
            kept,
            usual,
        }
    }

    /// The element of the plane that a selector names; nothing once the page is another.
    pub(super) fn part(self, selector: &str) -> Option<Element> {
        let selector = [self.root, selector].join(" ");
        document().query_selector(&selector).ok()?
    }

    /// What is shown now.
    pub(super) fn view(self) -> View {
        self.moving.get().unwrap_or_else(|| self.resting())
    }

    /// The view for which the points are to be drawn.
    pub(super) fn drawn(self) -> View {
        self.drawing.get().unwrap_or_else(|| self.resting())
    }

    fn resting(self) -> View {
        let chosen = self.selection.state.read().plane.view;
        chosen.or(self.usual.get()).unwrap_or(View {
            x: [0.0, 1.0],
            y: [0.0, 1.0],
        })
    }

    /// The state as it is or is being dragged.
    pub(super) fn state(self) -> TriageState {
        self.draft
            .get()
            .unwrap_or_else(|| self.selection.state.get())
    }

    /// The polygon's corners in places, where it is on these axes.
    pub(super) fn corners(self) -> Vec<[f64; 2]> {
        let trail = self.trail.get();
        let state = self.selection.state.read();
        let axes = state.plane.axes;
        match &state.lasso {
            _ if !trail.is_empty() => trail,
            Some(lasso) if on_axes(lasso, axes) => lasso.corners.clone(),
            _ => trail,
        }
    }

    /// Changes what the plane shows; the selection stays.
    pub(super) fn show(self, change: impl FnOnce(&mut PlaneState)) {
        let mut next = self.selection.state.get_untracked();
        change(&mut next.plane);
        self.selection.keep.run(next);
    }

    /// Where a line lies, and whether it bounds the selection or only offers to.
    pub(super) fn line(self, line: Line) -> Option<(f64, bool)> {
        let state = self.state();
        let column = state.plane.axes[line.axis].column;
        let (min, max) = state.range(column);
        let set = if line.upper { max } else { min };
        let offer = match (column, line.upper) {
            _ if min.is_some() || max.is_some() => None,
            ("nu_epsilon", true) => Some(NU_EPSILON_CUT),
            ("nu_r", true) => Some(NU_R_CUT),
            ("delta_norm", false) => Some(explorer().cuts().chat_only),
            _ => None,
        };
        set.map(|x| (x, true)).or(offer.map(|x| (x, false)))
    }
}

/// Whether a polygon is on these two axes.
fn on_axes(lasso: &Lasso, axes: [Axis; 2]) -> bool {
    let same = |i: usize| lasso.columns[i] == axes[i].column && lasso.scales[i] == axes[i].scale;
    same(0) && same(1)
}

/// A polygon on these axes through these places; `None` with fewer than three.
pub(super) fn lasso_on(axes: [Axis; 2], corners: Vec<[f64; 2]>) -> Option<Lasso> {
    let many = corners.len();
    // Of more corners than an address can hold, evenly as many as it can.
    let each = many.div_ceil(Lasso::MAX_CORNERS).max(1);
    (many > 2).then(|| Lasso {
        columns: axes.map(|axis| axis.column.to_owned()),
        scales: axes.map(|axis| axis.scale),
        corners: corners.into_iter().step_by(each).collect(),
    })
}

/// Columns that selection, plane and histogram look at.
fn wanted<'a>(filters: &'a TriageState, plane: &PlaneState) -> Vec<&'a str> {
    let mut wanted = looked_at(filters);
    wanted.extend(plane.axes.map(|axis| axis.column));
    wanted.extend([colouring(plane).0, plane.spread]);
    wanted.extend(plane.by_class.then_some("class"));
    wanted
}

/// The column that colours the points, and how those without a value look.
fn colouring(plane: &PlaneState) -> (&'static str, u8) {
    if plane.by_verdict {
        ("verdict", 5)
    } else {
        ("class", 3)
    }
}

/// The ends of an axis at first, in places: the column's natural ones, else those of its values, with a little room.
fn ends(axis: Axis, places: &[f32]) -> [f64; 2] {
    let natural = usual_ends(axis.column).map(|ends| ends.map(|x| axis.scale.place(x)));
    let known = natural.filter(|ends| ends.iter().all(|x| x.is_finite()));
    let [low, high] = known.unwrap_or_else(|| {
        let finite = places.iter().filter(|x| x.is_finite());
        let start = (f32::INFINITY, f32::NEG_INFINITY);
        let (low, high) = finite.fold(start, |(low, high), x| (low.min(*x), high.max(*x)));
        [low.into(), high.into()]
    });
    if low < high {
        let room = 0.02 * (high - low);
        [low - room, high + room]
    } else {
        [0.0, 1.0]
    }
}

/// The card.
pub(in crate::pages) fn card(plane: Plane) -> AnyView {
    let remark = view! { <span class="small quiet" data-testid="plane-count" aria-live="polite">{move || counted(plane)}</span> };
    Card {
        class: " plane-card",
        ..Card::new("plane", "Plane")
    }
    .with(
        remark.into_any(),
        view! { {controls(plane)}{body(plane)}{around(plane)} }.into_any(),
    )
}

/// The plane once its columns are there.
pub(in crate::pages) fn body(plane: Plane) -> AnyView {
    let known = memo(move || (plane.held.fault.get(), plane.cloud.read().is_some()));
    live(move || match known.get() {
        (Some(fault), false) => fault_note(&fault, None),
        (_, true) => area(plane),
        (None, false) => skeleton(10),
    })
}

/// How many latents are selected, and how many have no place.
pub(in crate::pages) fn counted(plane: Plane) -> String {
    let (Some(cloud), Some(kept)) = (plane.cloud.get(), plane.kept.get()) else {
        return String::new();
    };
    let (all, selected) = (kept.0.len(), kept.0.iter().filter(|k| **k).count());
    let words = format!(
        "{} of {} selected",
        count(selected as u64),
        count(all as u64)
    );
    match all - cloud.0.placed() {
        0 => words,
        n => format!("{words}; {} have no value on these axes", count(n as u64)),
    }
}

/// What the plane is made of; [`super::paint`] sets everything in it that changes.
const GROUND: &str = "<div class=\"plane-grid\" aria-hidden=\"true\"></div><div class=\"plane-window\"><canvas></canvas></div><div class=\"plane-box\" aria-hidden=\"true\"></div>\
    <svg class=\"plane-lasso\" aria-hidden=\"true\" viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\"><polygon/></svg>\
    <div class=\"plane-line across\" role=\"slider\" tabindex=\"0\" data-line=\"0\"></div>\
    <div class=\"plane-line across\" role=\"slider\" tabindex=\"0\" data-line=\"1\"></div>\
    <div class=\"plane-line\" role=\"slider\" tabindex=\"0\" aria-orientation=\"vertical\" data-line=\"2\"></div>\
    <div class=\"plane-line\" role=\"slider\" tabindex=\"0\" aria-orientation=\"vertical\" data-line=\"3\"></div>\
    <i class=\"plane-mark\" aria-hidden=\"true\"></i><span class=\"plane-x small\"></span><span class=\"plane-y small\"></span>";

fn area(plane: Plane) -> AnyView {
    paint::follow(plane);
    pointer::Hands::of(plane).ready();
    view! {
        <div
            class="plane-area"
            tabindex="0"
            role="application"
            aria-label="Plane of latents. The table below holds the same latents; the fields below bound the same columns. Arrow keys move the view, plus and minus zoom, 0 shows the usual part, Escape takes the bounds on both axes and the lasso away."
            data-testid="plane-area"
            inner_html=GROUND
        ></div>
    }
    .into_any()
}

/// A plane's legend, and fields that do what dragging does.
pub(in crate::pages) fn around(plane: Plane) -> AnyView {
    let columns = memo(move || {
        let plane = &plane.selection.state.read().plane;
        plane.axes.map(|axis| axis.column).join(",")
    });
    let fields = live(move || {
        columns.get();
        let axes = untrack(|| plane.selection.state.read().plane.axes);
        axes.map(|axis| range(plane.selection, axis.column))
            .collect_view()
    });
    let by_verdict = memo(move || plane.selection.state.read().plane.by_verdict);
    view! {
        <ul class="plane-legend small quiet" inner_html=move || legend(by_verdict.get())></ul>
        <div class="plane-fields">{fields}{corners(plane)}</div>
    }
    .into_any()
}

/// Lines and numbers of the axes.
pub(super) fn grid(view: &View, axes: [Axis; 2]) -> String {
    let mut out = String::new();
    for (i, axis) in axes.into_iter().enumerate() {
        let (ends, class) = if i == 0 {
            (view.x, "across")
        } else {
            (view.y, "up")
        };
        for value in ticks(axis.scale, ends) {
            let place = axis.scale.place(value);
            let (across, up) = view.share(place, place);
            let at = share(if i == 0 { across } else { up });
            let template = "<i class=\"{}\" data-style=\"--at:{}\"><b>{}</b></i>";
            fill(&mut out, template, &[class, &at, &tick(value)]);
        }
    }
    out
}

/// The part of the picture inside the bounds on its axes, as distances from its four sides; `None` where nothing bounds.
pub(super) fn bounded(plane: Plane) -> Option<String> {
    let (state, view) = (plane.state(), plane.view());
    let sides = |i: usize| {
        let axis = state.plane.axes[i];
        let (min, max) = state.range(axis.column);
        let at = |value: Option<f64>, end: f64| {
            let place = value.map(|x| axis.scale.place(x)).filter(|x| !x.is_nan());
            let (across, up) = place.map_or((end, end), |place| view.share(place, place));
            (if i == 0 { across } else { up }).clamp(0.0, 1.0)
        };
        let any = min.is_some() || max.is_some();
        (any, at(min, 0.0), at(max, 1.0))
    };
    let ((across, left, right), (up, low, high)) = (sides(0), sides(1));
    let shares = [1.0 - high, 1.0 - right, low, left].map(share);
    (across || up).then(|| shares.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_first_for_what_its_head_names() {
        let usual = TriageState::default();
        assert_eq!(wanted(&usual, &usual.plane), api::FIRST_COLUMNS);
        let rows = format!("limit={}", api::FIRST_ROWS);
        assert_eq!(usual.rows(0, api::FIRST_ROWS), rows);
    }
}
