//! Sequences on which the latent fires, by quantile group.

use std::sync::Arc;

use api::{Example, ExampleGroup, ExamplesPage, LatentDetail};
use leptos::prelude::*;

use super::Page;
use crate::{
    display::{
        cells::{of_example, summary},
        numbers::{count, percent, short},
        tokens::window,
        verdict::class_style,
    },
    nav::History,
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        states::{empty, fault_note, skeleton},
        strip::TokenStrip,
    },
    state::latent::LatentState,
};

/// Tokens shown before and after the strongest one.
const BEFORE: usize = 24;
const AFTER: usize = 14;

/// The examples with a choice of group.
#[component]
pub(super) fn Examples(page: Page) -> impl IntoView {
    let group = Memo::new(move |_| page.state.get().group);
    let cursor = RwSignal::new(None::<String>);
    let shown: RwSignal<Vec<Arc<Example>>> = RwSignal::new(Vec::new());
    // Another latent or group begins at the strongest example again.
    Effect::new(move |_| {
        group.track();
        page.id.track();
        page.slug.track();
        cursor.set(None);
    });
    let load = use_load::<ExamplesPage>(move || {
        let id = page.id.get()?;
        Some(Request::examples(
            &page.slug.get(),
            id,
            group.get(),
            cursor.get().as_deref(),
        ))
    });
    Effect::new(move |_| {
        let Some(data) = load.get() else { return };
        let more = cursor.read_untracked().is_some();
        shown.update(|shown| {
            if !more {
                shown.clear();
            }
            shown.extend(data.examples.iter().cloned().map(Arc::new));
        });
    });
    let choose = move |group: Option<u32>| {
        let state = LatentState {
            group,
            ..page.state.get_untracked()
        };
        page.change.run((state, History::Replace));
    };
    let groups = move || {
        let detail = page.detail.get()?;
        let mut groups: Vec<ExampleGroup> = detail
            .groups
            .iter()
            .filter(|g| g.examples > 0)
            .cloned()
            .collect();
        groups.sort_by_key(|g| std::cmp::Reverse(g.group));
        let sequences: u64 = detail.groups.iter().map(|g| g.sequences).sum();
        let all: u64 = groups.iter().map(|g| g.examples).sum();
        let button = |value: Option<u32>, name: String, title: String| {
            view! {
                <button type="button" data-group=value.map(|g| g.to_string()) aria-pressed=move || (group.get() == value).to_string() title=title on:click=move |_| choose(value)>
                    {name}
                </button>
            }
        };
        let buttons = groups
            .iter()
            .map(|g| {
                let share = if sequences > 0 {
                    percent(g.sequences as f64 / sequences as f64)
                } else {
                    "–".into()
                };
                let name = format!("v {}–{}", short(g.from), short(g.to));
                button(
                    Some(g.group),
                    name,
                    format!(
                        "{} of the sequences on which it fires; {} stored",
                        share,
                        count(g.examples)
                    ),
                )
            })
            .collect_view();
        (!groups.is_empty()).then(|| {
            view! { <div class="segments" role="group" aria-label="Band of v">{button(None, "all".into(), format!("{} stored", count(all)))}{buttons}</div> }
        })
    };
    let list = move || {
        if let Some(fault) = load.fault.get() {
            return fault_note(&fault, Some(Callback::new(move |()| load.reload())));
        }
        if load.data.with(Option::is_none) {
            return skeleton(6);
        }
        let examples = shown.get();
        if examples.is_empty() {
            return empty(nothing(page));
        }
        let (max, tone) = page.detail.with_row();
        let rows = examples
            .into_iter()
            .enumerate()
            .map(|(i, example)| view! { <One i example max tone page /> })
            .collect_view();
        view! { <ol class="examples">{rows}</ol> }.into_any()
    };
    let more = move || {
        let next = load.get()?.next.clone()?;
        let ask = move |_| cursor.set(Some(next.clone()));
        Some(
            view! { <button type="button" data-testid="more-examples" on:click=ask>"More examples"</button> },
        )
    };
    let tally = move || {
        load.get()
            .map(|data| format!("{} of {}", shown.read().len(), count(data.total)))
    };
    view! {
        <section class="card" aria-labelledby="examples-title" data-testid="examples" class:busy=move || load.busy.get()>
            <header><h2 id="examples-title">"Where it fires"</h2><span class="small quiet">{tally}</span><div class="aside">{groups}</div></header>
            {list}
            <div class="line">{more}</div>
        </section>
    }
}

fn nothing(page: Page) -> String {
    let detail = page.detail.get();
    match detail.as_ref().map(|d| (d.row.dead, d.row.active_tokens)) {
        Some((Some(true), _)) => {
            "It never fired in the tokens analysed, so there is nothing to show.".into()
        }
        Some((None, _)) => {
            "Examples come with the analysis, which has not run for this dictionary.".into()
        }
        _ => "No example is stored in this band.".into(),
    }
}

impl Load<LatentDetail> {
    /// The latent's maximum and its style, for colours.
    fn with_row(self) -> (f64, &'static str) {
        self.data.with_untracked(|d| {
            d.as_ref().map_or((0.0, "other"), |d| {
                (
                    d.row.max_activation.unwrap_or(0.0),
                    class_style(d.row.class),
                )
            })
        })
    }
}

#[component]
fn One(i: usize, example: Arc<Example>, max: f64, tone: &'static str, page: Page) -> impl IntoView {
    let near = window(&example.values, BEFORE, AFTER);
    let all = 0..example.tokens.len();
    let cut = near != all;
    let whole = RwSignal::new(false);
    let id = page.id.get_untracked();
    let meta = format!("sequence {} · {}", example.sequence, example.source);
    let peak = short(example.max);
    let number = i + 1;
    let strip = move || {
        let range = if whole.get() {
            all.clone()
        } else {
            near.clone()
        };
        let (first, last) = (range.start, range.end);
        let tokens = example.tokens.get(range.clone()).unwrap_or_default();
        let values = example.values.get(range).unwrap_or_default();
        let cells = of_example(tokens, values, first, max);
        let label = format!(
            "Example {number}: {}. Arrow keys move between tokens.",
            summary(&cells)
        );
        let dots = |there: bool| {
            there.then(|| view! { <span class="faint" aria-hidden="true">"…"</span> })
        };
        view! {
            <div class="cut" class:head=first != 0 class:tail=last != all.end>
                {dots(first != 0)}
                <TokenStrip cells label tone latent=id />
                {dots(last != all.end)}
            </div>
        }
    };
    let toggle = cut.then(|| {
        view! {
            <button type="button" class="link small" aria-expanded=move || whole.get().to_string() on:click=move |_| whole.update(|w| *w = !*w)>
                {move || if whole.get() { "less" } else { "whole sequence" }}
            </button>
        }
    });
    view! {
        <li class="example" data-testid="example">
            <span class="num mono quiet" title="largest v in the sequence">{peak}</span>
            <div>{strip}<p class="small quiet under"><span>{meta}</span>{toggle}</p></div>
        </li>
    }
}
