//! Histograms: bars on a logarithmic count axis, with bands, a tooltip and a table that says the same.

use api::{Class, ClassCuts, Histogram};
use leptos::{
    prelude::*,
    web_sys::{Element, Event},
};
use wasm_bindgen::JsCast;

use super::{tooltip::Tip, twin::twin};
use crate::{
    display::{
        decimal,
        markup::{at, close, head, leaf, open, rect, worded},
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
        let lines = count_ticks(&histogram);
        let picture = picture(&histogram, &drawn, &lines, tone);
        let mut counts = String::new();
        for (n, height) in &lines {
            label(&mut counts, "bottom", *height, &count(*n));
        }
        let mut labels = String::new();
        for &value in &ticks {
            label(
                &mut labels,
                "left",
                place(&histogram.edges, value),
                &tick(value),
            );
        }
        let total: u64 = histogram.counts.iter().sum();
        let summary = format!(
            "Histogram of {name}: {} {counted}. The table below holds the same numbers.",
            count(total)
        );
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
        let table = move || drawn.with_value(|drawn| table(name, counted, tone, drawn));
        view! {
            <figure class="histogram">
                <div class="plot" on:pointerover=move |event| show_tip(&event) on:pointerleave=move |_| explorer.hide_tip()>
                    <div class="counts" aria-hidden="true" inner_html=counts></div>
                    <svg viewBox="0 0 1 1" preserveAspectRatio="none" role="img" aria-label=summary inner_html=picture></svg>
                </div>
                <div class="ticks" aria-hidden="true" inner_html=labels></div>
                {twin(table)}
            </figure>
        }
        .into_any()
    }
}

fn words(name: &str, bar: &Bar) -> String {
    format!("{name} {}–{}", short(bar.from), short(bar.to))
}

/// A label at a share of the axis.
fn label(out: &mut String, side: &str, share: f64, words: &str) {
    let edge = if share > 0.97 {
        "end"
    } else if share < 0.03 {
        "start"
    } else {
        ""
    };
    let style = format!("{side}:{}", decimal::share(share));
    worded(
        out,
        "span",
        &[("class", edge), ("data-style", &style)],
        words,
    );
}

/// The classes' bands, the grid, and the bars, each with the ground above it that answers to the pointer.
fn picture(histogram: &Histogram, drawn: &[Bar], lines: &[(u64, f64)], tone: Tone) -> String {
    let mut out = String::new();
    if let Tone::Classes(cuts) = tone {
        for (from, to, class) in bands(&cuts) {
            let (from, to) = (place(&histogram.edges, from), place(&histogram.edges, to));
            if class != Class::Other {
                let style = format!("band {}", class_style(class));
                rect(&mut out, &style, [from, 0.0, to - from, 1.0]);
            }
        }
    }
    for (_, height) in lines {
        let y = at(1.0 - height);
        let ends = [
            ("class", "grid"),
            ("x1", "0"),
            ("x2", "1"),
            ("y1", &y),
            ("y2", &y),
        ];
        leaf(&mut out, "line", &ends);
    }
    for (i, bar) in drawn.iter().enumerate().filter(|(_, bar)| bar.count > 0) {
        let gap = (bar.width * 0.12).min(0.002);
        let class = class_style(tone.of(bar));
        open(
            &mut out,
            "g",
            &[("data-bar", &i.to_string()), ("class", class)],
        );
        rect(&mut out, "hit", [bar.x, 0.0, bar.width, 1.0]);
        let inner = [
            bar.x + gap,
            1.0 - bar.height,
            bar.width - 2.0 * gap,
            bar.height,
        ];
        rect(&mut out, "bar-rect", inner);
        close(&mut out, "g");
    }
    out
}

fn table(name: &str, counted: &str, tone: Tone, drawn: &[Bar]) -> String {
    let mut out = String::new();
    open(&mut out, "table", &[("class", "rows small")]);
    head(&mut out, &[(name, ""), (counted, ""), ("class", "")]);
    for bar in drawn.iter().filter(|bar| bar.count > 0) {
        row(
            &mut out,
            [&words(name, bar), &count(bar.count), tone.words(bar)],
        );
    }
    close(&mut out, "table");
    out
}

fn row(out: &mut String, cells: [&str; 3]) {
    open(out, "tr", &[]);
    for words in cells {
        worded(out, "td", &[], words);
    }
    close(out, "tr");
}

/// The bar that an event is about.
fn bar_under(event: &Event) -> Option<(usize, Element)> {
    let element: Element = event.target()?.dyn_into().ok()?;
    let group = element.closest("[data-bar]").ok()??;
    let index = group.get_attribute("data-bar")?.parse().ok()?;
    Some((index, group.query_selector(".bar-rect").ok()??))
}
