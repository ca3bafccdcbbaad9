//! Histograms: bars on a logarithmic count axis, with bands, a tooltip and a table that says the same.

use api::{Class, ClassCuts, Histogram};
use leptos::{
    ev,
    prelude::*,
    web_sys::{Element, Event},
};
use wasm_bindgen::JsCast;

use super::{live::live, tooltip::Tip};
use crate::{
    display::{
        numbers::{count, short, tick},
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

    fn words(self, bar: &Bar) -> &'static str {
        self.of(bar).as_str()
    }
}

/// A histogram.
pub(crate) struct Bars {
    /// Edges and counts.
    pub(crate) histogram: Histogram,
    /// What the values are.
    pub(crate) name: &'static str,
    /// What is counted, in the plural.
    pub(crate) counted: &'static str,
    /// What colours the bars.
    pub(crate) tone: Tone,
    /// Values named below the axis.
    pub(crate) ticks: Vec<f64>,
}

impl Bars {
    /// The picture, its axes and the table.
    pub(crate) fn show(self) -> AnyView {
        let Self {
            histogram,
            name,
            counted,
            tone,
            ticks,
        } = self;
        let explorer = explorer();
        let drawn = bars(&histogram);
        let rects = drawn
            .iter()
            .enumerate()
            .filter(|(_, bar)| bar.count > 0)
            .map(|(i, bar)| rect(i, bar, tone))
            .collect_view();
        let lines = count_ticks(&histogram);
        let grid = lines
            .iter()
            .map(|(_, h)| {
                view! { <line class="grid" x1="0" x2="1" y1=1.0 - h y2=1.0 - h /> }.into_any()
            })
            .collect_view();
        let counts = lines
            .iter()
            .map(|(n, h)| at("bottom", *h, count(*n)))
            .collect_view();
        let labels = ticks
            .iter()
            .map(|&value| at("left", place(&histogram.edges, value), tick(value)))
            .collect_view();
        let total: u64 = histogram.counts.iter().sum();
        let summary = format!(
            "Histogram of {name}: {} {counted}. The table below holds the same numbers.",
            count(total)
        );
        let behind = behind(&histogram, tone);
        let open = RwSignal::new(false);
        let drawn = StoredValue::new(drawn);
        let show_tip = move |event: &Event| {
            let Some((index, bar)) = bar_under(event) else {
                return;
            };
            let tip = drawn.with_value(|drawn| {
                let bar = drawn.get(index)?;
                Some(Tip::new(
                    words(name, bar),
                    tone.words(bar),
                    vec![(counted, count(bar.count))],
                ))
            });
            if let Some(tip) = tip {
                explorer.show_tip(tip, &bar);
            }
        };
        let table = live(move || {
            open.get()
                .then(|| drawn.with_value(|drawn| table(name, counted, tone, drawn)))
        });
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
                <details class="twin" on:toggle=toggled><summary>"Data table"</summary>{table}</details>
            </figure>
        }
        .into_any()
    }
}

fn words(name: &str, bar: &Bar) -> String {
    format!("{name} {}–{}", short(bar.from), short(bar.to))
}

/// A label at a share of the axis.
fn at(side: &'static str, share: f64, text: String) -> AnyView {
    let edge = if share > 0.97 {
        "end"
    } else if share < 0.03 {
        "start"
    } else {
        ""
    };
    view! { <span class=edge style=(side, format!("{:.2}%", share * 100.0))>{text}</span> }
        .into_any()
}

fn rect(i: usize, bar: &Bar, tone: Tone) -> AnyView {
    let gap = (bar.width * 0.12).min(0.002);
    view! {
        <g data-bar=i.to_string() class=class_style(tone.of(bar))>
            <rect class="hit" x=bar.x y="0" width=bar.width height="1" />
            <rect class="bar-rect" x=bar.x + gap y=1.0 - bar.height width=bar.width - 2.0 * gap height=bar.height />
        </g>
    }
    .into_any()
}

/// The bands of the classes.
fn behind(histogram: &Histogram, tone: Tone) -> AnyView {
    let Tone::Classes(cuts) = tone else {
        return ().into_any();
    };
    let band = |(from, to, class): (f64, f64, Class)| {
        let (from, to) = (place(&histogram.edges, from), place(&histogram.edges, to));
        view! { <rect class=format!("band {}", class_style(class)) x=from y="0" width=to - from height="1" /> }.into_any()
    };
    bands(&cuts)
        .into_iter()
        .filter(|(.., class)| *class != Class::Other)
        .map(band)
        .collect_view()
        .into_any()
}

fn table(name: &'static str, counted: &'static str, tone: Tone, drawn: &[Bar]) -> AnyView {
    let row = |bar: &Bar| {
        view! { <tr><td>{words(name, bar)}</td><td>{count(bar.count)}</td><td>{tone.words(bar)}</td></tr> }.into_any()
    };
    let rows = drawn
        .iter()
        .filter(|bar| bar.count > 0)
        .map(row)
        .collect_view();
    view! {
        <div class="scroll">
            <table class="rows small">
                <thead><tr><th scope="col">{name}</th><th scope="col">{counted}</th><th scope="col">"class"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// The bar that an event is about.
fn bar_under(event: &Event) -> Option<(usize, Element)> {
    let element: Element = event.target()?.dyn_into().ok()?;
    let group = element.closest("[data-bar]").ok()??;
    let index = group.get_attribute("data-bar")?.parse().ok()?;
    Some((index, group.query_selector(".bar-rect").ok()??))
}
