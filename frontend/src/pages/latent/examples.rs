//! Sequences on which the latent fires, by quantile group.

use std::sync::Arc;

use api::{Example, ExampleGroup, ExamplesPage, LatentDetail, TokenKind};
use leptos::prelude::*;

use super::{
    Page,
    overlay::{self, Overlay},
};
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    display::{
        cells::{of_example, of_two, summary},
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
        card::Card,
        field::{Button, Check, Select},
        live::{effect, live, memo},
        states::{empty, fault_note, skeleton},
        strip::Strip,
    },
    state::{
        UrlState,
        latent::{Extent, LatentState},
        place::latent_path,
    },
};

/// Tokens shown before and after the strongest one, in a window and in short.
const WINDOW: (usize, usize) = (24, 14);
const SHORT: (usize, usize) = (6, 3);

/// Most sequences that one request may name.
const MOST: usize = 200;

/// The examples asked for so far.
#[derive(Clone, Copy)]
pub(super) struct Feed {
    group: Memo<Option<u32>>,
    source: Memo<Option<String>>,
    cursor: RwSignal<Option<String>>,
    load: Load<ExamplesPage>,
    /// The latent and its examples, all pages so far.
    got: RwSignal<(Option<u32>, Vec<Arc<Example>>)>,
    /// Another latent on them.
    overlay: Overlay,
}

impl Feed {
    /// Asks for examples beside the latent itself, so that neither waits for the other.
    pub(super) fn of(slug: Memo<String>, id: Memo<Option<u32>>, state: Memo<LatentState>) -> Self {
        let group = memo(move || state.read().group);
        let source = memo(move || state.read().source.clone());
        let cursor = RwSignal::new(None::<String>);
        let got = RwSignal::new((None, Vec::new()));
        // Another latent, group or source begins at the strongest example again.
        effect(move || {
            let _ = (group.get(), source.get(), id.get(), slug.get());
            cursor.set(None);
        });
        let load = use_load::<ExamplesPage>(move || {
            Some(Request::examples(
                &slug.read(),
                id.get()?,
                group.get(),
                cursor.read().as_deref(),
                source.read().as_deref(),
            ))
        });
        effect(move || {
            let Some(data) = load.get() else { return };
            let more = cursor.read_untracked().is_some();
            got.update(|(of, examples)| {
                *of = id.get_untracked();
                if !more {
                    examples.clear();
                }
                examples.extend(data.examples.iter().cloned().map(Arc::new));
            });
        });
        let sequences = memo(move || {
            let got = got.read();
            let mut sequences: Vec<u64> = got.1.iter().map(|e| e.sequence).collect();
            sequences.truncate(MOST);
            sequences
        });
        Self {
            group,
            source,
            cursor,
            load,
            got,
            overlay: Overlay::of(slug, state, sequences),
        }
    }
}

/// The examples with a choice of group.
pub(super) fn card(page: Page, feed: Feed) -> AnyView {
    let Feed {
        group,
        source,
        cursor,
        load,
        got,
        overlay,
    } = feed;
    // Examples are coloured by their latent's maximum: both must be of one latent before anything changes.
    let shown = RwSignal::new(None);
    effect(move || {
        let (Some(detail), (of, examples)) = (page.detail.get(), got.get()) else {
            return;
        };
        if of == Some(detail.row.id) {
            shown.set(Some((detail, examples)));
        }
    });
    let extent = memo(move || page.state.read().extent);
    let dim = memo(move || page.state.read().dim);
    let breaks = memo(move || page.state.read().breaks);
    let list = live(move || {
        if let Some(fault) = load.state.fault.get() {
            return fault_note(&fault, Some(load.state));
        }
        let Some((detail, examples)) = shown.get() else {
            return skeleton(6);
        };
        if examples.is_empty() {
            return empty(nothing(&detail));
        }
        let rows = examples
            .iter()
            .enumerate()
            .map(|(i, example)| one(page, i, example, &detail, (extent, breaks), overlay))
            .collect_view();
        view! { <ol class="examples" class:dim=move || dim.get()>{rows}</ol> }.into_any()
    });
    let more = live(move || {
        let next = load.get()?.next.clone()?;
        let button = Button {
            test: Some("more-examples"),
            ..Button::new("More examples")
        };
        Some(button.doing(move || cursor.set(Some(next.clone()))))
    });
    let tally = move || {
        load.get().map_or(String::new(), |data| {
            format!("{} of {}", got.read().1.len(), count(data.total))
        })
    };
    let beside = view! { <span class="small quiet" data-testid="examples-tally">{tally}</span>{groups(page, group)}{sources(page, source)}{reading(page, extent, dim, breaks)}{overlay::menu(page, overlay)} };
    let slow = load.state.slow();
    let body = view! { {overlay::legend(page, overlay)}<div class:busy=move || slow.get()>{list}</div><div class="line">{more}</div> };
    Card::new("examples", "Where it fires").with(beside.into_any(), body.into_any())
}

