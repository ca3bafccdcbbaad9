//! The plane of all latents on two columns: thresholds to drag, a brush, and the one selection that table and histogram share.

use std::sync::Arc;

use api::{Class, Verdict};
use leptos::prelude::*;

use super::{Triage, filters::range, held::Held, pointer};
use crate::{
    display::{
        axis::{SCALES, Scale, View},
        cloud::{Cloud, Look, SIGNS},
        decimal::share,
        markup::fill,
        numbers::{count, tick},
        select::{Columns, kept, looked_at},
        verdict::{NU_EPSILON_CUT, NU_R_CUT, class_style, verdict_short},
    },
    explorer::explorer,
    net::{columns, load::use_body, request::Request},
    parts::{
        card::Card,
        field::{Button, Select},
        live::{live, memo},
        segments::segments,
        states::{fault_note, skeleton},
    },
    state::{
        plane::{Axis, COLUMNS, PlaneState},
        triage::TriageState,
    },
};

/// What the parts of the plane share.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    pub(super) triage: Triage,
    pub(super) held: Held,
    /// The state while a threshold, a brush or the view is being dragged.
    pub(super) draft: RwSignal<Option<TriageState>>,
    /// Dragging moves the view.
    pub(super) hand: RwSignal<bool>,
    /// What there is to see, once its columns are there.
    pub(super) scene: Memo<Option<Arc<Scene>>>,
}

/// Points, the selection among them, and what of the plane is shown when nothing else is said.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) cloud: Cloud,
    pub(super) kept: Vec<bool>,
    usual: Option<View>,
}

