//! Histograms: bars on a logarithmic count axis, with bands, a tooltip and a table that says the same.

use api::{Class, ClassCuts, Histogram};
use leptos::{
    ev,
    prelude::*,
    web_sys::{Element, Event},
};
use wasm_bindgen::JsCast;

use super::tooltip::Tip;
use crate::{
    display::{
        numbers::{count, short},
        scale::{Bar, bands, bars, bin_class, count_ticks, place},
        verdict::class_style,
    },
    explorer::explorer,
};

/// What colours the bars.
#[derive(Clone, Copy)]
pub(crate) enum Tone {
    /// The class of each bin; the classes' bands lie behind the bars.
    Classes(ClassCuts),
    /// One class.
    Class(Class),
}

impl Tone {
    fn of(self, bar: &Bar) -> Class {
        match self {
            Self::Classes(cuts) => bin_class(bar.from, bar.to, &cuts),
            Self::Class(class) => class,
        }
    }
}

/// A histogram.
#[component]
pub(crate) fn Bars(
    histogram: Histogram,
    /// What the values are.
    name: &'static str,
    /// What is counted, in the plural.
    counted: &'static str,
    tone: Tone,
    /// Values named below the axis.
    ticks: Vec<f64>,
) -> impl IntoView {
    let explorer = explorer();
    let drawn = bars(&histogram);
    let words = move |bar: &Bar| format!("{name} {}–{}", short(bar.from), short(bar.to));
    let rects = drawn
        .iter()
        .enumerate()
        .filter(|(_, bar)| bar.count > 0)
        .map(|(i, bar)| {
            let gap = (bar.width * 0.12).min(0.002);
            view! {
                <g data-bar=i class=class_style(tone.of(bar))>
                    <rect class="hit" x=bar.x y="0" width=bar.width height="1" />
                    <rect class="bar-rect" x=bar.x + gap y=1.0 - bar.height width=bar.width - 2.0 * gap height=bar.height />
                </g>
            }
        })
        .collect_view();
    let behind = match tone {
        Tone::Classes(cuts) => bands(&cuts)
            .into_iter()
            .filter(|(.., class)| *class != Class::Other)
            .map(|(from, to, class)| {
                let (from, to) = (place(&histogram.edges, from), place(&histogram.edges, to));
                view! { <rect class=format!("band {}", class_style(class)) x=from y="0" width=to - from height="1" /> }
            })
            .collect_view()
            .into_any(),
        Tone::Class(_) => ().into_any(),
    };
    let lines = count_ticks(&histogram);
    let grid = lines
        .iter()
        .map(|(_, h)| view! { <line class="grid" x1="0" x2="1" y1=1.0 - h y2=1.0 - h /> })
        .collect_view();
    let counts = lines
        .iter()
        .map(|(n, h)| view! { <span style=("bottom", format!("{:.1}%", h * 100.0))>{count(*n)}</span> })
        .collect_view();
    let labels = ticks
        .iter()
        .map(|&value| {
            let x = place(&histogram.edges, value);
            view! { <span style=("left", format!("{:.2}%", x * 100.0))>{short(value)}</span> }
        })
        .collect_view();
    let total: u64 = histogram.counts.iter().sum();
    let summary = format!(
        "Histogram of {name}: {} {counted}. The table below holds the same numbers.",
        count(total)
    );

    let table = drawn
        .iter()
        .filter(|bar| bar.count > 0)
        .map(|bar| (words(bar), bar.count, tone.of(bar)))
        .collect::<Vec<_>>();
    let with_class = matches!(tone, Tone::Classes(_));
    let open = RwSignal::new(false);
    let drawn = StoredValue::new(drawn);
    let show_tip = move |event: &Event| {
        let found = event
            .target()
            .and_then(|t| t.dyn_into::<Element>().ok())
            .and_then(|e| e.closest("[data-bar]").ok().flatten());
        let Some(group) = found else { return };
        let index: usize = group
            .get_attribute("data-bar")
            .and_then(|i| i.parse().ok())
            .unwrap_or(usize::MAX);
        let tip = drawn.with_value(|drawn| {
            let bar = drawn.get(index)?;
            let class = if with_class {
                tone.of(bar).as_str()
            } else {
                ""
            };
            Some(Tip::new(
                words(bar),
                class,
                vec![(counted, count(bar.count))],
            ))
        });
        if let (Some(tip), Ok(Some(bar))) = (tip, group.query_selector(".bar-rect")) {
            explorer.show_tip(tip, &bar);
        }
    };
    let rows = move || {
        open.get().then(|| {
            let rows = table
                .iter()
                .map(|(words, n, class)| {
                    view! { <tr><td>{words.clone()}</td><td class="num">{count(*n)}</td>{with_class.then(|| view! { <td>{class.as_str()}</td> })}</tr> }
                })
                .collect_view();
            view! {
                <div class="scroll">
                    <table class="rows small">
                        <thead><tr><th scope="col">{name}</th><th scope="col">{counted}</th>{with_class.then(|| view! { <th scope="col">"class"</th> })}</tr></thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            }
        })
    };
    let toggled = move |event: ev::Event| {
        let details = event.target().and_then(|t| t.dyn_into::<Element>().ok());
        open.set(details.is_some_and(|d| d.has_attribute("open")));
    };
    view! {
        <figure class="histogram">
            <div class="plot" on:pointerover=move |event| show_tip(&event) on:pointerleave=move |_| explorer.hide_tip()>
                <div class="counts" aria-hidden="true">{counts}</div>
                <svg viewBox="0 0 1 1" preserveAspectRatio="none" role="img" aria-label=summary>{behind}{grid}{rects}</svg>
            </div>
            <div class="ticks" aria-hidden="true">{labels}</div>
            <details class="twin" on:toggle=toggled>
                <summary>"Data table"</summary>
                {rows}
            </details>
        </figure>
    }
}