/// The bands of v as buttons, strongest first.
fn groups(page: Page, chosen: Memo<Option<u32>>) -> AnyView {
    let button = move |value: Option<u32>, name: String, title: String| {
        let choose = move |_| {
            let state = LatentState {
                group: value,
                ..page.state.get_untracked()
            };
            page.change.run((state, History::Replace));
        };
        let pressed = move || {
            if chosen.get() == value {
                "true"
            } else {
                "false"
            }
        };
        view! { <button type="button" data-group=value.map(|g| g.to_string()) aria-pressed=pressed title=title on:click=choose>{name}</button> }.into_any()
    };
    live(move || {
        let detail = page.detail.get()?;
        let sequences: u64 = detail.groups.iter().map(|g| g.sequences).sum();
        let stored: u64 = detail.groups.iter().map(|g| g.examples).sum();
        let mut buttons = vec![button(
            None,
            "all".into(),
            format!("{} stored", count(stored)),
        )];
        // Numbered from the weakest band on.
        for number in (0..=5).rev() {
            let found = detail
                .groups
                .iter()
                .find(|g: &&ExampleGroup| g.group == number && g.examples > 0);
            let Some(g) = found else { continue };
            let share = if sequences > 0 {
                percent(g.sequences as f64 / sequences as f64)
            } else {
                "–".into()
            };
            let title = format!(
                "{share} of the sequences on which it fires; {} stored",
                count(g.examples)
            );
            buttons.push(button(
                Some(number),
                format!("v {}–{}", short(g.from), short(g.to)),
                title,
            ));
        }
        (stored > 0).then(|| {
            view! { <div class="segments" role="group" aria-label="Band of v">{buttons}</div> }
                .into_any()
        })
    })
}

/// The corpora that were read, where there are several, as a menu.
fn sources(page: Page, chosen: Memo<Option<String>>) -> AnyView {
    live(move || {
        let detail = page.detail.get()?;
        let corpora = detail.shares.iter().filter(|share| share.by == "corpus");
        let corpora = corpora.map(|share| (share.part.clone(), share.part.clone()));
        let mut choices = vec![(String::new(), "every corpus".to_owned())];
        choices.extend(corpora);
        let menu = Select {
            label: "Corpus of the examples",
            test: "source",
            choices,
        };
        let choose = move |name: String| {
            let state = LatentState {
                source: Some(name).filter(|name| !name.is_empty()),
                ..page.state.get_untracked()
            };
            page.change.run((state, History::Replace));
        };
        (menu.choices.len() > 2)
            .then(|| menu.showing(move || chosen.get().unwrap_or_default(), choose))
    })
}

/// How the examples are read: how much of each, whether template tokens step back, and whether lines break.
fn reading(page: Page, extent: Memo<Extent>, dim: Memo<bool>, breaks: Memo<bool>) -> AnyView {
    let change = move |edit: &dyn Fn(&mut LatentState)| {
        let mut state = page.state.get_untracked();
        edit(&mut state);
        page.change.run((state, History::Replace));
    };
    let buttons = Extent::ALL.map(|(value, name)| {
        let pressed = move || if extent.get() == value { "true" } else { "false" };
        let choose = move |_| change(&|state| state.extent = value);
        view! { <button type="button" aria-pressed=pressed data-extent=name on:click=choose>{name}</button> }.into_any()
    });
    let check = |value: &'static str, words: &'static str| Check {
        kind: "checkbox",
        name: "examples",
        value,
        words: words.into_any(),
        class: "small",
        title: String::new(),
    };
    let dimmed = check("dim", "dim template tokens").showing(
        move || dim.get(),
        move || change(&|state| state.dim = !state.dim),
    );
    let broken = check("breaks", "break lines").showing(
        move || breaks.get(),
        move || change(&|state| state.breaks = !state.breaks),
    );
    view! {
        <div class="segments" role="group" aria-label="How much of each example">{buttons.into_iter().collect_view()}</div>
        {dimmed}{broken}
    }
    .into_any()
}