impl PartialEq for Scene {
    /// Comparing a hundred thousand numbers would take longer than drawing them again.
    fn eq(&self, _: &Self) -> bool {
        false
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
    /// For the page.
    pub(super) fn new(triage: Triage) -> Self {
        let draft = RwSignal::new(None::<TriageState>);
        let state = move || draft.get().unwrap_or_else(|| triage.state.get());
        let wanted = memo(move || {
            let state = state();
            let mut wanted = looked_at(&state);
            wanted.extend(state.plane.axes.map(|axis| axis.column));
            wanted.push(colouring(&state.plane).0);
            wanted.push(state.plane.spread);
            wanted.join(",")
        });
        let held = Held::following(triage.slug, wanted);
        let searched = memo(move || triage.state.read().q.clone());
        let found = use_body(
            move || {
                let query = searched.get();
                (!query.is_empty()).then(|| Request::found(&triage.slug.get(), &query))
            },
            columns::read,
        );
        let scene = memo(move || {
            let (state, held) = (state(), held.columns.read());
            let places = |axis: Axis| -> Option<Vec<f32>> {
                let column = held.column(axis.column)?.iter();
                Some(
                    column
                        .map(|x| axis.scale.place((*x).into()) as f32)
                        .collect(),
                )
            };
            let (colour, none) = colouring(&state.plane);
            let look = |code: &f32| Look(if code.is_nan() { none } else { *code as u8 });
            let [x, y] = state.plane.axes;
            let cloud = Cloud {
                x: places(x)?,
                y: places(y)?,
                look: held.column(colour)?.iter().map(look).collect(),
            };
            let found = found.data.read();
            let found = found.as_ref().and_then(|columns| columns.first());
            let kept = kept(&state, &*held, found.map(Vec::as_slice), cloud.x.len())?;
            let usual = Some(View {
                x: ends(x, &cloud.x),
                y: ends(y, &cloud.y),
            });
            Some(Arc::new(Scene { cloud, kept, usual }))
        });
        Self {
            triage,
            held,
            draft,
            hand: RwSignal::new(false),
            scene,
        }
    }

    /// What is shown now.
    pub(super) fn view(self) -> View {
        let usual = self.scene.read().as_ref().and_then(|scene| scene.usual);
        let view = self.state().plane.view.or(usual);
        view.unwrap_or(View {
            x: [0.0, 1.0],
            y: [0.0, 1.0],
        })
    }

    /// The state as it is or is being dragged.
    pub(super) fn state(self) -> TriageState {
        self.draft.get().unwrap_or_else(|| self.triage.state.get())
    }

    /// Changes what the plane shows; the selection stays.
    pub(super) fn show(self, change: impl FnOnce(&mut PlaneState)) {
        let mut next = self.triage.state.get_untracked();
        change(&mut next.plane);
        self.triage.keep.run(next);
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
    let natural = axis
        .usual_ends()
        .map(|ends| ends.map(|x| axis.scale.place(x)));
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
pub(super) fn card(plane: Plane) -> AnyView {
    let there = memo(move || (plane.held.fault.get(), plane.scene.read().is_some()));
    let body = live(move || match there.get() {
        (Some(fault), false) => fault_note(&fault, None),
        (_, true) => picture(plane),
        (None, false) => skeleton(10),
    });
    let counted = move || {
        let Some(scene) = plane.scene.get() else {
            return String::new();
        };
        let selected = scene.kept.iter().filter(|k| **k).count();
        let words = format!("{} selected", count(selected as u64));
        match scene.kept.len() - scene.cloud.placed() {
            0 => words,
            n => format!("{words}; {} have no value on these axes", count(n as u64)),
        }
    };
    let remark = view! { <span class="small quiet" data-testid="plane-count" aria-live="polite">{counted}</span> };
    Card {
        class: " plane-card",
        ..Card::new("plane", "Plane")
    }
    .with(
        remark.into_any(),
        view! { {controls(plane)}{body} }.into_any(),
    )
}

/// Menus of the axes and colours, and the ways to move.
fn controls(plane: Plane) -> AnyView {
    let axis = move |i: usize, label: &'static str, test: &'static str| {
        let column = Select::new(label, test, COLUMNS).showing(
            move || plane.triage.state.read().plane.axes[i].column.to_owned(),
            move |name| {
                plane.show(|state| {
                    if let Some(known) = COLUMNS.iter().find(|c| c.0 == name) {
                        state.axes[i].column = known.0;
                    }
                    state.view = None;
                });
            },
        );
        let scales = SCALES.map(|(_, word)| (word, word));
        let scale = Select::new("Scale", "plane-scale", &scales).showing(
            move || {
                plane.triage.state.read().plane.axes[i]
                    .scale
                    .word()
                    .to_owned()
            },
            move |word| {
                plane.show(|state| {
                    state.axes[i].scale = Scale::named(&word).unwrap_or_default();
                    state.view = None;
                });
            },
        );
        view! { <span class="pair">{column}{scale}</span> }.into_any()
    };
    let colours = [("class", "by class"), ("verdict", "by verdict")];
    let colour = Select::new("Colour", "plane-colour", &colours).showing(
        move || {
            let by_verdict = plane.triage.state.read().plane.by_verdict;
            colours[usize::from(by_verdict)].0.to_owned()
        },
        move |word| plane.show(|state| state.by_verdict = word == "verdict"),
    );
    let mode = memo(move || if plane.hand.get() { "move" } else { "select" });
    let modes = [("select", "Select"), ("move", "Move")];
    let choose = Callback::new(move |word| plane.hand.set(word == "move"));
    let zoom = move |factor: f64| {
        let view = untrack(|| plane.view()).zoomed(factor, 0.5, 0.5);
        plane.show(|state| state.view = Some(view));
    };
    let small = |words, label| Button {
        words,
        class: "icon",
        label: Some(label),
        ..Button::default()
    };
    view! {
        <div class="line small">
            {axis(0, "Horizontal axis", "plane-x")}"×"{axis(1, "Vertical axis", "plane-y")}
            {colour}
            {segments("Dragging", "plane-mode", &modes, mode, choose)}
            <span class="pair">
                {small("+", "Zoom in").doing(move || zoom(1.5))}
                {small("−", "Zoom out").doing(move || zoom(1.0 / 1.5))}
                {small("⤢", "Show everything usual").doing(move || plane.show(|state| state.view = None))}
            </span>
        </div>
    }
    .into_any()
}

/// What the plane is made of; [`pointer::paint`] sets everything in it that changes.
const GROUND: &str = "<canvas></canvas><div class=\"plane-grid\" aria-hidden=\"true\"></div><div class=\"plane-box\" aria-hidden=\"true\"></div>\
    <div class=\"plane-line across\" role=\"slider\" tabindex=\"0\" data-line=\"0\"></div>\
    <div class=\"plane-line across\" role=\"slider\" tabindex=\"0\" data-line=\"1\"></div>\
    <div class=\"plane-line\" role=\"slider\" tabindex=\"0\" aria-orientation=\"vertical\" data-line=\"2\"></div>\
    <div class=\"plane-line\" role=\"slider\" tabindex=\"0\" aria-orientation=\"vertical\" data-line=\"3\"></div>\
    <i class=\"plane-mark\" aria-hidden=\"true\"></i><span class=\"plane-x small\"></span><span class=\"plane-y small\"></span>";

/// The plane, its legend, and fields that do what dragging does.
fn picture(plane: Plane) -> AnyView {
    let columns = memo(move || {
        let plane = &plane.triage.state.read().plane;
        plane.axes.map(|axis| axis.column).join(",")
    });
    let fields = live(move || {
        columns.track();
        let axes = untrack(|| plane.triage.state.read().plane.axes);
        axes.map(|axis| range(plane.triage, axis.column))
            .collect_view()
    });
    let by_verdict = memo(move || plane.triage.state.read().plane.by_verdict);
    let hands = pointer::Hands::of(plane);
    hands.draw();
    view! {
        <div
            class="plane-area"
            tabindex="0"
            role="application"
            aria-label="Plane of latents. The table below holds the same latents; the fields below bound the same columns. Arrow keys move the view, plus and minus zoom, 0 shows the usual part, Escape takes the bounds on both axes away."
            data-testid="plane-area"
            inner_html=GROUND
        ></div>
        <ul class="plane-legend small quiet" inner_html=move || legend(by_verdict.get())></ul>
        <div class="plane-fields">{fields}</div>
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
        for value in axis.scale.ticks(ends) {
            let place = axis.scale.place(value);
            let (across, up) = view.share(place, place);
            let at = share(if i == 0 { across } else { up });
            let template = "<i class=\"{}\" style=\"--at:{}\"><b>{}</b></i>";
            fill(&mut out, template, &[class, &at, &tick(value)]);
        }
    }
    out
}

/// Signs and colours with their words; the drawing takes its colours from here.
fn legend(by_verdict: bool) -> String {
    let mut out = String::new();
    let mut entry = |sign: &str, style: &str, words: &str| {
        let template = "<li><i data-look class=\"{}\">{}</i>{}</li>";
        fill(&mut out, template, &[style, sign, words]);
    };
    if by_verdict {
        for (sign, verdict) in SIGNS.iter().zip(Verdict::ALL) {
            entry(sign, verdict.as_str(), verdict_short(*verdict));
        }
        entry(SIGNS[5], "other", "no verdict");
    } else {
        for (sign, class) in SIGNS.iter().zip(Class::ALL) {
            entry(sign, class_style(*class), class.as_str());
        }
    }
    entry("·", "rest", "not selected");
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
            (if i == 0 { across } else { up }).min(1.0).max(0.0)
        };
        let any = min.is_some() || max.is_some();
        (any, at(min, 0.0), at(max, 1.0))
    };
    let ((across, left, right), (up, low, high)) = (sides(0), sides(1));
    let shares = [1.0 - high, 1.0 - right, low, left].map(share);
    (across || up).then(|| shares.join(" "))
}
