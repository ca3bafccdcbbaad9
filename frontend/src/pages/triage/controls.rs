//! What stands around the plane: menus of axes and colours, ways to drag and zoom, the lasso as text, and the legend.

use api::{AxisScale, Class, Verdict};
use leptos::prelude::*;

use super::plane::{Mode, Plane, lasso_on};
use crate::{
    display::{
        axis::readable,
        cloud::SIGNS,
        decimal::{self, shortest},
        markup::fill,
        verdict::{class_style, verdict_short},
    },
    parts::{
        field::{Button, Field, Select},
        live::memo,
        segments::segments,
    },
    state::plane::COLUMNS,
};

/// Modes with their word in the page and on their button.
const MODES: [(Mode, &str, &str); 3] = [
    (Mode::Select, "select", "Select"),
    (Mode::Lasso, "lasso", "Lasso"),
    (Mode::Move, "move", "Move"),
];

/// Menus of the axes and colours, and the ways to move.
pub(in crate::pages) fn controls(plane: Plane) -> AnyView {
    let axis = move |i: usize, label: &'static str, test: &'static str| {
        let column = Select::new(label, test, COLUMNS).showing(
            move || plane.selection.state.read().plane.axes[i].column.to_owned(),
            move |name| {
                plane.show(|state| {
                    if let Some(known) = COLUMNS.iter().find(|c| c.0 == name) {
                        state.axes[i].column = known.0;
                    }
                    state.view = None;
                });
            },
        );
        let scales = AxisScale::ALL.map(|scale| (scale.word(), scale.word()));
        let scale = Select::new("Scale", "plane-scale", &scales).showing(
            move || {
                plane.selection.state.read().plane.axes[i]
                    .scale
                    .word()
                    .to_owned()
            },
            move |word| {
                plane.show(|state| {
                    state.axes[i].scale = AxisScale::named(&word).unwrap_or_default();
                    state.view = None;
                });
            },
        );
        view! { <span class="pair">{column}{scale}</span> }.into_any()
    };
    let colours = [("class", "by class"), ("verdict", "by verdict")];
    let colour = Select::new("Colour", "plane-colour", &colours).showing(
        move || {
            let by_verdict = plane.selection.state.read().plane.by_verdict;
            colours[usize::from(by_verdict)].0.to_owned()
        },
        move |word| plane.show(|state| state.by_verdict = word == "verdict"),
    );
    let mode = memo(move || {
        let found = MODES.iter().find(|m| m.0 == plane.mode.get());
        found.map_or("", |m| m.1)
    });
    let modes = MODES.map(|(_, word, name)| (word, name));
    let choose = Callback::new(move |word| {
        if let Some(chosen) = MODES.iter().find(|m| m.1 == word) {
            plane.mode.set(chosen.0);
        }
    });
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

/// The lasso's corners as text: what drawing it does, without a drag.
pub(super) fn corners(plane: Plane) -> AnyView {
    let field = Field {
        kind: "text",
        label: "Corners of the lasso",
        test: "lasso",
        placeholder: "0 0, 0.2 0, 0.2 0.5",
        list: None,
    };
    let shown = move || {
        plane.trail.track();
        let axes = plane.selection.state.read().plane.axes;
        let corner = |[x, y]: [f64; 2]| {
            let value = |i: usize, place| shortest(readable(axes[i].scale, place, 1.0));
            [value(0, x), value(1, y)].join(" ")
        };
        let corners: Vec<String> = plane.corners().into_iter().map(corner).collect();
        corners.join(", ")
    };
    let entered = move |text: String| {
        let numbers = text.split([' ', ',', ';']).filter_map(decimal::read);
        let numbers: Vec<f64> = numbers.collect();
        plane.selection.update(|state| {
            let axes = state.plane.axes;
            let place = |pair: &[f64; 2]| {
                let [x, y] = *pair;
                [axes[0].scale.place(x), axes[1].scale.place(y)]
            };
            let corners = numbers.as_chunks::<2>().0.iter().map(place).collect();
            state.lasso = lasso_on(axes, corners);
        });
    };
    view! {
        <label class="corners"><span>"Lasso, corners as x y"</span>{field.showing(shown, entered)}</label>
    }
    .into_any()
}

/// Signs and colours with their words; the drawing takes its colours from here.
pub(super) fn legend(by_verdict: bool) -> String {
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