/// The example's tokens as text for the test box, without BOS, which every prompt gets anyway.
fn text_of(example: &Example) -> String {
    let tokens = example.tokens.iter();
    let words = tokens.filter(|token| token.kind != TokenKind::Bos);
    words.map(|token| token.text.as_str()).collect()
}

fn nothing(detail: &LatentDetail) -> &'static str {
    match detail.row.dead {
        Some(true) => "It never fired in the tokens analysed, so there is nothing to show.",
        None => "Examples come with the analysis, which has not run for this dictionary.",
        Some(false) => "No example is stored of this band and corpus.",
    }
}

fn one(
    page: Page,
    i: usize,
    example: &Arc<Example>,
    detail: &LatentDetail,
    (extent, breaks): (Memo<Extent>, Memo<bool>),
    overlay: Overlay,
) -> AnyView {
    let near = window(&example.values, WINDOW.0, WINDOW.1);
    let short_of = window(&example.values, SHORT.0, SHORT.1);
    let all = 0..example.tokens.len();
    let cut = near != all;
    let whole = RwSignal::new(false);
    let max = detail.row.max_activation.unwrap_or(0.0);
    let (tone, latent) = (class_style(detail.row.class), Some(detail.row.id));
    let held = example.clone();
    let beside = overlay.on(page, example);
    let strip = live(move || {
        let range = match extent.get() {
            _ if whole.get() => all.clone(),
            Extent::Whole => all.clone(),
            Extent::Window => near.clone(),
            Extent::Short => short_of.clone(),
        };
        let (first, last) = (range.start, range.end);
        let tokens = held.tokens.get(range.clone()).unwrap_or_default();
        let values = held.values.get(range.clone()).unwrap_or_default();
        let other = beside.values().zip(overlay.max()).zip(overlay.chosen.get());
        let cells = match &other {
            Some((((other, _), most), chosen)) => {
                let names = [page.id.get().unwrap_or_default(), *chosen];
                let [upper, lower] = names.map(|id| format!("latent {id}"));
                let other = other.get(range).unwrap_or_default();
                let two = [
                    (upper.as_str(), values, max),
                    (lower.as_str(), other, *most),
                ];
                of_two(tokens, first, two)
            }
            None => of_example(tokens, values, first, max),
        };
        let label = format!(
            "Example {}: {}. Arrow keys move between tokens.",
            i + 1,
            summary(&cells)
        );
        let dots = |there: bool| {
            there.then(|| view! { <span class="faint" aria-hidden="true">"…"</span> }.into_any())
        };
        let strip = Strip {
            cells,
            label,
            tone: if other.is_some() { "overlay" } else { tone },
            latent,
            broken: breaks.get(),
            choice: None,
        };
        view! { <div class="cut">{dots(first != 0)}{strip.show()}{dots(last != all.end)}</div> }
            .into_any()
    });
    let (of, id) = (example.clone(), detail.row.id);
    let attempt = move || {
        let state = LatentState {
            prompt: Some(text_of(&of)),
            raw: true,
            ..page.state.get()
        };
        state.href(&latent_path(&page.slug.read(), id))
    };
    let toggle = cut.then(|| {
        view! {
            <button type="button" class="link small" aria-expanded=move || if whole.get() { "true" } else { "false" } on:click=move |_| whole.update(|w| *w = !*w)>
                {move || if whole.get() { "less" } else { "whole sequence" }}
            </button>
        }.into_any()
    });
    view! {
        <li class="example" data-testid="example">
            <span class="num mono quiet" title="largest v in the sequence">{short(example.max)}</span>
            <div>{strip}<p class="small quiet under"><span>{format!("sequence {} · {}", example.sequence, example.source)}</span>{toggle}<a href=attempt data-testid="try-example">"try this text"</a>{beside.note()}</p></div>
        </li>
    }
    .into_any()
}
